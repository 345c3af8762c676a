"""The splits of an evaluation: loaded and checked first, predicted and judged then."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.progress import Progress
from vlmt_cli.datasets.clean_command import get_examples
from vlmt_cli.datasets.table import DATASETS, TASKS
from vlmt_cli.evaluation import run
from vlmt_cli.evaluation.choose import STAND_IN, Choice, table_of
from vlmt_cli.evaluation.setup import LoadedModel
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.groups import head_of, rules_of
from vlmt_cli.tasks.load import load_examples
from vlmt_cli.tasks.process import Process
from vlmt_cli.tasks.referring.rules import GIVEN
from vlmt_cli.tasks.retrieval import rules as retrieval
from vlmt_cli.tasks.retrieval.cascade import Cascade
from vlmt_cli.tasks.scoring import Judged
from vlmt_cli.tasks.tables import read_columns

Say = Callable[[str], None]


class Part(NamedTuple):
    """One split of a task, loaded; ``protocol`` as ``Judged`` has it, and the shortlist of a large retrieval task."""

    examples: Examples
    table: pa.Table
    protocol: str
    cascade: Cascade | None


class Setting(NamedTuple):
    """All that a split is loaded, run and scored with; ``how`` is batch size, process and progress."""

    data: Path
    folder: Path
    model: LoadedModel
    reader: RegionReader
    partial: bool
    only_1k: bool
    shortlist: int | None
    limit: int | None
    how: tuple[int, Process, Progress | None]
    resamples: int
    seed: int
    say: Say


def load_part(setting: Setting, choice: Choice, split: str) -> Part:
    """Load all examples of a split; a part only with a limit, or where COCO's first fold is asked for."""
    task, path = choice.task, table_of(setting.data, choice.task, split)
    head = TASKS[task].head
    table = read_columns(path, ["example_id", "images", *rules_of(task).COLUMNS])
    fold = retrieval.first_fold(table["images"]) if setting.only_1k and task == "coco" else None
    examples = load_examples(
        setting.data,
        task,
        split,
        setting.model.encoder,
        setting.reader,
        "test",
        clean=False,
        answers=setting.model.checkpoint.labels.get(head),
        partial=setting.partial,
        only=fold,
        limit=setting.limit,
    )
    asked = len(table) if fold is None else len(fold)
    if len(examples) < asked and not setting.limit:
        setting.say(f"{task} {split}: {asked - len(examples):,} of {asked:,} examples have no features, left out")
        if split == choice.submitted:
            todo = "extract all, or leave --submission out"
            raise DataError(f"a server takes all {asked:,} examples of {task} {split}", where=path, todo=todo)
    protocol = retrieval.PROTOCOL if fold is not None else ""
    if DATASETS[task].candidates == "shown in training" and examples.columns["given"].any():
        protocol = GIVEN
    cascade = _cascade(setting, examples) if setting.shortlist else None
    return Part(examples, table.take(pa.array(examples.rows)).combine_chunks(), protocol, cascade)


def _cascade(setting: Setting, examples: Examples) -> Cascade | None:
    """Load what the shortlist of a split is made with; None where all pairs are scored: few images, or no retrieval."""
    task, k = examples.task, setting.shortlist
    if head_of(task).rank is None or k is None or len(examples.names) <= max(retrieval.FOLD, k):
        return None
    path = table_of(setting.data, task, STAND_IN)
    if not path.exists():
        todo = f"{get_examples(setting.data, task, split=STAND_IN)}, or leave --shortlist out"
        raise DataError("there is no validation split, on which the shortlist is fitted", where=path, todo=todo)
    encoder, reader = setting.model.encoder, setting.reader
    given = load_examples(
        setting.data, task, STAND_IN, encoder, reader, "validate", clean=False, partial=setting.partial
    )
    return Cascade(k, given)


def judge_part(setting: Setting, part: Part) -> Judged | None:
    """Predict a split, and judge it in the first process; None in the others."""
    examples, task = part.examples, part.examples.task
    checkpoint = setting.model.checkpoint
    given = (checkpoint.model, examples, setting.reader, setting.model.token(task))
    batch_size, process, progress = setting.how
    if rank := head_of(task).rank:
        predicted = rank(*given, batch_size, process, progress, part.cascade)
    else:
        labels = checkpoint.labels.get(TASKS[task].head, [])
        predicted = run.predict_examples(*given, labels, *setting.how)
    if not process.is_first:
        return None
    return rules_of(task).judge(task, examples.split, part.table, predicted, part.protocol)
