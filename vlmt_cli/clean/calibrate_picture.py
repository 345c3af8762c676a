"""Recall against false pairs by threshold, drawn."""

from pathlib import Path

from vlmt_cli.base.files import atomic
from vlmt_cli.clean.calibrate import Calibration, Curve

_LABELLED = 3
"""Every so many points have their threshold beside them."""


def draw_calibration(calibration: Calibration, path: Path) -> None:
    """Draw how looks and embeddings do, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    million = 1e6 / max(1, calibration.different)
    curves: list[tuple[str, Curve]] = [("looks, bits of 256", calibration.looks)]
    if calibration.embeddings:
        curves.append((f"{calibration.model}, cosine", calibration.embeddings))
    for title, curve in curves:
        x = [point.false_pairs * million for point in curve.points]
        y = [point.recall for point in curve.points]
        axes.plot(x, y, marker="o", markersize=3, linewidth=1, label=title)
        for number, point in enumerate(curve.points):
            at = (x[number], y[number])
            if not number % _LABELLED and at not in zip(x[:number], y[:number], strict=True):
                axes.annotate(f"{point.threshold:g}", at, (3, 3), textcoords="offset points", fontsize=7)
    axes.set_xscale("symlog", linthresh=million)
    axes.set_xlim(left=-million / 10)
    axes.set_xlabel("pairs of different pictures taken for copies, in a million", fontsize=9)
    axes.set_ylabel("copies caught, %", fontsize=9)
    axes.set_ylim(0, 104)
    axes.set_title(f"{calibration.copies:,} copies, {calibration.different:,} different pairs", fontsize=10, loc="left")
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)
    with atomic(path) as temporary:
        # Without a date and version the same figures give the same bytes.
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
