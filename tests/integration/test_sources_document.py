"""docs/sources.md says what the commands do: each of its examples of `tierwise source` is run, in their order."""

import asyncio
import os
import re
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.command import TIERWISE
from tierwise.domain.source import BROWSER
from tierwise.security.personal import Vault
from tierwise.security.source_document import read_source
from tierwise.security.source_registry import find_source
from tierwise.settings import Settings

HEAD = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8").partition("\n## Formats\n")[0]


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", HEAD, re.MULTILINE | re.DOTALL)


async def shell(settings: Settings, script: str) -> tuple[int, str]:
    """As somebody pastes it: stops at the first line that fails."""
    assert settings.database_url is not None
    environment = os.environ | {
        "PATH": f"{TIERWISE.parent}:{os.environ['PATH']}",
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": settings.secret_key[0].get_secret_value(),
        "SENDGRID_VERIFICATION_KEY": "the provider's",
    }
    process = await asyncio.create_subprocess_exec(
        "sh", "-ec", script, env=environment, cwd=settings.data_dir,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_every_example_works_and_does_what_the_text_says(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    scripts = examples("sh")
    assert len(scripts) == 5
    status, output = await shell(settings, "\n".join(scripts))
    assert status == 0, output
    assert "the provider's" not in output
    async with engine.connect() as connection:
        shop, page, sendgrid = [await find_source(connection, name) for name in ("shop", "shop-page", "sendgrid")]
    assert page.trust == BROWSER
    assert page.intake.origins == {"https://shop.example", "https://www.shop.example"}
    assert page.intake.rate_limit is None
    assert page.retired_at is not None
    assert sendgrid.intake.formats == frozenset({"sendgrid"})
    assert (len(shop.keys), len(sendgrid.secrets)) == (2, 2)


def test_the_schema_is_one_that_a_source_may_have() -> None:
    [schema] = examples("json")
    intake = read_source({"name": "x", "intake": {"schemas": [msgspec.json.decode(schema)]}}).intake
    assert intake.schemas[0].type == "search"
