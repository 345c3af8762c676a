"""Files that rank images for captions, judged: a matrix of scores, or the ranks that a run of our own kept."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.words import count
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.answers.joined import Joined
from vlmt_cli.evaluation.answers.judge import Judgement
from vlmt_cli.evaluation.answers.matrix import read_matrix, read_ranks
from vlmt_cli.evaluation.answers.rows import Rows, kind_of, split_name
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.retrieval.rules import PROTOCOL, first_fold, judge_ranks


@dataclass(frozen=True)
class JudgedFile:
    """A file of predictions, judged.

    Attributes:
        path, form: which, and its form in words.
        total: its predictions.
        joined: how they go together with a benchmark's rows.
        judgement: what they score; None where no row has a right answer.
        notes: what is odd about it, in sentences.
        elsewhere: a set of the dataset that has all of its ids, where the rows do not; empty where none has.
    """

    path: Path
    form: str
    total: int
    joined: Joined
    judgement: Judgement | None
    notes: tuple[str, ...]
    elsewhere: str = ""


def is_ranking(path: Path, benchmark: str) -> bool:
    """Whether a file of a benchmark ranks: by the scores of all captions and images, or by ranks alone."""
    return kind_of(split_name(benchmark)[0]) == "retrieval" and path.suffix in (".npy", ".parquet")


def ranked(rows: Rows, path: Path) -> JudgedFile:
    """Judge a file that ranks. Raises a DataError when it is damaged, or not of these captions and images."""
    ranks = read_ranks(path, rows)
    if ranks is not None:
        return _ranked_before(rows, path, *ranks)
    matrix, by = read_matrix(path, rows)
    judged = rules_of(rows.task).judge(rows.task, rows.split, rows.table, {"scores_CI": matrix})
    every = np.arange(len(rows))
    joined = Joined(every, every, by, "", 0, 0, 0, 0, 0, (), ())
    said = f"Recall of the first fold of 1,000 images ({judged.protocol})." if judged.protocol else ""
    judgement = Judgement(judged.counted, judged.scores, TASKS[rows.task].metric, judged.extra,
                          {"rank": judged.columns["rank"].take(pa.array(judged.counted))},
                          tuple(filter(None, [said])))  # fmt: skip
    return JudgedFile(path, "matrix of scores", len(rows), joined, judgement, ())


def _ranked_before(rows: Rows, path: Path, ranked_rows: NDArray[np.int64], table: pa.Table) -> JudgedFile:
    """Judge the ranks of a run's own file, which may be of the first captions or the first fold alone."""
    judged = judge_ranks(rows.split, table)
    counted = ranked_rows[judged.counted]
    said: list[str] = []
    first = first_fold(rows.table["images"]) if rows.split == "test" else None
    is_fold = len(ranked_rows) < len(rows) and first is not None and np.array_equal(ranked_rows, first)
    if judged.protocol or is_fold:
        said.append(f"Recall of the first fold of 1,000 images ({PROTOCOL}).")
    elif len(ranked_rows) < len(rows):
        images = pc.count_distinct(pc.list_element(table["images"].combine_chunks(), 0)).as_py()
        said.append(f"Ranked among the {count(images, 'image')} of the file alone, which is easier than among all.")
    missing = 0 if is_fold else len(rows) - len(ranked_rows)
    joined = Joined(np.arange(len(ranked_rows)), ranked_rows, "caption id", "image", 0, 0, 0, 0, missing, (), ())
    columns = {"rank": judged.columns["rank"].take(pa.array(judged.counted))}
    judgement = Judgement(counted, judged.scores, TASKS[rows.task].metric, judged.extra, columns, tuple(said))
    return JudgedFile(path, "vlmt", len(ranked_rows), joined, judgement, ())
