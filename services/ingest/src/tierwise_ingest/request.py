"""A request as formats see it: whole, its body inflated, nothing of it interpreted."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from urllib.parse import parse_qsl


class Request:
    """`url`: as the sender addressed it, which behind a proxy is not as it arrived. `parameters`: of the path's
    template. `body`: without its content encoding."""

    def __init__(
        self,
        *,
        method: str,
        url: str,
        parameters: Mapping[str, str],
        query_string: bytes,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        self.method = method
        self.url = url
        self.parameters = parameters
        self.query_string = query_string
        self.headers = headers
        self._first = dict(reversed(headers))  # six are asked for, one after the other
        self.body = body

    def header(self, name: str) -> str | None:
        """The first value of a header; `name` in lower case."""
        found = self._first.get(name.encode())
        return None if found is None else found.decode("latin-1")

    @property
    def media_type(self) -> str:
        """Of the body, in lower case without parameters; empty where none is named."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    @property
    def asks_not_to_be_tracked(self) -> bool:
        """By Do Not Track or Global Privacy Control, which browsers send."""
        return self.header("sec-gpc") == "1" or self.header("dnt") == "1"

    @cached_property
    def query(self) -> dict[str, str]:
        """The first value of each parameter."""
        return _first_values(self.query_string.decode("latin-1"))

    @cached_property
    def form(self) -> dict[str, str]:
        """The body's fields where it is `application/x-www-form-urlencoded`: the first value of each."""
        return _first_values(self.body.decode("utf-8", "replace"))


def _first_values(encoded: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True, max_num_fields=None):
        values.setdefault(name, value)
    return values
