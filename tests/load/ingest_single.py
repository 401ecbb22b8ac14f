"""Single interactions, each a request, into Apache Kafka, against a server that does nothing but answer."""

import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import msgspec
import psutil  # type: ignore[import-untyped]

from tests.load.bench import Result, benchmark
from tests.load.ingest import Service, ingest_on_kafka, interaction, measured
from tests.support.services import free_port

REQUESTS = 60_000
CONNECTIONS = 256


@benchmark("ingest-single")
async def ingest_single() -> AsyncIterator[Result]:
    """One interaction a request, a process a core."""
    bodies = [msgspec.json.encode(interaction(random.Random(number))) for number in range(2_000)]
    async with ingest_on_kafka("--workers", str(os.cpu_count() or 1)) as service:
        await measured(service, bodies, requests=6_000, connections=CONNECTIONS)
        sent, cpu_s = await measured(service, bodies, requests=REQUESTS, connections=CONNECTIONS)
        calm, _ = await measured(service, bodies, requests=20_000, connections=64, per_second=2_000)
        with bare(service) as nothing:
            await measured(nothing, bodies, requests=3_000, connections=CONNECTIONS)
            _, bare_cpu_s = await measured(nothing, bodies, requests=REQUESTS, connections=CONNECTIONS)
    yield Result(name="ingest-single", value=REQUESTS / sent.seconds, unit="interactions/s", goal=9_000)
    yield Result(
        name="ingest-single-cpu",
        value=cpu_s / REQUESTS * 100_000,
        unit="CPU s of the service / 100,000",
        goal=11.0,
        lower_is_better=True,
        baseline="a server that reads and answers",
        baseline_value=bare_cpu_s / REQUESTS * 100_000,
    )
    yield Result(
        name="ingest-single-p99", value=calm.latency_p99_ms, unit="ms at 2,000/s", goal=30.0, lower_is_better=True
    )


@contextmanager
def bare(service: Service) -> Iterator[Service]:
    """`tests.load.bare_asgi` in the place of the service."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.load.bare_asgi", str(port)])
    try:
        for _ in range(100):
            try:
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        settings = service.settings.model_copy(update={"ingest_port": port})
        yield replace(service, settings=settings, process=psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)
