"""Which tasks a checkpoint is scored on, and on which split of each: the official test set wherever it can be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.clean_command import get_examples, more_splits
from vlmt_cli.datasets.prepared import split_tables
from vlmt_cli.datasets.table import AMONG_CANDIDATES, TASKS
from vlmt_cli.features.coverage import images_of
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.tables import read_columns

if TYPE_CHECKING:
    from vlmt_cli.features.reader import RegionReader
    from vlmt_cli.runs.checkpoint import Checkpoint

TEST = "test"
STAND_IN = "val"


@dataclass(frozen=True)
class Choice:
    """What one task is scored on.

    Attributes:
        task: which.
        splits: scored together.
        submitted: the split that a submission file is written of; None for none.
        secret: the test split whose answers are not known, so that another one stands in for it; None where none does.
    """

    task: str
    splits: tuple[str, ...]
    submitted: str | None = None
    secret: str | None = None

    @property
    def name(self) -> str:
        """The splits, as ``scores.json`` has them."""
        return "+".join(self.splits)

    @property
    def all_splits(self) -> tuple[str, ...]:
        """All that a model runs over."""
        return tuple(dict.fromkeys([*self.splits, *([self.submitted] if self.submitted else [])]))


def choose(
    checkpoint: "Checkpoint",
    reader: "RegionReader",
    data: Path,
    tasks: Sequence[str],
    required: set[str],
    split: str | None = None,
    submission: bool = False,
) -> tuple[list[Choice], dict[str, str]]:
    """Choose the split of each task.

    Args:
        checkpoint: the model.
        reader: of region features.
        data: the data folder.
        tasks: that may be scored.
        required: those of them that must be.
        split: a split to score instead of the test set; ``test`` is the test set under any name.
        submission: whether to write submission files.

    Returns:
        The choices, and why each other task is left out.

    Raises:
        DataError: a required task cannot be scored, or none can.
    """
    stored = pa.array(reader.store.keys(), pa.string())
    choices, left_out = [], {}
    for task in tasks:
        try:
            _check_model(checkpoint, reader, task)
            choice = _choose_splits(data, task, split, submission)
            _check_features(data, choice, stored, reader.store.path)
        except _LacksError as error:
            if task in required:
                raise
            left_out[task] = error.what
        else:
            choices.append(choice)
    if not choices:
        reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason(left_out).items())
        raise DataError(f"no task can be scored ({reasons})", where=data)
    return choices, left_out


def by_reason(left_out: Mapping[str, str]) -> dict[str, list[str]]:
    """Group tasks by why they are left out."""
    reasons: dict[str, list[str]] = {}
    for task, reason in left_out.items():
        reasons.setdefault(reason, []).append(task)
    return reasons


def table_of(data: Path, task: str, split: str) -> Path:
    """Return the example table of a split."""
    return data / "examples" / task / f"{split}.parquet"


class _LacksError(DataError):
    """A task cannot be scored, through no fault of any file."""


def _check_model(checkpoint: "Checkpoint", reader: "RegionReader", task: str) -> None:
    head = TASKS[task].head
    if head not in checkpoint.config.heads:
        raise _LacksError(f"the model has no {head} head", where=task, todo="leave the task out")
    if (TASKS[task].labels or TASKS[task].vocabulary) and head not in checkpoint.labels:
        todo = f"give them to vlmt convert with --answers {head}=FILE"
        raise _LacksError(f"the checkpoint does not say which answers its {head} head has", where=task, todo=todo)
    if task in AMONG_CANDIDATES and reader.of(task).candidates is None:
        todo = "make one with vlmt extract --boxes candidates"
        raise _LacksError("there is no store of its candidates' features", where=task, todo=todo)


def _choose_splits(data: Path, task: str, split: str | None, submission: bool) -> Choice:
    folder = data / "examples" / task
    prepared = [path.stem for path in split_tables(folder)]
    if not prepared:
        raise _LacksError("there are no examples", where=folder, todo=get_examples(data, task))
    # "test" is any test set, unless the dataset has one of just this name.
    is_official = split is None or (split == TEST and TEST not in prepared)
    wanted = TASKS[task].official if is_official else (str(split),)
    lacking = [name for name in wanted if name not in prepared]
    is_secret = TASKS[task].secret and wanted == TASKS[task].official
    if lacking and not is_secret:
        todo = f"it has {', '.join(prepared)}{more_splits(data, task)}"
        raise _LacksError(f"there is no split {lacking[0]}", where=folder, todo=todo)
    submitted = None
    if submission and TASKS[task].submission:
        submitted = next((name for name in (split, TEST, *wanted) if name in prepared), None)
    if not lacking and any(_is_known(data, task, name) for name in wanted):
        return Choice(task, wanted, submitted)
    if STAND_IN not in prepared or not _is_known(data, task, STAND_IN):
        what = f"the answers of {wanted[0]} are {'secret' if is_secret else 'not known'}, and there is no {STAND_IN}"
        raise _LacksError(what, where=folder, todo=get_examples(data, task, split=STAND_IN))
    return Choice(task, (STAND_IN,), submitted, wanted[0])


def _is_known(data: Path, task: str, split: str) -> bool:
    rules = rules_of(task)
    table = read_columns(table_of(data, task, split), ["example_id", *rules.COLUMNS])
    return bool(rules.known(task, table).any())


def _check_features(data: Path, choice: Choice, stored: pa.Array, store: Path) -> None:
    for split in choice.all_splits:
        images = images_of(table_of(data, choice.task, split)).flatten()
        if not pc.any(pc.is_in(images, stored), min_count=0).as_py():
            todo = "extract them with vlmt extract, or name another store with --features"
            raise _LacksError(f"the store has no image of {choice.task} {split}", where=store, todo=todo)
