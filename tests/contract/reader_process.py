"""A reader in a process of its own, to be killed: prints a line for each record that it read.

Arguments: settings as JSON, topic, group.
"""

import asyncio
import json
import sys

from pydantic import SecretStr

from tests.support.database import test_settings
from tests.support.reading import Reading
from tierwise.db.engine import open_engine
from tierwise.security.personal import open_vault
from tierwise.stream.open import open_stream
from tierwise.stream.port import StreamUnavailable


async def main(settings_json: str, topic: str, group: str) -> None:
    given = json.loads(settings_json)
    settings = test_settings(database_url=given["database_url"], data_dir=given["data_dir"])
    settings = settings.model_copy(update={"kafka_bootstrap_servers": given["kafka_bootstrap_servers"]})
    dsn = SecretStr(given["database_url"] or "postgresql://nowhere")
    async with open_engine(settings.model_copy(update={"database_url": dsn})) as engine:
        vault = await open_vault(engine, settings) if given["database_url"] else None
        stream = open_stream(settings, engine, vault)  # type: ignore[arg-type]
        reading = await Reading.join(stream, topic, group)
        while True:
            try:
                for one in await reading.reader.read(max_records=10, max_wait_ms=500):
                    print(one.partition.index, flush=True)
            except StreamUnavailable:
                await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
