"""The write key of a request."""

import base64
import binascii

from tierwise.problem import Unauthorized
from tierwise_ingest.request import Request


def write_key(request: Request) -> str:
    """From `Authorization: Bearer KEY`, or Basic with the key as user name, as SDKs send it. Raises Unauthorized."""
    sent = request.header("authorization") or ""
    scheme, _, credentials = sent.partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "basic":
        credentials = _user_name(credentials)
    elif scheme.lower() != "bearer":
        credentials = ""
    if not credentials:
        raise Unauthorized("Send a write key as `Authorization: Bearer KEY`, or as the user name of Basic.")
    return credentials


def _user_name(credentials: str) -> str:
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return decoded.partition(":")[0]
