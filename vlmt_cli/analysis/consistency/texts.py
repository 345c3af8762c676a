"""Questions and referring expressions of the same images: what MT-VGC is measured on (sections 5 and 8.8).

This is the paper's pairing; ``pairings`` has it beside others. Expressions are all of RefCOCO's and RefCOCO+'s test
sets; questions are those of VQA's train and val about the same images. Cleaning takes exactly these questions out of
training, so that a model of the clean split never saw them. On the real files: 1,500 images, and the paper's 111,275
pairs of a question and an expression.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.analysis.consistency.names import TASK_SPLITS
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import HOW, same_image
from vlmt_cli.base.origin import verify_split_if_any
from vlmt_cli.datasets.clean_command import get_examples
from vlmt_cli.evaluation.leaks import read_links
from vlmt_cli.features.coverage import images_of
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.tables import read_columns

K = TypeVar("K")
QUESTIONS = ("vqa",)
EXPRESSIONS = ("refcoco", "refcoco+")
TEXT_COLUMNS = {"vqa": ("answers", "counts", "unanimous"), "refcoco": ("box",), "refcoco+": ("box",)}


@dataclass(frozen=True)
class Texts:
    """All questions and expressions of the images that have both.

    Attributes:
        questions, expressions: tables with ``task``, ``split`` and ``row`` (which example each is), ``example_id``,
            ``image`` (its key), ``text``, ``number`` (the same for all keys of one image), and a question's ``answers``
            ``counts`` and ``unanimous``, an expression's ``box`` in pixels. Where only those about the same object make
            a pair, also a question's ``objects`` and an expression's ``object``.
    """

    questions: pa.Table
    expressions: pa.Table

    def of(self, task: str) -> pa.Table:
        """Return a task's part, in the order of its splits and rows."""
        table = self.questions if task in QUESTIONS else self.expressions
        return table.filter(pc.equal(table["task"], task))

    @property
    def images(self) -> pa.Array:
        """Return the keys of all their images."""
        return pc.unique(pa.concat_arrays([*self.questions["image"].chunks, *self.expressions["image"].chunks]))


def find_texts(data: Path) -> Texts:
    """Find them in the example tables of a data folder, also those that cleaning removes.

    An image is known by its key, and under another key by the identity links of all prepared datasets.

    Raises:
        DataError: a dataset is not there, one is damaged, the clean split is of other examples, or no image has both.
    """
    verify_split_if_any(data)
    keys = {
        (task, split): image_of_each(data, task, split) for task in TASK_SPLITS for split in prepared_splits(data, task)
    }
    numbers = number_images(keys, read_links(data))
    asked, said = (
        pa.chunked_array([numbers[task_split] for task_split in keys if task_split[0] in tasks])
        for tasks in (QUESTIONS, EXPRESSIONS)
    )
    shared = pc.unique(said.filter(pc.is_in(said, asked.combine_chunks())))
    if not len(shared):
        todo = f"read all files of {', '.join(TASK_SPLITS)} with vlmt clean"
        what = "no test image of refcoco and refcoco+ has a question of vqa's train or val"
        raise DataError(what, where=data / "examples", todo=todo)
    tables = {task_split: examples_about(data, *task_split, numbers[task_split], shared) for task_split in keys}
    questions, expressions = (
        pa.concat_tables([table for task_split, table in tables.items() if task_split[0] in tasks])
        for tasks in (QUESTIONS, EXPRESSIONS)
    )
    return Texts(questions.combine_chunks(), expressions.combine_chunks())


def image_of_each(data: Path, task: str, split: str) -> pa.Array:
    """Return the image key of each example of a split."""
    return pc.list_element(images_of(data / "examples" / task / f"{split}.parquet"), 0)


def number_images(keys: Mapping[K, pa.Array], links: pa.Table) -> dict[K, pa.Array]:
    """Number the images behind some arrays of keys: equal numbers are the same image by the identity links."""
    distinct = pa.concat_arrays(list(keys.values())).unique()
    number = pa.array(same_image(distinct, links)[HOW[-1]])
    return {name: number.take(pc.index_in(images, distinct)) for name, images in keys.items()}


def within(texts: Texts, images: pa.Array) -> Texts:
    """Keep what is about some images, as far as these still have both.

    Raises:
        DataError: none has.
    """
    questions, expressions = (
        table.filter(pc.is_in(table["image"], images)) for table in (texts.questions, texts.expressions)
    )
    sides = questions["number"].combine_chunks(), expressions["number"].combine_chunks()
    questions, expressions = (
        table.filter(pc.is_in(table["number"], other))
        for table, other in ((questions, sides[1]), (expressions, sides[0]))
    )
    if not len(questions):
        raise DataError("no image with a question and an expression has features", todo="extract or pack them")
    return Texts(questions.combine_chunks(), expressions.combine_chunks())


def singles(images: pa.Array) -> pa.ListArray:
    """Return the images of N examples that have one each, as lists."""
    return pa.ListArray.from_arrays(np.arange(len(images) + 1, dtype=np.int32), images)


def prepared_splits(data: Path, task: str) -> list[str]:
    """Return which of a task's splits that are looked at are prepared. Raises a DataError where none is."""
    prepared = _prepared(data, task)
    if not prepared:
        todo = get_examples(data, *(each for each in TASK_SPLITS if not _prepared(data, each)))
        what = f"there is no {' or '.join(TASK_SPLITS[task])} of {task}"
        raise DataError(what, where=data / "examples" / task, todo=todo)
    return prepared


def _prepared(data: Path, task: str) -> list[str]:
    return [split for split in TASK_SPLITS[task] if (data / "examples" / task / f"{split}.parquet").exists()]


def examples_about(data: Path, task: str, split: str, number: pa.Array, shared: pa.Array) -> pa.Table:
    """Read the examples of a split whose image is shared, and that have a right answer."""
    names = ["example_id", "text", "images", *TEXT_COLUMNS[task]]
    rows = np.flatnonzero(pc.is_in(number, shared).to_numpy(zero_copy_only=False))
    table = read_columns(data / "examples" / task / f"{split}.parquet", names).take(pa.array(rows))
    table = table.append_column("row", pa.array(rows)).append_column("number", number.take(pa.array(rows)))
    table = table.filter(pa.array(rules_of(task).known(task, table)))
    image = pc.list_element(table["images"], 0)
    table = table.append_column("image", image).drop_columns("images")
    for name, value in (("split", split), ("task", task)):
        table = table.add_column(0, name, pa.repeat(value, len(table)))
    return table
