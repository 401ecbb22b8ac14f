"""Services as child processes: their output with a name in front, started again when they die, stopped together."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic

from tierwise.waiting import happens_within

STOP_WITHIN_S = 8.5
FIRST_PAUSE_S = 0.5
PAUSE_MAX_S = 30.0
_WELL_AFTER_S = 30.0
_CHUNK_BYTES = 1 << 16

Tell = Callable[[str, str], None]
"""(service, line): something to show."""


class Supervisor:
    """Keeps one process of each command running. Make it with `supervised`."""

    def __init__(self, commands: Sequence[str], environment: Mapping[str, str], tell: Tell) -> None:
        self._commands = commands
        self._environment = dict(environment)
        self._tell = tell
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    def kill(self) -> None:
        """Stop waiting for an orderly end."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.kill()

    async def keep(self, command: str) -> None:
        """Run `command`, again and again, until stopping."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            began = monotonic()
            status = await self._run(command)
            if self._stopping.is_set():
                return
            if monotonic() - began > _WELL_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._tell(command, f"ended ({_how(status)}); starting it again in {pause_s:g} s")
            await happens_within(self._stopping, pause_s)
            pause_s = min(pause_s * 2, PAUSE_MAX_S)

    async def stop(self) -> None:
        """SIGTERM to all, SIGKILL to those that are still there after STOP_WITHIN_S."""
        self._stopping.set()
        processes = list(self._processes.values())
        for process in processes:
            with suppress(ProcessLookupError):
                process.terminate()
        waiting = [asyncio.create_task(process.wait()) for process in processes]
        if waiting and (await asyncio.wait(waiting, timeout=STOP_WITHIN_S))[1]:
            self.kill()

    async def _run(self, command: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tierwise_embedded.child", command),
            stdin=asyncio.subprocess.PIPE,  # held open, never written to: see child.py
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for us; we pass on SIGTERM
        )
        self._processes[command] = process
        self._tell(command, f"started as process {process.pid}")
        try:
            if self._stopping.is_set():
                process.terminate()
            assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
            await self._show(command, process.stdout)
            return await process.wait()
        finally:
            del self._processes[command]

    async def _show(self, command: str, output: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await output.read(_CHUNK_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._tell(command, line.decode(errors="replace").rstrip())
        if rest:
            self._tell(command, rest.decode(errors="replace"))


@asynccontextmanager
async def supervised(
    commands: Sequence[str], *, tell: Tell, environment: Mapping[str, str] = os.environ
) -> AsyncIterator[Supervisor]:
    """All of `commands` (subcommands of tierwise) run meanwhile."""
    supervisor = Supervisor(commands, environment, tell)
    keepers = [asyncio.create_task(supervisor.keep(command), name=command) for command in commands]
    try:
        yield supervisor
    finally:
        await supervisor.stop()
        await asyncio.gather(*keepers)


def _how(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
