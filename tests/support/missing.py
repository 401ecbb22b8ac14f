"""What a machine may lack: a counted, explained skip at home, a failure with CI=true."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """`what`: what is missing, and what brings it."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
