"""The keys of the demo, kept in `DATA_DIR/demo.env` from one run to the next."""

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.domain.source import BACKEND
from tierwise.problem import Unauthorized
from tierwise.security.keys import DEFAULT_SCOPES, KeyRing, create_read_key, create_write_key
from tierwise.security.personal import Vault

SOURCE = "demo"
WRITE_KEY, READ_KEY = "TIERWISE_WRITE_KEY", "TIERWISE_READ_KEY"


@dataclass(frozen=True, slots=True)
class DemoKeys:
    """`fresh`: they were made just now, so the database holds nothing of an earlier demo."""

    write: str
    read: str
    fresh: bool


def demo_env(data_dir: Path) -> Path:
    return data_dir / "demo.env"


def read_demo_keys(data_dir: Path) -> dict[str, str]:
    """The keys by their names; none where no demo ever ran."""
    path = demo_env(data_dir)
    if not path.is_file():
        return {}
    lines = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in lines}


async def ensure_demo_keys(engine: AsyncEngine, vault: Vault, data_dir: Path) -> DemoKeys:
    """Those of the last run where the database still knows them, else new ones: a write key of the source `demo`, and
    a read key with every scope that reads, personal data too."""
    kept = read_demo_keys(data_dir)
    ring = KeyRing(engine, vault)
    try:
        await ring.authenticate_write(kept.get(WRITE_KEY, ""))
        await ring.authenticate_read(kept.get(READ_KEY, ""))
    except Unauthorized:
        async with engine.begin() as connection:
            write = await create_write_key(connection, vault, source=SOURCE, trust=BACKEND)
            scopes = (*DEFAULT_SCOPES, "pii:read")
            read = await create_read_key(connection, vault, name=SOURCE, scopes=scopes)
        _keep(demo_env(data_dir), f"{WRITE_KEY}={write.secret}\n{READ_KEY}={read.secret}\n")
        return DemoKeys(write.secret, read.secret, fresh=True)
    return DemoKeys(kept[WRITE_KEY], kept[READ_KEY], fresh=False)


def _keep(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
