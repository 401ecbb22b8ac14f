"""What was acknowledged: a line a batch, written before the client goes on. A run that was stopped goes on there."""

import json
from collections.abc import Iterator
from pathlib import Path


class Journal:
    """Batches of a client are acknowledged one after the other: the next one's number tells all."""

    def __init__(self, path: Path) -> None:
        self._next: dict[str, int] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                client, number = json.loads(line)
                self._next[client] = number + 1
        self._file = path.open("a", buffering=1)

    def next(self, client: str) -> int:
        """The number of the first batch that nobody acknowledged."""
        return self._next.get(client, 0)

    def acknowledged(self, client: str, number: int) -> None:
        self._file.write(json.dumps([client, number]) + "\n")
        self._next[client] = number + 1

    def since(self, marks: dict[str, int]) -> Iterator[tuple[str, int]]:
        """(client, number) of the batches acknowledged since `marks`, which it moves."""
        for client, following in self._next.items():
            yield from ((client, number) for number in range(marks.get(client, 0), following))
            marks[client] = following

    def close(self) -> None:
        self._file.close()
