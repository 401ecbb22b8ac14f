"""What attributes mean: values in one form, whatever system and language they come from, and what follows from them.

An attribute that is not listed in `names` passes as it is; so does a value that is not understood.
"""

from tierwise.domain.attribute_values.derive import derive

__all__ = ["derive"]
