"""docs/examples.md: every route of both services has an example there, and answers as it says."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
from fastapi import FastAPI

from tests.support.documented import Shell, holds
from tests.support.ingest import listening
from tests.support.live import listening_api
from tests.support.mail import FORMATS
from tests.support.mail_signers import SIGNERS, Sent, example, mandrill
from tests.support.pages import blocks
from tests.support.product import Product
from tests.support.scoring import keeping_up, scored
from tierwise.asgi import HEALTH_PATHS
from tierwise.openapi import operations
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.source_document import read_source
from tierwise.security.source_registry import create_source, rotate_secret
from tierwise_ingest.app import create_app as create_ingest
from tierwise_profile_api.app import create_app as create_profile_api

_MAPPING = next(block.text for block in blocks("docs/sources.md") if block.kind == "sh" and "centre.yaml" in block.text)
_SECRET = "the secret that they share"


class _Example(NamedTuple):
    """`answer`: JSON, or text in which numbers are only examples."""

    script: str
    answer: str

    def agrees(self, printed: str) -> bool:
        try:
            shown = msgspec.json.decode(self.answer)
        except msgspec.DecodeError:
            return all(like(line) in map(like, self.answer.splitlines()) for line in printed.split("\n") if line)
        if isinstance(shown, int):
            return set(printed.split()) == {self.answer}
        return bool(printed) and all(holds(msgspec.json.decode(line), shown) for line in printed.splitlines())


def like(line: str) -> str:
    return line if re.match(r"\d{3}\b", line) else re.sub(r"\d+", "0", line)  # of a status it is the number that counts


def page() -> Iterator[_Example]:
    for block in blocks("docs/examples.md"):
        for script, answer in re.findall(r"((?:^[^#\n].*\n)+)((?:^# .*\n)*)", block.text, re.MULTILINE):
            yield _Example(script, "\n".join(line[2:] for line in answer.splitlines()))


async def test_every_route_of_both_services_has_an_example_that_answers_as_it_says(
    product: Product, tmp_path: Path
) -> None:
    settings = product.settings
    async with (
        listening(settings) as ingest,
        listening_api(settings) as api,
        keeping_up(product.engine, product.stream, product.vault, settings),
        Shell.open(tmp_path, **await _prepared(product, tmp_path, ingest)) as shell,
    ):
        otherwise: list[str] = []
        for number, one in enumerate(page()):
            script = one.script.replace("http://127.0.0.1:8001", ingest).replace("http://127.0.0.1:8002", api)
            printed = await shell.paste(script)
            if not (one.agrees(printed) if number else printed == ""):
                otherwise.append(f"{script}{one.answer}\nbut {printed}")
            await scored(product.engine, product.stream)
            if '{"subscription": ' in one.answer:
                await shell.paste(f"SUBSCRIPTION={msgspec.json.decode(printed)['subscription']['id']}")
            elif "/customers/by/" in script:
                for name, address in (("CUSTOMER", "li@example.com"), ("OTHER", "wang@example.com")):
                    await shell.paste(f"{name}={(await product.view('email', address))['customer_id']}")
        for service, app, address in (
            ("ingest", create_ingest(settings), ingest), ("profile_api", create_profile_api(settings), api)
        ):  # fmt: skip
            assert _routes(app) - await _asked(service, address) == set()
    assert not otherwise, "\n\n".join(otherwise)


async def _prepared(product: Product, directory: Path, ingest: str) -> dict[str, str]:
    """The sources of the page, the requests of providers as files, and the variables that it begins with."""
    mapping = _MAPPING.partition("YAML'\n")[2].partition("\nYAML")[0]
    intakes: dict[str, dict[str, Any]] = {name: {} for name in ("shop", "phone", *(f"{one}-mail" for one in FORMATS))}
    intakes |= {name: {"mapping": mapping} for name in ("centre", "centre-signed")}
    async with product.engine.begin() as connection:
        read = await create_read_key(connection, product.vault, name="console", scopes=SCOPES)
        keys = {
            name: (await create_source(connection, product.vault, read_source({"name": name, "intake": intake}))).secret
            for name, intake in intakes.items()
        }
        for name in ("phone", "centre-signed"):
            await rotate_secret(connection, product.vault, name, _SECRET)
        for name, format_ in FORMATS.items():
            address = f"{ingest}/v1/webhooks/mandrill/mandrill-mail"
            signer = mandrill(address) if name == "mandrill" else SIGNERS[name]() if name in SIGNERS else None
            sent = Sent(example(name), {"X-Tierwise-Key": keys[f"{name}-mail"]})
            if signer is not None:
                await rotate_secret(connection, product.vault, f"{name}-mail", signer.secret)
                sent = signer.sign(example(name), datetime.now(UTC))
            [media_type, *_] = format_.routes[0].document["requestBody"]["content"]
            headers = {"Content-Type": media_type, **sent.headers}
            (directory / f"{name}.headers").write_text("".join(f"{one}: {value}\n" for one, value in headers.items()))
            (directory / f"{name}.body").write_bytes(sent.body)
    return {
        "TIERWISE_WRITE_KEY": keys["shop"],
        "TIERWISE_READ_KEY": read.secret,
        "CENTRE": keys["centre"],
        "SECRET": _SECRET,
        "TOKEN": _SECRET,
    }


def _routes(app: FastAPI) -> set[tuple[str, str]]:
    keyless = {("GET", path) for path in HEALTH_PATHS}
    return keyless | {(method, path) for method, path, _ in operations(app.openapi())}


async def _asked(service: str, address: str) -> set[tuple[str, str]]:
    """The routes that were, as the service's metrics have them."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{address}/metrics")).text
    found = re.findall(rf"^tierwise_{service}_http_requests_total{{(.*)}}", text, re.MULTILINE)
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', one)) for one in found]
    return {(one["method"], one["route"].replace(":path", "")) for one in labels}
