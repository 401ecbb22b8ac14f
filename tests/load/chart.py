"""A line chart as SVG, for the documentation: the horizontal axis logarithmic, the vertical one from 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 640, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 40, 60
_COLOURS: Final = ("#1668dc", "#d4380d", "#389e0d")


@dataclass(frozen=True)
class Line:
    """`points`: (x > 0, y >= 0)."""

    name: str
    points: Sequence[tuple[float, float]]


def write_chart(path: Path, *, title: str, lines: Sequence[Line]) -> None:
    """Every point with its values beside it; a line without points is left out."""
    drawn = [line for line in lines if line.points]
    values = [point for line in drawn for point in line.points]
    least, most = (bound(log10(x) for x, _ in values) for bound in (min, max))
    highest = max(y for _, y in values) * 1.2

    def place(x: float, y: float) -> tuple[float, float]:
        across = (log10(x) - least) / ((most - least) or 1)
        return _LEFT + across * (_WIDTH - _LEFT - _RIGHT - 60), _HEIGHT - _BOTTOM - y / highest * (
            _HEIGHT - _TOP - _BOTTOM
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
        f'<path d="M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" fill="none" stroke="#999"/>',
    ]
    for number, line in enumerate(drawn):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [place(x, y) for x, y in line.points]
        path_of = "L".join(f"{x:.0f} {y:.0f}" for x, y in places)
        parts.append(f'<path d="M{path_of}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for (x, y), (value_x, value_y) in zip(places, line.points, strict=True):
            parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{colour}"/>')
            parts.append(f'<text x="{x + 6:.0f}" y="{y - 8:.0f}" fill="{colour}">{value_y:.1f}</text>')
            parts.append(
                f'<text x="{x:.0f}" y="{_HEIGHT - _BOTTOM + 16 + 14 * number}" fill="{colour}">{value_x:,.0f}</text>'
            )
        parts.append(f'<text x="{_LEFT + 160 * number}" y="{_HEIGHT - 8}" fill="{colour}">— {escape(line.name)}</text>')
    path.write_text("\n".join([*parts, "</svg>", ""]))
