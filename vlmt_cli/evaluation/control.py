"""The control of a comparison between seen and unseen images: a model that saw none of them, on the same examples."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.contamination import Control, controlled
from vlmt_cli.evaluation.leaks import Images, find_seen, read_links, training_of
from vlmt_cli.evaluation.run_scores import run_scores
from vlmt_cli.evaluation.setup import load_model
from vlmt_cli.runs.best import BestOrLast
from vlmt_cli.runs.folders import data_option
from vlmt_cli.tasks.scoring import Judged, ScoreColumn
from vlmt_cli.tasks.tables import read_columns

Controls: TypeAlias = dict[tuple[str, str], tuple[str, pa.Table]]
"""By task and split, the control's name, and its scores by example id."""


def read_controls(source: str, data: Path, images: Images, weights: BestOrLast, say: Callable[[str], None]) -> Controls:
    """Read a control's scores of the examples of each split of whose images it saw none.

    Args:
        source: a run that was evaluated.
        data: the data folder.
        images: of each task and split, the lists of image keys.
        weights: which of the run's.
        say: called with why a split has no control.

    Raises:
        DataError: it saw images of every split, it is not known which, or it was trained on since it was evaluated.
    """
    seen = find_seen(images, training_of(load_model(source, weights)), read_links(data))
    if seen.unknown:
        what = f"the training images of {' and '.join(seen.unknown)} are unknown, so that it may have seen any"
        raise DataError(what, where=source, todo="give --control a run of vlmt train")
    controls: Controls = {}
    if Path(source).is_dir() and (mine := run_scores(Path(source))).is_stale:
        raise DataError(mine.lack, where=source, todo=f"run {mine.todo}{data_option(data)}")
    for (task, split), lists in images.items():
        path = Path(source) / "predictions" / f"{task}-{split}.parquet"
        hits, count, _ = seen.report(lists)
        if hits:
            say(f"{task} {split} has no control: {source} saw {hits:,} of its {count:,} images")
        elif not path.exists():
            say(f"{task} {split} has no control: run vlmt evaluate --model {source} --tasks {task}{data_option(data)}")
        else:
            controls[task, split] = source, read_columns(path, ["example_id", "score"])
    if not controls:
        raise DataError("is a control of none of these tasks", where=source, todo="see the lines above")
    return controls


def control_of(
    controls: Controls,
    task: str,
    parts: Sequence[Judged],
    compared: tuple[ScoreColumn, NDArray[np.bool_], NDArray[np.int64]],
    drawn: tuple[int, int],
) -> Control | None:
    """Compare with the control of a task; None where it has no predictions of one of its splits.

    Args:
        controls: of all tasks.
        task: which.
        parts: its splits, judged.
        compared: of the examples of all parts their scores, whether their images were seen, and what is resampled.
        drawn: resamples and seed.
    """
    theirs = []
    for part in parts:
        if (task, part.split) not in controls:
            return None
        _, table = controls[task, part.split]
        rows = pc.index_in(part.columns["example_id"].take(pa.array(part.counted)), table["example_id"])
        theirs.append(table["score"].combine_chunks().take(rows).cast(pa.float64()).to_numpy(zero_copy_only=False))
    scores, seen, groups = compared
    return controlled(controls[task, parts[0].split][0], scores, np.concatenate(theirs), seen, groups, *drawn)
