"""What docs/sources.md tells users to paste, and pasting it."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.node import run_module

_DOCUMENT = Path(__file__).parents[2] / "docs" / "sources.md"
_INGEST = "http://127.0.0.1:8001"


def examples(section: str, *, key: str, ingest: str) -> list[tuple[str, str]]:
    """(language, text) of each block in the section of this title, for this key and this ingest."""
    _, _, rest = _DOCUMENT.read_text("utf-8").partition(f"\n### {section}")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", rest.partition("\n### ")[0], re.MULTILINE | re.DOTALL)
    return [(language, text.replace("KEY", key).replace(_INGEST, ingest)) for language, text in blocks]


async def pasted(language: str, text: str) -> None:
    """Run as its language is run; a picture is loaded. Fails where it fails."""
    match language:
        case "python":
            await _ran(sys.executable, "-c", text)
        case "sh":
            await _ran("sh", "-ec", text.replace("curl ", "curl --fail-with-body --silent --show-error "))
        case "js":
            await run_module(text)
        case "html":
            async with httpx.AsyncClient() as client:
                for address in re.findall(r'<img src="([^"]+)"', text):
                    (await client.get(address)).raise_for_status()
        case _:
            raise AssertionError(f"nobody knows how to run {language}")


async def _ran(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def answered(script: str, **variables: str) -> Any:
    """What a curl of a page about an API gives, which is JSON. Fails where it fails."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-ec", script.replace("curl ", "curl --fail-with-body --silent --show-error ")),
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return json.loads(output)
