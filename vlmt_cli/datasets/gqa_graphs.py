"""GQA's scene graphs, and which of their objects a question names: a grounding of its questions.

val_sceneGraphs.json (train alike; those of testdev and test are secret)
    {"2407890": {"width": 640, "height": 480, "location": "living room", "objects": {
        "271881": {"name": "chair", "x": 220, "y": 310, "w": 50, "h": 80, "attributes": ["brown", "wooden"],
                   "relations": [{"name": "on", "object": "32452"}, ...]}, ...}}, ...}
val_balanced_questions.json
    {"05451384": {..., "annotations": {"question": {"4": "32452", "5:7": "32453"}, "answer": {"0": "271881"},
                  "fullAnswer": {...}}}, ...}

From https://cs.stanford.edu/people/dorarad/gqa/download.html.

Traps: a question's annotation may be empty, although its ``semantic`` names an object; ``answer`` names the object that
is asked for, which the question itself does not say.
"""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.gqa import FILE
from vlmt_cli.datasets.source import find, read_json
from vlmt_cli.datasets.tables import box_array, sound_corners

GRAPHS = "{}_sceneGraphs.json"


class _Object(msgspec.Struct, gc=False):
    name: str
    x: float
    y: float
    w: float
    h: float
    attributes: list[str] = []


class _Graph(msgspec.Struct, gc=False):
    objects: dict[str, _Object]
    width: float | None = None
    height: float | None = None


class _Annotations(msgspec.Struct, gc=False):
    question: dict[str, str] = {}


class _Question(msgspec.Struct, gc=False):
    annotations: _Annotations = msgspec.field(default_factory=_Annotations)


def read_graphs(raw: Path, part: str = "val") -> pa.Table:
    """Read the objects of all scene graphs of a part of GQA.

    Returns:
        A row an object: ``image`` (its key), ``object`` (its id), ``name``, ``attributes``, ``box`` in pixels, null
        where it is impossible, and ``width`` and ``height`` of the image, NaN where they are not known.

    Raises:
        DataError: the file is missing or damaged.
    """
    path = _file(raw, GRAPHS.format(part))
    graphs = read_json(path, dict[str, _Graph])
    objects = [(name, each) for graph in graphs.values() for name, each in graph.objects.items()]
    counts = np.array([len(graph.objects) for graph in graphs.values()], np.int64)
    sides = [np.repeat([getattr(graph, side) or np.nan for graph in graphs.values()], counts) for side in
             ("width", "height")]  # fmt: skip
    each_box = np.array([(each.x, each.y, each.x + each.w, each.y + each.h) for _, each in objects]).reshape(-1, 4)
    with np.errstate(over="ignore"):
        corners = each_box.astype(np.float32)
    corners, is_sound = sound_corners(corners, {}, *(np.nan_to_num(side) for side in sides))
    boxes = box_array(corners)
    return pa.table(
        {
            "image": image_keys("vg", list(graphs), path).take(pa.array(np.repeat(np.arange(len(graphs)), counts))),
            "object": pa.array([name for name, _ in objects], pa.string()),
            "name": pa.array([each.name for _, each in objects], pa.string()),
            "attributes": pa.array([each.attributes for _, each in objects], pa.list_(pa.string())),
            "box": boxes.take(pa.array(np.where(is_sound, np.arange(len(objects)), -1), mask=~is_sound)),
            "width": sides[0],
            "height": sides[1],
        }
    )


def named_objects(raw: Path, part: str = "val") -> dict[str, list[str]]:
    """Return the ids of the objects that each balanced question names, by the question's id.

    Raises:
        DataError: the file is missing or damaged.
    """
    questions = read_json(_file(raw, FILE.format(part)), dict[str, _Question])
    return {name: list(dict.fromkeys(each.annotations.question.values())) for name, each in questions.items()}


def _file(raw: Path, name: str) -> Path:
    if (path := find(raw, name)) is None:
        raise DataError(f"there is no {name}", where=raw, todo="put it there; vlmt data status has its address")
    return path
