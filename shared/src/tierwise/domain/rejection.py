"""Why an interaction is not taken."""


class InvalidInteraction(Exception):  # noqa: N818  (what it says of the interaction)
    """`code` is stable and what programs compare; `field` is where (dots join names), None for the whole;
    `detail` is for people and repeats no value that could be personal."""

    def __init__(self, code: str, field: str | None, detail: str) -> None:
        super().__init__(f"{code}: {field}: {detail}" if field else f"{code}: {detail}")
        self.code = code
        self.field = field
        self.detail = detail
