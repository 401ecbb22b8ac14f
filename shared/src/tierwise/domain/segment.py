"""Segments: customers whom a filter fits, by a name that people give them."""

import re
from typing import Final

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
SEGMENTS_MAX: Final = 100
"""Each is looked at whenever a customer is written."""

FILTER_CHARS_MAX: Final = 4_000
