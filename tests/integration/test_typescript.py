"""docs/tierwise.d.ts: it says what OpenAPI says, and the page's sample compiles with it."""

import asyncio
import re
from pathlib import Path

from tests.support.node import installed
from tests.support.typescript import TYPES, generated

_DOCUMENT = Path(__file__).parents[2] / "docs" / "api.md"


def test_the_types_are_those_of_the_openapi_document() -> None:
    assert TYPES.read_text("utf-8") == generated(), "run `python -m tests.support.typescript`"


async def test_the_sample_of_the_page_compiles_and_what_is_wrong_does_not(tmp_path: Path) -> None:
    [sample] = re.findall(r"^```ts\n(.*?)^```", _DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "tierwise.d.ts").write_text(TYPES.read_text("utf-8"), "utf-8")
    (tmp_path / "sample.ts").write_text(sample, "utf-8")
    assert await compiled(tmp_path) == (0, "")
    (tmp_path / "sample.ts").write_text(sample.replace("tier.grade", "tier.great"), "utf-8")
    status, said = await compiled(tmp_path)
    assert status != 0
    assert "'great' does not exist" in said


async def compiled(directory: Path) -> tuple[int | None, str]:
    compiler = str(await asyncio.to_thread(installed) / "node_modules" / ".bin" / "tsc")
    options = ["--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--lib", "es2022,dom"]
    process = await asyncio.create_subprocess_exec(
        *(compiler, *options, "sample.ts"),
        cwd=directory,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()
