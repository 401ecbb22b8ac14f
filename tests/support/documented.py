"""What docs/sources.md tells users to paste, and pasting it."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

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


class Shell:
    """One shell into which a page's examples are pasted, so that what one of them sets the next ones know."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def open(cls, directory: Path, **variables: str) -> AsyncIterator[Self]:
        process = await asyncio.create_subprocess_exec(
            "sh", cwd=directory, env=os.environ | variables, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        shell = cls(process)
        try:
            await shell.paste('curl() { command curl --silent --show-error "$@"; }')
            yield shell
        finally:
            process.kill()
            await process.wait()

    async def paste(self, script: str) -> str:
        """What it prints."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{script}\nprintf '\\036'\n".encode())
        return (await self._process.stdout.readuntil(b"\x1e"))[:-1].decode()


def holds(answer: Any, shown: Any) -> bool:
    """Whether an answer is like one that is shown, which may be shorter: it has these names, and as many things at
    least, with values of these types; null, true and false are themselves."""
    match shown:
        case dict():
            return isinstance(answer, dict) and all(
                name in answer and holds(answer[name], value) for name, value in shown.items()
            )
        case list():
            return (
                isinstance(answer, list)
                and len(shown) <= len(answer)
                and all(holds(one, like) for one, like in zip(answer, shown, strict=False))
            )
        case None | bool():
            return answer is shown
        case _:
            return type(answer) is type(shown)


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
