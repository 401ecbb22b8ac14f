"""Forgetting what the audit log need not know any more."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import delete, func
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.db.engine import DATABASE_ERRORS, is_transient
from tierwise.db.tables import audit

log = structlog.get_logger("tierwise.audit")

_EVERY_S: Final = 3_600.0


async def forget(engine: AsyncEngine, retention_days: int) -> None:
    """What is older, every hour, until cancelled."""
    while True:
        try:
            async with engine.begin() as connection:
                await connection.execute(delete(audit).where(audit.c.at < func.now() - timedelta(days=retention_days)))
        except DATABASE_ERRORS as error:
            if not is_transient(error):
                raise
            log.warning("audit_waits", error=type(error).__name__)
        await asyncio.sleep(_EVERY_S)
