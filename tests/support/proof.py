"""How thoroughly properties are tried."""

from hypothesis import settings

proof = settings(max_examples=150, deadline=None)
thorough_proof = settings(max_examples=1_000, deadline=None)
