"""Who read whose personal data: a row is committed before unmasked values leave."""

from collections.abc import Iterable

from fastapi import Request
from sqlalchemy import insert

from tierwise.db.tables import audit
from tierwise.security.keys import Reader
from tierwise_profile_api.authenticate import PERSONAL
from tierwise_profile_api.backend import backend_of
from tierwise_profile_api.reads import database_needed


async def personal_data_left(request: Request, reader: Reader, customers: Iterable[int | None]) -> None:
    """Writes down that `reader` is answered with these customers' personal data, None being everyone's; nothing where
    the reader sees it masked. Raises Unavailable: then it must not leave."""
    if PERSONAL not in reader.scopes:
        return
    what = f"{request.method} {request.scope['route'].path}"
    name = reader.name if reader.customer is None else f"{reader.name} (browser token)"
    rows = [{"reader": reader.id, "name": name, "customer_id": one, "what": what} for one in customers]
    if rows:
        with database_needed():
            async with backend_of(request).engine.begin() as connection:
                await connection.execute(insert(audit), rows)
