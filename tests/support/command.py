"""The command `tierwise` in a process of its own, on a test's database."""

import asyncio
import os
import sys
from pathlib import Path
from typing import NamedTuple

from tierwise.settings import Settings

TIERWISE = Path(sys.executable).with_name("tierwise")


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


async def tierwise(settings: Settings, *arguments: str) -> Done:
    """Run to its end."""
    assert settings.database_url is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIERWISE_")}
    environment |= {
        "TIERWISE_DATABASE_URL": settings.database_url.get_secret_value(),
        "TIERWISE_SECRET_KEY": ",".join(key.get_secret_value() for key in settings.secret_key),
        "TIERWISE_DATA_DIR": str(settings.data_dir),
    }
    process = await asyncio.create_subprocess_exec(
        TIERWISE,
        *arguments,
        env=environment,
        cwd=settings.data_dir,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, stdout.decode(), stderr.decode())
