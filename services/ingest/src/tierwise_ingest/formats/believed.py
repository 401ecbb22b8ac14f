"""What an SDK says beyond what its source is trusted with, or beside the point and wrong: left out, and told."""

from collections.abc import Callable, Collection
from typing import Any

from tierwise.domain.claim import Admitted, Claim, Terms, take
from tierwise.domain.rejection import InvalidInteraction

Words = Callable[[str], str]
"""The sender's name of a field of ours."""


def take_believed(
    claim: Claim, terms: Terms, words: Words, *, spare: Collection[str] = (), left_out: Collection[str] = ()
) -> Admitted:
    """The claim without the identifiers and attributes that its source may not assert: the same SDK sends them from a
    page as from a server. `spare`: fields that are left out where they are wrong. An identifier goes only while there
    is another. `left_out`: what was before. Raises InvalidInteraction, with the field in the sender's words."""
    trust = terms.source.trust
    gone = list(left_out)
    if trust.kinds is not None and not trust.kinds.isdisjoint(claim.identifiers):
        gone += _restrict(claim.identifiers, "identifiers", trust.kinds, words)
    if trust.attributes is not None and claim.attributes:
        gone += _restrict(claim.attributes, "attributes", trust.attributes, words)
    while True:
        try:
            admitted = take(claim, terms)
        except InvalidInteraction as rejection:
            field = rejection.field
            if field is not None and field in spare and _leave_out(claim, field):
                gone.append(words(field))
                continue
            raise InvalidInteraction(rejection.code, field and words(field), rejection.detail) from rejection
        return admitted._replace(left_out=tuple(gone)) if gone else admitted


def _restrict(held: dict[str, Any], member: str, allowed: frozenset[str], words: Words) -> list[str]:
    names = [name for name in held if name not in allowed]
    for name in names:
        del held[name]
    return [words(f"{member}.{name}") for name in names]


def _leave_out(claim: Claim, field: str) -> bool:
    member, _, name = field.partition(".")
    held: dict[str, Any] = getattr(claim, member)
    if member == "identifiers" and len(held) == 1:
        return False
    del held[name]
    return True
