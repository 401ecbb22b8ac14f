"""`tierwise source ...` as an administrator uses it."""

import asyncio
import json
import os
from pathlib import Path

import msgspec
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.command import TIERWISE, Done, tierwise
from tierwise.cli import build
from tierwise.domain.source import BROWSER, RateLimit
from tierwise.security.keys import KeyRing
from tierwise.security.personal import Vault
from tierwise.security.source_document import read_source
from tierwise.security.source_registry import create_source, find_source
from tierwise.security.sources import Sources
from tierwise.settings import Settings


async def test_a_source_is_made_changed_and_shown(
    settings: Settings, engine: AsyncEngine, vault: Vault, tmp_path: Path
) -> None:
    schema = tmp_path / "search.json"
    schema.write_text('{"channel": "web", "type": "search", "properties": {"required": ["query"]}}')
    options = ["--origin", "https://shop.example", "--rate-limit", "100/s", "--schema", str(schema), "--kind", "email"]
    made = await tierwise(settings, "source", "create", "page", "--browser", *options)
    assert made.status == 0, made.stderr
    assert "shown only now" in made.stderr
    source = await KeyRing(engine, vault).authenticate_write(made.stdout.strip())
    assert source.trust == msgspec.structs.replace(BROWSER, kinds=frozenset({"email"}))
    assert source.intake.rate_limit == RateLimit(per_second=100, burst=1000)
    assert source.intake.schemas[0].properties == {"required": ["query"]}

    changed = await tierwise(settings, "source", "update", "page", "--burst", "50", "--reset", "kinds")
    assert changed.status == 0, changed.stderr
    assert "https://shop.example" in changed.stdout
    [document] = json.loads((await tierwise(settings, "source", "list", "--json")).stdout)
    assert document["intake"]["rate_limit"] == {"per_second": 100.0, "burst": 50}
    assert document["trust"]["kinds"] is None


async def given(settings: Settings, stdin: str, *arguments: str) -> Done:
    """As a person who pipes a secret in."""
    assert settings.database_url is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")} | {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": settings.secret_key[0].get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(
        TIERWISE, *arguments, env=environment, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stdout, stderr = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Done(process.returncode, stdout.decode(), stderr.decode())


async def test_keys_and_secrets_rotate_and_a_given_secret_is_never_printed(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    async with engine.begin() as connection:
        await create_source(connection, vault, read_source({"name": "sendgrid"}))
    done = await given(settings, "what SendGrid shows\n", "source", "rotate", "sendgrid", "--secret")
    assert done.status == 0, done.stderr
    assert "what SendGrid shows" not in done.stdout + done.stderr
    made = await tierwise(settings, "source", "rotate", "sendgrid", "--secret", "--generate", "--grace", "1h")
    secrets = (await Sources(engine, vault).named("sendgrid")).secrets
    assert secrets == (made.stdout.strip().encode(), b"what SendGrid shows")

    rotated = await tierwise(settings, "source", "rotate", "sendgrid", "--grace", "30m", "--json")
    assert (await KeyRing(engine, vault).authenticate_write(json.loads(rotated.stdout)["secret"])).name == "sendgrid"
    assert (await tierwise(settings, "source", "retire", "sendgrid")).status == 0
    async with engine.connect() as connection:
        found = await find_source(connection, "sendgrid")
    assert found.retired_at is not None
    assert not found.keys


def test_a_secret_that_is_not_there_is_not_made_up() -> None:
    done = CliRunner().invoke(build(), ["source", "rotate", "sendgrid", "--secret"], input="")
    assert done.exit_code == 2
    assert "--generate" in done.stderr


WRONG = [
    (["create", "page", "--browser", "--origin", "shop.example"], "https://shop.example"),
    (["create", "page", "--channel", "fax"], "no channel"),
    (["create", "page", "--region", "China"], "ISO 3166"),
    (["create", "page", "--rate-limit", "fast"], "100/s"),
    (["create", "a/b"], "paths"),
    (["create", "profile-api"], "name: profile-api stands for what people write back"),
    (["rotate", "page", "--grace", "soon"], "24h"),
    (["rotate", "page", "--generate"], "--secret"),
    (["update", "page"], "what is to change"),
    (["update", "page", "--reset", "everything"], "origins"),
]


def test_a_key_takes_no_name_that_a_source_cannot_have() -> None:
    for name, said in (("profile-api", "name: profile-api stands for"), ("a/b", "name: it stands in paths")):
        done = CliRunner().invoke(build(), ["key", "create", "--source", name])
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_wrong_use_is_told_with_field_and_reason(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(build(), ["source", *arguments])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
