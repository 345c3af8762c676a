"""MT-VGC's two sides from GQA's val: its questions with RefCOCO's expressions, or with objects of the scene graph.

Of the scene graph an expression is an object's attributes and name, as ``brown wooden chair``, where they fit no other
object of the image: another fits where it has the same name, in the singular, and all these attributes. It makes a pair
with the questions whose own words GQA annotates with this object; its answer's object does not count.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.analysis.consistency.concepts import singular
from vlmt_cli.analysis.consistency.texts import (
    EXPRESSIONS,
    Texts,
    examples_about,
    image_of_each,
    number_images,
    prepared_splits,
)
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.origin import verify_split_if_any
from vlmt_cli.datasets import gqa, gqa_graphs
from vlmt_cli.datasets.crosswalks import builtin_crosswalk
from vlmt_cli.evaluation.leaks import read_links

PART = "val"
GRAPH = "graph"
"""What expressions of the scene graph have in place of a dataset."""


def gqa_on_refcoco(data: Path) -> Texts:
    """Find GQA's val questions about RefCOCO's and RefCOCO+'s test images.

    Visual Genome's crosswalk to COCO joins them: that of the prepared datasets, else the built-in one.

    Raises:
        DataError: GQA's val or a prepared RefCOCO is not there, or no image has both.
    """
    verify_split_if_any(data)
    splits = [(task, split) for task in EXPRESSIONS for split in prepared_splits(data, task)]
    asked = _questions(data)
    links = read_links(data)
    if not pc.any(pc.equal(links["relation"], "crosswalk"), min_count=0).as_py():
        links = pa.concat_tables([links, builtin_crosswalk()])
    numbers = number_images(
        {GRAPH: _one(asked["image"]), **{each: image_of_each(data, *each) for each in splits}}, links
    )  # fmt: skip
    number = numbers.pop(GRAPH)
    is_shared = pc.is_in(number, pa.concat_arrays(list(numbers.values())))
    if not pc.any(is_shared, min_count=0).as_py():
        what = "no test image of refcoco and refcoco+ is one of GQA's val, by the crosswalk"
        raise DataError(what, where=data, todo="clean with vg_qa's image_data.json, or take --pairing gqa-graph")
    questions = asked.append_column("number", number).filter(is_shared)
    shared = pc.unique(questions["number"])
    expressions = pa.concat_tables([examples_about(data, *each, numbers[each], shared) for each in splits])
    return Texts(questions.combine_chunks(), expressions.combine_chunks())


def gqa_with_graph(data: Path) -> Texts:
    """Find GQA's val questions that name an object, and the objects that they name.

    Raises:
        DataError: GQA's val questions or scene graphs are not there, or no question names an object of a graph.
    """
    raw = data / "raw" / "gqa"
    graphs = gqa_graphs.read_graphs(raw, PART)
    asked = _questions(data)
    named = gqa_graphs.named_objects(raw, PART)
    objects = pa.array([named[name] for name in asked["example_id"].to_pylist()], pa.list_(pa.string()))
    objects = _keyed(asked["image"].take(pc.list_parent_indices(objects)), objects)
    keys = pc.binary_join_element_wise(graphs["image"], graphs["object"], "-").combine_chunks()
    is_meant = np.asarray(pc.and_(pc.is_in(keys, value_set=objects.values), pc.is_valid(graphs["box"])))
    kept = np.flatnonzero(is_meant & _fits_alone(graphs))
    if not len(kept):
        what = f"no question of {gqa.FILE.format(PART)} names an object of {gqa_graphs.GRAPHS.format(PART)}"
        raise DataError(what, where=raw, todo="download both files again")
    chosen = graphs.take(pa.array(kept)).combine_chunks()
    expressions = pa.table(
        {
            "task": pa.repeat(GRAPH, len(kept)),
            "split": pa.repeat(PART, len(kept)),
            "example_id": keys.take(pa.array(kept)),
            "text": pa.array(map(phrase, chosen["attributes"].to_pylist(), chosen["name"].to_pylist())),
            "box": chosen["box"],
            "row": pa.array(kept),
            "image": chosen["image"],
            "object": keys.take(pa.array(kept)),
            "width": chosen["width"],
            "height": chosen["height"],
        }
    )
    is_paired = np.bincount(
        pc.list_parent_indices(objects), pc.is_in(objects.values, value_set=expressions["object"]), len(objects)
    )
    questions = asked.append_column("objects", objects).filter(pa.array(is_paired > 0))
    # A graph is of one name of its image, in whose pixels its boxes are: no other name stands in.
    sides = {GRAPH: _one(expressions["image"]), PART: _one(questions["image"])}
    numbers = number_images(sides, LINKS.empty_table())
    return Texts(
        questions.append_column("number", numbers[PART]).combine_chunks(),
        expressions.append_column("number", numbers[GRAPH]).combine_chunks(),
    )


def phrase(attributes: Sequence[str], name: str) -> str:
    """Name an object by its attributes, each once, and its name."""
    return " ".join([*dict.fromkeys(attributes), name])


def _questions(data: Path) -> pa.Table:
    """Read all of GQA's balanced val questions with an answer."""
    table = gqa.read_whole(data / "raw" / "gqa", f"{PART}_balanced")
    image = pc.list_element(table["images"].combine_chunks(), 0)
    columns = {
        "task": pa.repeat("gqa", len(table)),
        "split": pa.repeat(PART, len(table)),
        **{name: table[name] for name in ("example_id", "text", "answers", "counts", "unanimous")},
        "row": pa.array(np.arange(len(table))),
        "image": image,
    }
    asked = pa.table(columns)
    return asked.filter(pc.greater(pc.list_value_length(asked["answers"]), 0)).combine_chunks()


def _fits_alone(graphs: pa.Table) -> np.ndarray:
    """Say of each object whether no other of its image has its name and all its attributes."""
    names = [singular(name.lower()) for name in graphs["name"].to_pylist()]
    attributes = [frozenset(each) for each in graphs["attributes"].to_pylist()]
    alike: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(graphs["image"].to_pylist(), names, strict=True)):
        alike.setdefault(key, []).append(row)
    alone = np.ones(len(graphs), bool)
    for rows in alike.values():
        fitting = {row: sum(attributes[row] <= attributes[other] for other in rows) for row in rows}
        alone[[row for row, count in fitting.items() if count > 1]] = False
    return alone


def _keyed(images: pa.Array, objects: pa.ListArray) -> pa.ListArray:
    """Put the image before each id in N lists: ids count within an image."""
    keys = pc.binary_join_element_wise(_one(images), objects.values, "-")
    return pa.ListArray.from_arrays(objects.offsets, keys)


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
