"""Every format that ingest reads."""

from typing import Final

from tierwise_ingest.formats.format import Format
from tierwise_ingest.formats.native import NATIVE

FORMATS: Final[tuple[Format, ...]] = (NATIVE,)
