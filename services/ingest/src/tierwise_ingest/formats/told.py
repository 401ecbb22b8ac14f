"""What an answer tells of a request's items, where its body is ours to choose."""

from typing import Any, Final

from tierwise_ingest.outcome import Outcome

_UNRECOGNISABLE: Final = (
    "With neither id nor time a retry cannot be told from a new interaction: sending these again counts again."
)
_LEFT_OUT: Final = (
    "These fields were not taken: the source may not assert them, or they are wrong and beside the point."
)


def told(outcome: Outcome) -> dict[str, Any]:
    """Counts, what was rejected and why, and warnings where there are any."""
    content: dict[str, Any] = {
        "accepted": outcome.accepted,
        "rejected": len(outcome.rejections),
        "results": outcome.rejections,
    }
    warnings: list[dict[str, Any]] = []
    if indexes := outcome.unrecognisable:
        warnings.append({"code": "retry_not_recognised", "indexes": indexes, "detail": _UNRECOGNISABLE})
    if outcome.left_out:
        fields = sorted({field for one in outcome.left_out for field in one.fields})
        indexes = [one.index for one in outcome.left_out]
        warnings.append({"code": "left_out", "indexes": indexes, "fields": fields, "detail": _LEFT_OUT})
    if warnings:
        content["warnings"] = warnings
    return content
