"""What has to come of interactions, whatever happens meanwhile: that of one worker that takes them in order."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.database import TestServer, test_settings
from tests.support.importing import counted
from tests.support.scoring import PATIENCE_S, append, score
from tests.support.services import Deployment, comparable, deployed, until
from tierwise.db.engine import open_engine
from tierwise.db.tables import interactions
from tierwise.domain.interaction import Interaction
from tierwise.security.personal import open_vault
from tierwise.stream.open import open_stream


async def sequential(
    postgres: TestServer, directory: Path, given: Sequence[Interaction], *, within_s: float = PATIENCE_S
) -> list[bytes]:
    """Everyone's view, as `comparable` gives it, on a database of its own."""
    async with postgres.database() as dsn:
        settings = test_settings(database_url=dsn, data_dir=directory)
        async with open_engine(settings) as engine:
            vault = await open_vault(engine, settings)
            async with open_stream(settings, engine, vault) as stream:
                await append(stream, vault, given)
                await score(engine, stream, vault, settings, within_s=within_s)
        async with deployed(directory, dsn) as deployment:
            return comparable(await deployment.export())


async def until_scored(deployment: Deployment, engine: AsyncEngine, count: int, *, within_s: float = 30.0) -> None:
    """Until so many interactions are on timelines."""
    query = select(func.count()).select_from(interactions)

    async def there() -> bool:
        return await counted(engine, query) >= count

    await until(there, within_s=within_s, told=deployment.said)
