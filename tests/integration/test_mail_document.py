"""docs/sources.md, on e-mail providers: what it says to paste is pasted, and the provider's example is sent there."""

import asyncio
import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from tests.support.ingest import appended, serving
from tests.support.mail import FORMATS
from tests.support.mail_signers import SIGNERS, Sent, example, mandrill
from tierwise.cli import build
from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_ingest.formats.format import Signature

TEXT = (Path(__file__).parents[2] / "docs" / "sources.md").read_text("utf-8")
SECTION = TEXT.partition("\n### E-mail providers\n")[2].partition("\n### ")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^# (https://\S+)\n```", SECTION, re.MULTILINE | re.DOTALL)
SES = "ses"
"""Whose signature needs SNS; that its source is made is all that is tried here."""


def run(settings: Settings, line: str, secret: str) -> str:
    """A line of a block, in this process: what a new key is, else nothing."""
    assert settings.database_url is not None
    environment = {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": settings.secret_key[0].get_secret_value(),
        "TIERWISE_DATA_DIR": str(settings.data_dir),
    }
    given, _, command = line.rpartition(" | ")
    assert not given or re.fullmatch(r'printf %s "\$[A-Z_]+"', given), line
    arguments = shlex.split(command)
    assert arguments.pop(0) == "tierwise"
    created = arguments[1] == "create"
    done = CliRunner().invoke(
        build(), [*arguments, "--json"] if created else arguments, input=secret if given else None, env=environment
    )
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["secret"]) if created else ""


async def test_every_provider_sends_after_what_the_text_says_to_do(
    settings: Settings, engine: AsyncEngine, vault: Vault
) -> None:
    told = [re.findall(r"/v1/webhooks/(\w+)/", address)[0] for _, address in BLOCKS]
    assert sorted(told) == sorted(FORMATS)
    async with serving(settings) as client:
        for name, (script, address) in zip(told, BLOCKS, strict=True):
            plain = address.replace("KEY@", "").replace("ingest.example", "ingest")
            signer = mandrill(plain) if name == "mandrill" else SIGNERS[name]() if name in SIGNERS else None
            lines = script.splitlines()
            keys = [await asyncio.to_thread(run, settings, line, signer.secret if signer else "") for line in lines]
            assert (len(lines) == 2) == (signer is not None)
            if name == SES:
                continue
            assert isinstance(FORMATS[name].credentials, Signature) == (signer is not None)
            sent = signer.sign(example(name), datetime.now(UTC)) if signer else Sent(example(name), {})
            url = address.replace("KEY", keys[0]).replace("ingest.example", "ingest")
            response = await client.post(url, content=sent.body, headers=sent.headers)
            assert (response.status_code, response.json()["accepted"]) == (200, 1), (name, response.text)
    assert len(await appended(settings, engine, vault)) == len(FORMATS) - 1


def test_the_text_names_every_type_that_providers_events_become() -> None:
    for word in ("sent", "delivered", "opened", "clicked", "bounced", "unsubscribed", "complained", "replied"):
        assert f"`{word}`" in SECTION
