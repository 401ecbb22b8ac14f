"""Serving an ASGI application until told to stop, the same way in every service."""

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import uvicorn

from tierwise.asgi import App
from tierwise.guarded import GuardedProtocol
from tierwise.headers import ALWAYS
from tierwise.memory import keep_freed

DRAIN_S: Final = 8
"""For requests under way when told to stop; what takes longer is cut."""

KEEP_ALIVE_S: Final = 75
"""Longer than load balancers keep an idle connection (60 s mostly), so that it is they who close it."""

UVICORN: Final[dict[str, Any]] = {
    "http": GuardedProtocol,
    "headers": ALWAYS,
    "access_log": False,  # ours has route templates, theirs has paths
    "log_config": None,
    "server_header": False,
    "proxy_headers": False,  # who is trusted with a sender's address is a setting of ours
    "timeout_keep_alive": KEEP_ALIVE_S,
    "timeout_graceful_shutdown": DRAIN_S,
}
"""How every service configures uvicorn."""


async def serve(app: App, *, host: str, port: int, stopping: Callable[[], None] | None = None) -> None:
    """Serve until cancelled; then take nothing new, and end what is under way. The caller holds the lifespan.
    `stopping`: called at the end's begin, for answers that would go on for ever."""
    freeze()
    server = _Server(uvicorn.Config(app, host=host, port=port, lifespan="off", **UVICORN))
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        if stopping is not None:
            stopping()
        await serving
        raise


def freeze() -> None:
    """Leave to the garbage collector only what comes from now on, and let it look less often: modules are never
    garbage, and what a batch makes is in no cycles. Walking them cost ingest 15 % of its CPU time at batches of 500,
    and scoring 20 %. And keep memory that arrays free."""
    keep_freed()
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


async def until_signalled(service: Coroutine[Any, Any, None]) -> None:
    """Run `service`, and cancel it at SIGTERM or SIGINT. Raises what it raises."""
    running = asyncio.ensure_future(service)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


class _Server(uvicorn.Server):
    """Leaves signals to whoever called `serve`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
