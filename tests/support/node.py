"""Vendors' own clients for Node: installed once under .tierwise, run with a plan on standard input."""

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.support.missing import missing

_ROOT = Path(__file__).parents[2]
_CLIENTS = _ROOT / "tests" / "clients"
_INSTALLED = _ROOT / ".tierwise" / "node"


async def run_client(script: str, plan: dict[str, Any]) -> Any:
    """What a script of tests/clients prints, which is JSON."""
    return json.loads(await run_module((_CLIENTS / script).read_text("utf-8"), given=json.dumps(plan)))


async def run_module(source: str, *, given: str = "", within_s: float = 60) -> str:
    """What it prints, beside the installed clients, with `given` on standard input. Fails where it fails."""
    directory = await asyncio.to_thread(installed)
    with tempfile.NamedTemporaryFile("w", suffix=".mjs", dir=directory, encoding="utf-8") as module:
        module.write(source)
        module.flush()
        process = await asyncio.create_subprocess_exec(
            *("node", module.name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(within_s):
                stdout, stderr = await process.communicate(given.encode())
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


@asynccontextmanager
async def running_module(source: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The same, running; its standard output in a pipe. Killed in the end."""
    directory = await asyncio.to_thread(installed)
    with tempfile.NamedTemporaryFile("w", suffix=".mjs", dir=directory, encoding="utf-8") as module:
        module.write(source)
        module.flush()
        process = await asyncio.create_subprocess_exec(
            *("node", module.name), env=os.environ | environment, stdout=asyncio.subprocess.PIPE
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def installed() -> Path:
    """Where the clients are. Skips where Node or npm is missing; with CI=true fails."""
    absent = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if absent:
        missing(f"{' and '.join(absent)} missing: the clients for Node run with Node 20 or newer")
    wanted = (_CLIENTS / "package.json").read_bytes()
    directory = _INSTALLED / sha256(wanted).hexdigest()[:16]
    if not (directory / "node_modules" / ".package-lock.json").exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        (directory / "package.json").write_bytes(wanted)
        command = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return directory
