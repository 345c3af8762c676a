"""The rows of a benchmark: what is asked about which image, and what is right, where that is known.

They come from the example tables of a dataset (``refcoco:testA``), from its official files (``vqa:val2014``), from a
benchmark's file that a user gives, or from the predictions themselves, whose records may say what is right.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.words import listed, quoted
from vlmt_cli.datasets import flickr30k_entities, gqa, refcoco, vqa
from vlmt_cli.datasets.clean_command import get_examples, more_splits
from vlmt_cli.datasets.prepared import split_tables
from vlmt_cli.datasets.table import DATASETS, TASKS
from vlmt_cli.tasks.groups import GROUPS, rules_of
from vlmt_cli.tasks.tables import read_columns

YES_NO, EXACT = "yes or no", "exact match"
OTHERS = {"pope": YES_NO, "mme": YES_NO}
"""Benchmarks beside the tasks, and how they are scored."""
SOURCE = {
    "vqa": "coco", "okvqa": "coco", "coco": "coco", "refcoco": "coco", "refcoco+": "coco", "refcocog": "coco",
    "guesswhat": "coco", "pope": "coco", "gqa": "vg", "vg_qa": "vg", "visual7w": "vg", "flickr30k": "flickr30k",
    "flickr30k_entities": "flickr30k", "snli_ve": "flickr30k",
}  # fmt: skip
"""What bare numbers mean as names of a benchmark's images."""
OWN_FILES = {
    "pope": "coco_pope_random.json, coco_pope_popular.json or coco_pope_adversarial.json, which are at"
    " github.com/RUCAIBox/POPE in output/coco, or lmms-lab/POPE's Parquet",
    "mme": "lmms-lab/MME's Parquet, which has the right answers",
}
"""Files of benchmarks beside the tasks that say what is right."""
_TITLES = {"pope": "POPE", "mme": "MME"}
WHOLE = {("vqa", part): vqa.read_whole for part in vqa.LABELLED} | {("gqa", part): gqa.read_whole for part in gqa.WHOLE}
"""Official sets that example tables hold in other parts."""
REFER = ("refcoco", "refcoco+", "refcocog")
"""Datasets of the refer toolkit, whose sentences, references and objects have ids."""
_ALIKE = dict.fromkeys(REFER, refcoco.objects_alike)
"""How objects of the same category are counted in a dataset's official files."""
HELD_OUT = {"vqa:val": "vqa:val2014", "gqa:val": "gqa:val_balanced"}
HELD_OUT_WORDS = "the part of the official set that vlmt clean holds out for validation"
"""Splits that bear an official set's name and are a part of it."""
_SIZES = dict.fromkeys(REFER, refcoco.image_sizes) | {
    "flickr30k_entities": flickr30k_entities.image_sizes}  # fmt: skip
"""How the sizes of a dataset's images are read from its official files."""


@dataclass(frozen=True)
class Rows:
    """N rows of a benchmark.

    Attributes:
        name: as it was asked for: ``refcoco:testA``.
        task: the dataset, or the benchmark's name.
        split: of it; empty where it has none.
        kind: how it is scored: a folder of ``tasks.groups.GROUPS``, ``YES_NO`` or ``EXACT``.
        table: ``example_id``, ``images``, ``text`` and what is right, as the kind's rules take it; ``category`` may
            stand beside. ``images`` are lists of keys; rows without an image have a name of their own.
        origin: where the rows are from, in words.
        sizes: (N, 2) width and height of the images in pixels, 1 for both where boxes are shares; None if not known.
        raw: the folder of official files, where sizes may be found.
        ids: N ids of the refer toolkit by kind, as ``predicted.Predicted`` has them, where a file says them.
        file: the name, without its endings, of the only file that they are from; it may name their category.
    """

    name: str
    task: str
    split: str
    kind: str
    table: pa.Table
    origin: str
    sizes: NDArray[np.float64] | None = None
    raw: Path | None = None
    file: str = ""
    ids: Mapping[str, pa.Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def title(self) -> str:
        """The benchmark's name in print."""
        return f"{DATASETS[self.task].title if self.task in DATASETS else _TITLES.get(self.task, self.task)}"

    def find_sizes(self) -> NDArray[np.float64] | None:
        """Return the images' sizes, from the official files where they are not known yet."""
        if self.sizes is not None or self.raw is None or self.task not in _SIZES:
            return self.sizes
        return _SIZES[self.task](self.raw, pc.list_element(self.table["images"].combine_chunks(), 0))

    @property
    def has_refer_ids(self) -> bool:
        """Whether these are expressions that the refer toolkit numbers."""
        return self.task in REFER

    def find_ids(self) -> Mapping[str, pa.Array]:
        """Return the ids of the refer toolkit, by kind, from the official files where no other file says them."""
        if self.raw is None or not self.has_refer_ids:
            return self.ids
        ids: dict[str, pa.Array] = {"sent_id": self.table["example_id"].combine_chunks().cast(pa.string())}
        images = pc.list_element(self.table["images"].combine_chunks(), 0)
        for table in refcoco.sentence_ids(self.raw):
            row = pc.index_in(ids["sent_id"], value_set=table["sent_id"].combine_chunks())
            same = pc.equal(table["image"].combine_chunks().take(row), images)
            if pc.all(same.fill_null(False), min_count=0).as_py():
                return ids | {kind: table[kind].combine_chunks().take(row) for kind in ("ref_id", "ann_id")}
        return ids

    def find_alike(self) -> NDArray[np.int64] | None:
        """Count the objects of the category that each expression means, in its image; None where that is not known."""
        if self.raw is None or self.task not in _ALIKE or "category" not in self.table.column_names:
            return None
        images = pc.list_element(self.table["images"].combine_chunks(), 0)
        return _ALIKE[self.task](self.raw, images, self.table["category"].combine_chunks())

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have a right answer, (N,)."""
        if self.kind in GROUPS.values():
            columns = set(rules_of(self.task).COLUMNS) - {"candidates"}
            if not columns & set(self.table.column_names) and columns:
                return np.zeros(len(self), bool)
            return rules_of(self.task).known(self.task, self.table)
        is_known: NDArray[np.bool_] = self.table["right"].is_valid().to_numpy()
        return is_known


def split_name(name: str) -> tuple[str, str]:
    """Return the task and split of ``refcoco:testA``; the split may be empty."""
    task, _, split = name.partition(":")
    return task, split


def near_name(task: str) -> str:
    """Return the benchmark with a rule of its own whose name a name is near to; empty where none is."""
    close = difflib.get_close_matches(task.lower()[:80], [*TASKS, *OTHERS], n=1, cutoff=0.75)
    return close[0] if close else ""


def kind_of(task: str) -> str:
    """Return how a benchmark is scored."""
    return GROUPS[TASKS[task].group] if task in TASKS else OTHERS.get(task, EXACT)


def rows_of_examples(data: Path, name: str) -> Rows:
    """Read the rows of a dataset's split, or of all its official ones; val where only a server knows their answers.

    Raises:
        UsageError: there is no such dataset or split.
        DataError: it was not prepared.
    """
    task, split = split_name(name)
    if task in OTHERS:
        what = f"what is right in {_TITLES[task]} is not known without its own files"
        raise UsageError(what, todo=f"give --rows {OWN_FILES[task]}")
    if task not in TASKS:
        what = f"{quoted(task)} is not a dataset whose official files are read"
        if near := near_name(task):
            raise UsageError(what, todo=f"did you mean {near}? Else give the benchmark's file with --rows")
        raise UsageError(what, todo=f"give the benchmark's file with --rows, or take one of {listed(list(TASKS))}")
    raw = data / "raw" / (DATASETS[task].folder or task)
    if (task, split) in WHOLE:
        table = WHOLE[task, split](raw, split)
        return Rows(name, task, split, kind_of(task), table, f"the official files below {raw}")
    folder = data / "examples" / task
    there = [path.stem for path in split_tables(folder)]
    if not there:
        todo = f"{get_examples(data, task)}, or give the benchmark's file with --rows"
        raise DataError("there are no examples", where=folder, todo=todo)
    official = [each for each in TASKS[task].official if each in there and not TASKS[task].secret]
    wanted = [split] if split else official or ["val"]
    if lacking := [each for each in wanted if each not in there]:
        more = [part for of, part in WHOLE if of == task]
        todo = f"take {listed([*there, *more])}{more_splits(data, task)}"
        raise UsageError(f"{task} has no split {quoted(lacking[0])}", todo=todo)
    more = ["category"] if kind_of(task) == "referring" else []
    columns = ["example_id", "images", "text", *rules_of(task).COLUMNS, *more]
    parts = [read_columns(folder / f"{each}.parquet", columns) for each in wanted]
    split = "+".join(wanted)
    origin = f"{folder}: {split}"
    table = pa.concat_tables(parts).combine_chunks()
    return Rows(f"{task}:{split}", task, split, kind_of(task), table, origin, raw=raw)


def right_columns(task: str, given: Mapping[str, Any]) -> dict[str, pa.Array]:
    """Make the columns that say what is right, as the rules of a benchmark's kind take them.

    Args:
        task: the benchmark.
        given: ``targets``, N strings with one right answer each; or ``answers``, N lists of all annotators' answers;
            or ``boxes``, (N, 4) corners.
    """
    kind = kind_of(task)
    if kind == "referring" and given.get("boxes") is not None:
        from vlmt_cli.datasets.tables import box_array

        with np.errstate(over="ignore"):
            boxes = np.asarray(given["boxes"], np.float32)
        return {"box": pc.if_else(pa.array(np.isfinite(boxes).all(1)), box_array(boxes), None)}
    targets: pa.Array | None = given.get("targets")
    if kind == "vqa" and given.get("answers") is not None:
        return _annotated(given["answers"], TASKS[task].metric == "VQA accuracy")
    if targets is None:
        return {} if kind in GROUPS.values() else {"right": pa.nulls(given["length"], pa.string())}
    if kind == "vqa":
        return _annotated([[each] * 10 if each is not None else [] for each in targets.to_pylist()],
                          TASKS[task].metric == "VQA accuracy")  # fmt: skip
    if kind == "verification":
        labels = [label.lower() for label in TASKS[task].labels]
        return {"label": pc.index_in(pc.utf8_lower(targets), pa.array(labels)).fill_null(-1).cast(pa.int8())}
    if kind == YES_NO:
        lower = pc.utf8_lower(pc.utf8_trim_whitespace(targets))
        return {"right": pc.if_else(pc.is_in(lower, value_set=pa.array(["yes", "no"])), lower, None)}
    return {"right": targets} if kind == EXACT else {}


def _annotated(said: Sequence[Sequence[str]], normalise: bool) -> dict[str, pa.Array]:
    """Make VQA's columns of what the annotators of each question said."""
    from vlmt_cli.datasets import answers

    annotated = np.array([len(each) for each in said], np.int64)
    flat = pa.array([answer for each in said for answer in each], pa.string())
    given = answers.normalise_answers(flat) if normalise else flat.dictionary_encode()
    distinct, counts = answers.count_answers(annotated, given)
    unanimous = answers.unanimous_answers(annotated, answers.trimmed_answers(flat)) if normalise else None
    return {"answers": distinct, "counts": counts, "unanimous": unanimous or pa.nulls(len(said), pa.string())}
