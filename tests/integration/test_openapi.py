"""What both services say of themselves in OpenAPI, and that they hold to it: Schemathesis, with all its checks.

In all its phases and for longer by hand:
`TIERWISE_FUZZ_MINUTES=30 .venv/bin/python -m pytest tests/integration/test_openapi.py`.
"""

import asyncio
import json
import os
import random
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import test_settings
from tests.support.ingest import listening, write_key
from tests.support.live import listening_api
from tests.support.product import Product, history
from tierwise.openapi import operations
from tierwise.security.keys import SCOPES, create_read_key
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise.stream.open import open_stream
from tierwise_ingest.app import create_app as create_ingest
from tierwise_profile_api.app import create_app as create_profile_api

SECONDS = 60 * float(os.environ.get("TIERWISE_FUZZ_MINUTES", "0"))
_SHORTLY = ["--phases", "examples,fuzzing", "--max-examples", "2", "--seed", "1"]
_ROOT = Path(__file__).parents[2]
_CONFIGURATION = _ROOT / "tests" / "support" / "schemathesis.toml"


_NOWHERE = test_settings(database_url="postgresql://nobody@nowhere/nothing", data_dir=Path())


@pytest.fixture(scope="module", params=[create_profile_api, create_ingest])
def document(request: pytest.FixtureRequest) -> Any:
    return request.param(_NOWHERE).openapi()


def test_every_operation_has_a_summary_and_an_example_of_all_that_is_sent_and_answered(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    for method, path, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        documented = [one for holder in contents for one in holder.get("content", {}).values()]
        for one in (*operation.get("parameters", ()), *documented):
            assert "example" in one or one["examples"], (where, one)


def test_examples_are_what_their_schemas_say(document: Any) -> None:
    @cache
    def validator(schema: str) -> Any:
        parts = {"components": document["components"]} if "$ref" in schema else {}
        return jsonschema_rs.validator_for(json.loads(schema) | parts)

    for method, path, operation in operations(document):
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        documented = [pair for holder in contents for pair in holder.get("content", {}).items()]
        for media_type, one in (*documented, *(("json", one) for one in operation.get("parameters", ()))):
            if "json" not in media_type or "ndjson" in media_type:
                continue
            given = [one["example"]] if "example" in one else [each["value"] for each in one["examples"].values()]
            for example in given:
                errors = validator(json.dumps(one.get("schema", {}))).iter_errors(example)
                assert [error.message for error in errors] == [], (method, path, example)


def test_whatever_goes_wrong_is_documented_as_a_problem(document: Any) -> None:
    for method, path, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400" and (path, status) != ("/debug", "402"):  # the word of another product's debug mode
                assert set(response["content"]) == {"application/problem+json"}, (method, path, status)


def test_the_page_about_the_profile_api_lists_every_route_with_its_scope() -> None:
    page = (_ROOT / "docs" / "api.md").read_text("utf-8")
    listed = re.findall(r"^\| `([A-Z]+ /v1/[^`]+)` \| `?([a-z:]+)`? \|", page, re.MULTILINE)
    document = create_profile_api(_NOWHERE).openapi()
    scopes = {
        f"{method} {path}": (*operation["security"][0]["readKey"], "any")[0]
        for method, path, operation in operations(document)
    }
    assert dict(listed) == scopes


async def test_the_profile_api_holds_to_its_document(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    async with open_stream(settings, engine, vault) as stream:
        product = Product(engine, stream, vault, settings)
        await product.append(*history(random.Random(3), customers=10, interactions=100))
        await product.score()
    async with engine.begin() as connection:
        key = await create_read_key(connection, vault, name="schemathesis", scopes=SCOPES)
    async with listening_api(settings) as address:
        # What follows changes live has no end to wait for.
        await schemathesis(address, key.secret, "--exclude-path-regex", "/live$")


async def test_ingest_holds_to_its_document(settings: Settings, engine: AsyncEngine, vault: Vault) -> None:
    key = await write_key(engine, vault)
    async with listening(settings) as address:
        # Its formats answer as their senders expect: 200 to what cannot be mapped and is kept, which no schema says.
        await schemathesis(address, key.secret, "--exclude-checks", "negative_data_rejection")


async def schemathesis(address: str, key: str, *more: str) -> None:
    """Fails with its report where it finds anything."""
    lasting = ["--max-time", str(int(SECONDS))] if SECONDS else _SHORTLY
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_CONFIGURATION), "run"),
        *(f"{address}/openapi.json", "--header", f"Authorization: Bearer {key}", *lasting, *more),
        cwd=_ROOT,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
