"""Whatever is sent to whatever route of ingest, with a good key: it is never a 500.

For longer by hand: `TIERWISE_FUZZ_MINUTES=30 .venv/bin/python -m pytest tests/integration/test_ingest_fuzz.py -s`.
"""

import base64
import json
import os
import random
import time
from collections import Counter
from typing import Any
from urllib.parse import urlencode

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.ingest import serving, write_key
from tierwise.domain.source import Intake
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_ingest.formats.format import Route
from tierwise_ingest.formats.table import FORMATS

SECONDS = 60 * float(os.environ.get("TIERWISE_FUZZ_MINUTES", "0")) or 4.0
SEED = int(os.environ.get("TIERWISE_FUZZ_SEED", "1"))
ROUTES = [(format_, route) for format_ in FORMATS for route in format_.routes]
MAPPING = """
interactions:
  - id: {path: $.id}
    time: {path: $.time, as: time}
    channel: call
    type: completed
    identifiers: {phone: {path: $.phone}}
    properties: {duration_s: {path: $.duration_s, as: number}}
"""
ODD: list[Any] = [
    None, True, False, -1, 0, 1e308, 2**53, 2**63, 2**70, "", " ", "\x00", "\ud83d", "￿" * 300, "9" * 400, "-", "a@b",
    "9999-12-31T23:59:59-23:59", "0000-00-00", "2026-11-20T09:30:00+08:00", [], {}, [[None]], {"": 1}, [{}] * 3,
    {"$ref": "#"}, "{{x}}", "a.b.c", "+86 138", "https://[x", "%", "Ω≈ç√", "课程",
]  # fmt: skip


class Sender:
    """Requests that are nearly right: the documented example of a route, spoilt here and there."""

    def __init__(self, draw: random.Random, key: str) -> None:
        self._draw, self._key = draw, key

    def request(self, route: Route) -> tuple[str, bytes, dict[str, str]]:
        """(address, body, headers)."""
        draw = self._draw
        contents = route.document.get("requestBody", {}).get("content", {"application/json": {}})
        media_type, content = draw.choice(list(contents.items()))
        if draw.random() < 0.05:
            media_type = draw.choice(["text/plain", "application/json", "application/x-www-form-urlencoded", "x/y", ""])
        example = content.get("example") or next(
            (one["value"] for one in content.get("examples", {}).values()), {"id": "1", "type": "track"}
        )
        named = route.document.get("parameters", ())
        query = {one["name"]: self._text() for one in named if one["in"] == "query" and draw.random() < 0.5}
        headers = {one["name"]: self._text() for one in named if one["in"] == "header" and draw.random() < 0.3}
        for name in ("key", "writeKey", "token"):
            query[name] = self._key
        headers |= {"content-type": media_type, "authorization": f"Bearer {self._key}"}
        address = route.path.replace("{source}", "shop") + "?" + urlencode(query)
        return address, self._body(media_type, example), {name: _plain(value) for name, value in headers.items()}

    def _body(self, media_type: str, example: Any) -> bytes:
        draw = self._draw
        if draw.random() < 0.05:
            return draw.randbytes(draw.randrange(60))
        if isinstance(example, str):
            body = example.encode("utf-8", "surrogatepass")
        else:
            for _ in range(draw.choice([0, 1, 1, 2, 5])):
                example = self._spoilt(example)
            body = self._encoded(media_type, example)
        if draw.random() < 0.1 and body:
            place = draw.randrange(len(body))
            body = body[:place] + draw.randbytes(draw.randrange(3)) + body[place + draw.randrange(3) :]
        return body

    def _encoded(self, media_type: str, example: Any) -> bytes:
        if "urlencoded" in media_type and isinstance(example, dict):
            fields = {
                str(name): value if isinstance(value, str) else json.dumps(value) for name, value in example.items()
            }
            fields["_key"] = self._key
            if "data" in fields:
                inner = json.dumps(self._spoilt({"type": "track", "event": "x", "distinct_id": "d", "properties": {}}))
                fields["data"] = base64.b64encode(inner.encode()).decode()
            return urlencode(fields, errors="surrogatepass").encode()
        if "ndjson" in media_type:
            return b"\n".join(json.dumps(self._spoilt(one)).encode() for one in [example] * 3)
        return json.dumps(example).encode()

    def _spoilt(self, document: Any) -> Any:
        draw = self._draw
        if isinstance(document, dict) and document and draw.random() < 0.9:
            name = draw.choice(list(document))
            changed = dict(document)
            match draw.randrange(8):
                case 0:
                    del changed[name]
                case 1:
                    changed[draw.choice(["", "\x00", "$", "amount", "userId", "time", "x" * 70])] = draw.choice(ODD)
                case _:
                    changed[name] = self._spoilt(changed[name])
            return changed
        if isinstance(document, list) and document and draw.random() < 0.9:
            changed_list = list(document)
            place = draw.randrange(len(changed_list))
            changed_list[place] = self._spoilt(changed_list[place])
            return changed_list
        return draw.choice(ODD)

    def _text(self) -> str:
        value = self._draw.choice(ODD)
        return value.encode("utf-8", "replace").decode() if isinstance(value, str) else json.dumps(value)


def _plain(value: str) -> str:
    return "".join(character for character in value if " " <= character <= "~")


async def test_no_route_answers_with_a_500(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    key = await write_key(engine, vault, intake=Intake(mapping=MAPPING, topics=frozenset({"arn:aws:sns:x:1:t"})))
    draw = random.Random(SEED)
    sender = Sender(draw, key.secret)
    answered: Counter[int] = Counter()
    ends = time.monotonic() + SECONDS
    async with serving(settings) as client:
        while time.monotonic() < ends:
            for format_, route in ROUTES:
                address, body, headers = sender.request(route)
                response = await client.request(route.method, address, content=body, headers=headers)
                answered[response.status_code] += 1
                assert response.status_code < 500, (format_.name, route.path, body, headers, response.text)
                if response.status_code >= 400 and route.path != "/debug":  # which answers as its clients expect
                    assert response.headers["content-type"] == "application/problem+json", (route.path, body)
    print(f"{answered.total():,} requests: {dict(sorted(answered.items()))}")
    assert answered[200] + answered[202] > answered.total() / 20
    assert {400, 401} <= answered.keys()
