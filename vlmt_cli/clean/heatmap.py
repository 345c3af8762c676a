"""The overlap matrix as a picture: before and after, in images and in examples."""

from pathlib import Path
from typing import Any

import numpy as np

from vlmt_cli.base.files import atomic
from vlmt_cli.clean.overlap import Matrix
from vlmt_cli.clean.report import Report
from vlmt_cli.datasets.table import short_title


def draw_heatmap(report: Report, path: Path) -> None:
    """Draw the overlap matrices of a report into a PNG.

    Rows are test sets, columns what was trained on, as in the paper's table 1; numbers are
    percent, and an empty cell is zero. Matrices after cleaning are drawn only where they are not zero everywhere.
    """
    from matplotlib.figure import Figure  # what reads a split, a training for example, draws nothing

    before = [
        ("% of test images in train+val, before cleaning", report.test_images_before),
        ("% of train+val examples that show a test image, before cleaning", report.examples_before),
    ]
    after = [("after cleaning", report.test_images_after), ("after cleaning", report.examples_after)]
    is_clean = not any(cell.hit for _, cells in after for row in cells.values() for cell in row.values())
    panels = [before] if is_clean else [before, after]
    rows, columns = len(report.test_images_before), _columns(report.test_images_before)
    # Inches: cells, and room for the names beside and below them. Laying out by hand halves the time.
    across, down, left, below = 0.36 * max(len(columns), 6), 0.36 * max(rows, 2), 1.5, 1.5
    width, height = 2 * (left + across) + 0.3, len(panels) * (below + down) + 0.3
    figure = Figure(figsize=(width, height))
    for line, pair in enumerate(reversed(panels)):
        for column, (title, cells) in enumerate(pair):
            x, y = left + column * (left + across), below + line * (below + down)
            axes = figure.add_axes((x / width, y / height, across / width, down / height))
            _panel(axes, title, cells, columns)
    if is_clean:
        figure.text(0.5, 0.12 / height, "After cleaning: 0 everywhere.", ha="center", fontsize=10)
    with atomic(path) as temporary:
        # Without a date and version the same report gives the same bytes.
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})


def percent(value: float) -> str:
    """Write a percentage that is not zero."""
    return f"{value:.0f}" if value >= 1 else "<1"


def _panel(axes: Any, title: str, cells: Matrix, columns: list[str]) -> None:
    values = np.full((len(cells), len(columns)), np.nan)
    for i, row in enumerate(cells.values()):
        for j, column in enumerate(columns):
            if (cell := row.get(column)) is not None:
                values[i, j] = cell.percent
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xticks(range(len(columns)), map(short_title, columns), rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(cells)), map(short_title, cells), fontsize=8)
    axes.set_xlabel("trained on", fontsize=8)
    axes.set_ylabel("test set", fontsize=8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if not values.size:
        return
    corners = [np.arange(-0.5, side) for side in reversed(values.shape)]
    axes.pcolormesh(*corners, values, cmap="Reds", vmin=0, vmax=100, edgecolors="white", linewidth=1.5)
    axes.invert_yaxis()
    for i, j in np.ndindex(values.shape):
        if (value := values[i, j]) > 0:
            colour = "white" if value > 55 else "#222222"
            axes.text(j, i, percent(float(value)), ha="center", va="center", fontsize=8, color=colour)


def _columns(cells: Matrix) -> list[str]:
    return list(dict.fromkeys(column for row in cells.values() for column in row))
