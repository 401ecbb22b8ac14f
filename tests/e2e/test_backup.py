"""A backup put back, and the log read on from where it stood, is the same as if nothing had happened."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.command import tierwise
from tests.support.database import TestServer
from tests.support.product import Product, history
from tests.support.services import Deployment
from tierwise.db.engine import engine_of
from tierwise.security.personal import Vault, open_vault
from tierwise.stream.open import open_stream
from tierwise_scoring.digest import Digesting

AT = datetime.now(UTC) + timedelta(days=1)


async def test_a_restored_backup_and_the_rest_of_the_log_are_the_same_as_no_accident(
    deployment: Deployment, postgres: TestServer, tmp_path: Path
) -> None:
    """What came in after the backup is in the log, and nowhere else."""
    told = history(random.Random(7), customers=60, interactions=600)
    engine, directory = engine_of(deployment.dsn), str(tmp_path / "backup")
    vault = await open_vault(engine, deployment.settings)
    async with open_stream(deployment.settings, engine, vault) as stream, postgres.database(template=None) as dsn:
        product = Product(engine, stream, vault, deployment.settings)
        await product.append(*told[:400])
        await product.score()
        await deployment.succeed("backup", directory)
        await product.append(*told[400:])
        await product.score()
        whole = await digest(engine, vault)

        settings = deployment.settings.model_copy(update={"database_url": SecretStr(dsn), "data_dir": tmp_path})
        put_back = await tierwise(settings, "restore", directory)
        assert put_back.status == 0, put_back.stderr
        restored = engine_of(dsn)
        assert await digest(restored, vault) != whole
        if settings.kafka_bootstrap_servers is None:
            await move_log(engine, restored)
        async with open_stream(settings, restored, vault) as log:
            await Product(restored, log, vault, settings).score()
        assert await digest(restored, vault) == whole
        await restored.dispose()
    await engine.dispose()


async def digest(engine: AsyncEngine, vault: Vault) -> str:
    return (await Digesting(engine, vault).run(AT)).hash


async def move_log(old: AsyncEngine, new: AsyncEngine) -> None:
    """The embedded log is in the database that was lost. As if its tables had been saved to the end."""
    for table in ("stream_heads", "stream_batches"):
        async with old.connect() as source, new.begin() as target:
            rows = [dict(row._mapping) for row in await source.execute(text(f"SELECT * FROM {table}"))]
            await target.execute(text(f"DELETE FROM {table}"))
            if rows:
                names = ", ".join(rows[0])
                values = ", ".join(f":{name}" for name in rows[0])
                await target.execute(text(f"INSERT INTO {table} ({names}) VALUES ({values})"), rows)
