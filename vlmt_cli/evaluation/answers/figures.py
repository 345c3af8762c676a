"""Figures of one judged file: by category, by what training saw, and beside another file; images are resampled.

``groups`` are the images of all N rows, (N,); ``drawn`` the resamples and the seed.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlmt_cli.evaluation.answers import balance
from vlmt_cli.evaluation.answers.judge import Judgement
from vlmt_cli.evaluation.answers.report import TrainingReport
from vlmt_cli.evaluation.answers.rows import Rows
from vlmt_cli.evaluation.answers.seen import Saw
from vlmt_cli.evaluation.bootstrap import Estimate, estimate, paired_difference
from vlmt_cli.evaluation.contamination import Contamination, Control, contrast, controlled
from vlmt_cli.tasks.scoring import Measure, ScoreColumn

_MOST_CATEGORIES = 60


def mean(value: Measure | float, drawn: tuple[int, int]) -> Estimate | float:
    """Estimate a metric; plain numbers stay as they are."""
    return estimate(value.scores, value.groups, value.weights, *drawn) if isinstance(value, Measure) else value


def by_category(
    rows: Rows, groups: NDArray[np.int64], judgement: Judgement, drawn: tuple[int, int]
) -> dict[str, dict[str, Estimate | float]]:
    """Score each category of a benchmark by itself, where it has any; by category, the mean of each metric."""
    if "category" not in rows.table.column_names or rows.kind == "referring":
        return {}
    codes = rows.table["category"].combine_chunks().take(pa.array(judgement.counted)).dictionary_encode()
    names = codes.dictionary.to_pylist()
    if not 1 < len(names) <= _MOST_CATEGORIES:
        return {}
    of = codes.indices.fill_null(-1).to_numpy()
    made: dict[str, dict[str, Estimate | float]] = {}
    for number, name in sorted(enumerate(names), key=lambda item: item[1]):
        part = of == number
        metrics: dict[str, Estimate | float] = {
            judgement.metric: estimate(judgement.scores[part], groups[judgement.counted][part], None, *drawn)
        }
        for metric, value in judgement.extra.items():
            if isinstance(value, Measure) and len(value.scores) == len(part):
                weights = None if value.weights is None else value.weights[part]
                if weights is None or weights.any():
                    metrics[metric] = estimate(value.scores[part], groups[judgement.counted][part], weights, *drawn)
        made[name] = metrics
    return made


def contrasted(
    rows: Rows,
    groups: NDArray[np.int64],
    judgement: Judgement,
    saw: Saw,
    control: tuple[str, Judgement] | None,
    drawn: tuple[int, int],
) -> tuple[Contamination | None, Control | None, TrainingReport]:
    """Split a score by what training saw; ``control`` is another file's name and judgement."""
    known = saw.known[judgement.counted]
    counted = judgement.counted[known]
    scores, seen, images = judgement.scores[known], saw.seen[counted], groups[counted]
    distinct = [len(np.unique(images[part])) for part in (seen, ~seen)]
    unknown = len(np.unique(groups[judgement.counted[~known]]))
    parts = contrast(scores, seen, images, *drawn) if len(scores) else None
    beside = None
    if control is not None:
        theirs = np.full(len(rows), np.nan)
        theirs[control[1].counted] = control[1].scores
        beside = controlled(control[0], scores, theirs[counted], seen, images, *drawn)
    strata = balance.strata_of(rows)
    balanced, by = None, ""
    if strata is not None and len(scores):
        by = strata[1]
        balanced = balance.balanced(scores, seen, images, strata[0].take(pa.array(counted)), *drawn)
    report = TrainingReport(
        what=saw.what, is_proxy=saw.is_proxy, seen=distinct[0], unseen=distinct[1], unknown=unknown,
        balanced=balanced, balanced_by=by, caveats=saw.caveats,
    )  # fmt: skip
    return parts, beside, report


def paired(ours: ScoreColumn, first: ScoreColumn, groups: NDArray[np.int64], drawn: tuple[int, int]) -> Estimate | None:
    """Estimate by how much a file scores above another, on the rows that both answer; images resampled."""
    both = ~np.isnan(ours) & ~np.isnan(first)
    return paired_difference(ours[both], first[both], groups[both], *drawn) if both.any() else None
