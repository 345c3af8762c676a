"""Table 3 as a picture: pairs left, triples right, and under them triples against the sum of their pairs."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from vlmt_cli.analysis.relations.pairs import Cell, Kind, PairTable
from vlmt_cli.analysis.relations.seeds import one_seed, one_seed_mark
from vlmt_cli.base.files import atomic

COLOURS = "PuOr"
"""Diverging, and told apart with any kind of colour vision: purple gains, orange loses."""
_INK, _DIM, _GAIN, _LOSS = "#1d2433", "#667085", "#5e3c99", "#e66101"
_CELL_WIDTH, _CELL_HEIGHT = 0.98, 0.62  # inches


def draw_pairs(pairs: PairTable, path: Path) -> None:
    """Draw what a table of pairs holds into a PNG.

    Each cell is the row's relative change when it is trained with the column, in percent, with its interval below. A
    number in brackets is one whose interval crosses zero.
    """
    names = [item.name for item in pairs.items]
    panels = [2]
    if any(cell.together == 3 for cell in pairs.cells):
        panels.append(3)
    sums = [cell for cell in pairs.cells if cell.kind == "sum of pairs"]
    columns = {together: list(combinations(names, together - 1)) for together in panels}
    left, gap, top = 1.35, 0.55, 0.95
    widths = [(len(columns[together]) + 1.15) * _CELL_WIDTH for together in panels]
    height = (len(names) + 1.15) * _CELL_HEIGHT
    under = 0.27 * len(sums) + 1.45 if sums else 0.0
    across = left + sum(widths) + gap * (len(panels) - 1) + 0.25
    caption = wrap(_caption(pairs), int(13 * (across - left)))
    below = 0.25 + 0.17 * len(caption)
    size = (across, top + height + below + under)
    figure = Figure(figsize=size)
    most = max((abs(cell.number.value) for cell in pairs.cells if cell.kind in _DRAWN), default=0.0) or 1.0
    x = left
    for together, width in zip(panels, widths, strict=True):
        frame = (x / size[0], (below + under) / size[1], width / size[0], height / size[1])
        _heat_map(figure.add_axes(frame), pairs, together, columns[together], most)
        x += width + gap
    if sums:
        frame = (2.6 / size[0], 0.62 / size[1], (size[0] - 3.2) / size[0], (under - 1.2) / size[1])
        _sums(figure.add_axes(frame), pairs, sums)
    figure.text(
        left / size[0], (under + below - 0.12) / size[1], "\n".join(caption), fontsize=8.5, color=_DIM, va="top"
    )
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})


_DRAWN: tuple[Kind, ...] = ("change", "row average", "column average")


def _heat_map(axes: Any, pairs: PairTable, together: int, columns: Sequence[tuple[str, ...]], most: float) -> None:
    titles = {item.name: item.title for item in pairs.items}
    rows, mark = list(titles), one_seed_mark(cell.number for cell in pairs.cells)
    apart = 0.15  # of a cell, between the changes and their averages
    for i, row in enumerate([*rows, ""]):
        for j, others in enumerate([*columns, ()]):
            kind: Kind = "change" if row and others else "row average" if row else "column average"
            cell = pairs.cell(kind, together, row, others) if row or others else None
            x, y = j + apart * (j == len(columns)), i + apart * (i == len(rows))
            empty = "" if row in others or not (row or others) else "not\ntrained"
            _square(axes, cell, x, y, most, empty, mark)
    axes.set_xlim(-0.5, len(columns) + 0.5 + apart)
    axes.set_ylim(len(rows) + 0.5 + apart, -0.5)
    labels = [" &\n".join(titles[name] for name in others) for others in columns]
    axes.set_xticks([*range(len(columns)), len(columns) + apart], [*labels, "mean"], fontsize=9, color=_INK)
    axes.set_yticks([*range(len(rows)), len(rows) + apart], [*titles.values(), "mean"], fontsize=9, color=_INK)
    axes.xaxis.tick_top()
    if together == 3:
        axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    title = "trained with one other" if together == 2 else "trained with two others"
    axes.text(-0.48, -1.2, title, fontsize=11, color=_INK, weight="bold", va="bottom")


def _square(axes: Any, cell: Cell | None, x: float, y: float, most: float, empty: str, mark: str) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    if cell is None:
        axes.text(x, y, empty, ha="center", va="center", fontsize=9, color=_DIM)
        return
    number = cell.number
    fill = colormaps[COLOURS](0.5 + 0.5 * number.value / most)
    axes.add_patch(Rectangle((x - 0.48, y - 0.47), 0.96, 0.94, facecolor=fill, linewidth=0))
    linear = np.where(np.array(fill[:3]) > 0.04, ((np.array(fill[:3]) + 0.055) / 1.055) ** 2.4, 0)
    ink = "white" if np.dot(linear, (0.2126, 0.7152, 0.0722)) < 0.22 else _INK
    text = f"({_signed(number.value, 2)})" if number.crosses_zero else _signed(number.value, 2)
    text += "" if number.interval else mark
    weight = "normal" if number.crosses_zero or not number.interval else "bold"
    above = 0.14 if number.interval else 0
    axes.text(x, y - above, text, ha="center", va="center", fontsize=10, color=ink, weight=weight)
    if number.interval:
        low, high = (_signed(end, 1) for end in number.interval)
        axes.text(x, y + 0.24, f"{low} to {high}", ha="center", va="center", fontsize=6.5, color=ink)


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits if abs(value) < 100 else 0}f}".replace("-", "\u2212")


def _sums(axes: Any, pairs: PairTable, sums: Sequence[Cell]) -> None:
    """Draw each triple as a point, and the sum of its pairs as a ring."""
    titles = {item.name: item.title for item in pairs.items}
    labels = []
    for y, total in enumerate(sums):
        measured = pairs.cell("change", 3, total.row, total.others)
        assert measured is not None
        change, other = measured.number.value, total.number.value
        axes.plot(
            [other, change], [y, y], color=_GAIN if change >= other else _LOSS, linewidth=2.2, zorder=2, alpha=0.6
        )
        for x, fill, label in ((other, "white", "sum of its two pairs"), (change, _INK, "triple as measured")):
            axes.plot([x], [y], "o", mfc=fill, mec=_INK, markersize=7, zorder=3, label="" if y else label)
        labels.append(f"{titles[total.row]} with {' & '.join(titles[name] for name in total.others)}")
    axes.axvline(0, color="#98a2b3", linewidth=0.8, zorder=1)
    axes.set_yticks(range(len(labels)), labels, fontsize=8.5, color=_INK)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8.5, colors=_DIM)
    axes.grid(axis="y", color="#eaecf0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#d0d5dd")
    axes.set_xlabel("change from single-task training, %", fontsize=9, color=_DIM)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False, fontsize=8.5)
    axes.set_title("Do gains add up?", fontsize=11, loc="left", color=_INK, weight="bold")


def _caption(pairs: PairTable) -> str:
    text = (
        f"Change of the row's {pairs.source} score from single-task training, in %: right what it gains on average, "
        "below what others gain from it."
    )
    numbers = [cell.number for cell in pairs.cells]
    if (seeds := max((len(number.values) for number in numbers), default=0)) > 1:
        text += f" Up to {seeds} seeds, 95% intervals (t); in brackets where the interval crosses zero."
    return f"{text} {one_seed(numbers)}".strip()
