"""GuessWhat?!: a dialogue of yes-no questions finds one object of a COCO image, one example a successful game.

guesswhat.train.jsonl.gz (valid and test alike), a game a line
    {"dialogue_id": 2400, "status": "success", "picture_id": 489209, "object_id": 1733422, "questioner_id": 0,
     "picture": {"file_name": "COCO_train2014_000000489209.jpg", "flickr_url": "...", "width": 640, "height": 480, ...},
     "qas": [{"id": 4967, "q": "Is it a person?", "a": "No"}, ...], "timestamp": "...",
     "objects": {"1733422": {"object_id": 1733422, "category": "car", "category_id": 3, "area": 1.0, "iscrowd": false,
                             "bbox": [103.93, 299.99, 134.22, 177.42], "segment": [[...]]}, ...}}
or, in the other release
    {"id": 2400, "status": "success", "image": {"id": 489209, "flickr_url": "...", ...}, "object_id": 1733422,
     "qas": [{"id": 4967, "question": "Is it a person?", "answer": "No"}, ...],
     "objects": [{"id": 1733422, "category": "car", "bbox": [103.93, 299.99, 134.22, 177.42], ...}, ...]}

From https://github.com/GuessWhatGame/guesswhat. 113,221 train and 23,785 test games (table 8). The dialogue is one text
in the words of figure 13, "is it a person? no. is it red? yes."; candidates are all objects of the game, by object id.

Traps: the paper's games are those with status "success", the files also hold "failure" and "incomplete", whose images
are test images all the same: table 7 counts 56,638 and 9,899, which are those of all games; answers are
Yes, No and N/A; ``valid`` is called val here; boxes are [x, y, width, height].
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.crosswalks import flickr_links
from vlmt_cli.datasets.decoding import CORRECT
from vlmt_cli.datasets.names import check_names
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import Int64, find, json_line_pieces
from vlmt_cli.datasets.tables import (
    REFERRING,
    TARGET_DROPPED,
    Examples,
    Xywh,
    box_array,
    check_unique,
    corners_of,
    example_table,
    lists,
    note,
    sound_corners,
    target_columns,
)

FILE = "guesswhat.{}.jsonl"
SPLITS = {"train": "train", "val": "valid", "test": "test"}


class Picture(msgspec.Struct, gc=False, frozen=True):
    id: Int64 | None = None
    file_name: str | None = None
    flickr_url: str | None = None
    width: float | None = None
    height: float | None = None


class Turn(msgspec.Struct, gc=False):
    q: str | None = None
    question: str | None = None
    a: str | None = None
    answer: str | None = None


class Object(msgspec.Struct, gc=False):
    category: str
    bbox: Xywh
    object_id: Int64 | None = None
    id: Int64 | None = None


class Game(msgspec.Struct, gc=False):
    status: str
    object_id: Int64
    qas: list[Turn]
    objects: dict[str, Object] | list[Object]
    dialogue_id: Int64 | None = None
    id: Int64 | None = None
    picture_id: Int64 | None = None
    picture: Picture = Picture()
    image: Picture = Picture()


def read(raw: Path, options: Options) -> Examples:
    """Read the successful games; the others are counted in the notes."""
    result = Examples()
    pictures: dict[int, str | None] = {}
    for split, name in SPLITS.items():
        if path := find(raw, FILE.format(name)):
            columns, keys, statuses = _read(path, pictures, result.notes)
            result.splits[split] = example_table(REFERRING, path, **columns)
            if split == "test":
                result.test_images[split] = keys
            for status, count in statuses.items():
                if status != "success":
                    known = f"status '{status}'" if status in ("failure", "incomplete") else "an unknown status"
                    note(result.notes, f"games with {known}, left out", count)
    result.links = flickr_links(list(pictures), list(pictures.values()), raw)
    return result


def _read(
    path: Path, pictures: dict[int, str | None], notes: dict[str, int]
) -> tuple[dict[str, pa.Array], pa.Array, Counter[str]]:
    """Read the columns of a file's successful games, the image of every game, and how many games have each status.

    Args:
        path: the file.
        pictures: where the addresses of the games' pictures go, by their ids.
        notes: where what is odd is counted.
    """
    ids, images, pieces = [], [], []
    names: list[str | None] = []
    statuses: Counter[str] = Counter()
    for games in json_line_pieces(path, Game, notes, _once):
        record = statuses.total() + np.arange(len(games))
        ids.append(_either(path, games, record, "dialogue_id", "id", pa.int64()))
        images.append(_either(path, games, record, "picture_id", "image.id", pa.int64()))
        status = [game.status for game in games]
        statuses.update(status)
        won = [number for number, each in enumerate(status) if each == "success"]
        pieces.append(_columns(path, [games[i] for i in won], record[won], notes))
        names += [game.picture.file_name or game.image.file_name for game in games]
        urls = [game.picture.flickr_url or game.image.flickr_url for game in games]
        pictures |= zip(images[-1].to_pylist(), urls, strict=True)
    all_ids = pa.concat_arrays(ids)
    check_unique(all_ids, path)
    keys = image_keys("coco", pa.concat_arrays(images), path)
    check_names(names, keys, path, "line {}", 1)
    columns = {name: pa.concat_arrays([piece[name] for piece in pieces]) for name in pieces[0]}
    rows = columns.pop("record")
    return columns | {"example_id": all_ids.take(rows), "images": keys.take(rows)}, keys, statuses


def _once(games: list[Game]) -> dict[str, int]:
    objects = sum(len(game.objects) for game in games)
    return {**dict.fromkeys(("status", "qas", "objects"), len(games)),
            "bbox": objects}  # fmt: skip


def _columns(path: Path, games: list[Game], record: NDArray[np.int64], notes: dict[str, int]) -> dict[str, pa.Array]:
    """Build columns of N successful games, which are these records of the file, counted from 0."""
    several = [list(game.objects.values()) if isinstance(game.objects, dict) else game.objects for game in games]
    objects = list(chain.from_iterable(several))
    sizes = np.array(list(map(len, several)), dtype=np.int64)
    game_of = np.repeat(np.arange(len(games)), sizes)
    object_ids = _either(path, objects, record[game_of], "object_id", "id", pa.int64()).to_numpy()
    order = np.lexsort((object_ids, game_of))
    corners, is_sound = _corners(games, objects, game_of, notes)
    goals = np.array([game.object_id for game in games], dtype=np.int64)
    meant = np.flatnonzero(object_ids[order] == goals[game_of])
    _check_goals(path, np.bincount(game_of[meant], minlength=len(games)), goals, record)
    # Positions among the objects that stay, in their order.
    stays = is_sound[order]
    position = np.cumsum(stays) - 1
    sizes = np.bincount(game_of[order][stays], minlength=len(games))
    has_goal = stays[meant]
    note(notes, TARGET_DROPPED, int((~has_goal).sum()))
    boxes = box_array(corners)
    return {
        "record": pa.array(record),
        "text": _dialogues(path, games, record),
        "candidates": lists(sizes, boxes.take(pa.array(order[stays]))),
        "category": pa.array([objects[i].category for i in order[meant]], pa.string()),
        **target_columns(boxes, order[meant], position[meant] - (np.cumsum(sizes) - sizes), has_goal),
    }


def _corners(
    games: list[Game], objects: list[Object], game_of: NDArray[np.int64], notes: dict[str, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return (N, 4) corners of the games' objects, and which of them are possible."""
    pictures = [game.picture if game.picture.width else game.image for game in games]
    sizes = np.array([(each.width or 0.0, each.height or 0.0) for each in pictures]).reshape(-1, 2)[game_of]
    return sound_corners(corners_of([each.bbox for each in objects]), notes, sizes[:, 0], sizes[:, 1])


def _dialogues(path: Path, games: list[Game], record: NDArray[np.int64]) -> pa.Array:
    turns = list(chain.from_iterable(game.qas for game in games))
    sizes = np.array([len(game.qas) for game in games], dtype=np.int64)
    record = np.repeat(record, sizes)
    asked = pc.utf8_trim_whitespace(_either(path, turns, record, "q", "question", pa.string()))
    answered = _either(path, turns, record, "a", "answer", pa.string())
    sentences = pc.binary_join_element_wise(asked, " ", answered, ".", "")
    return pc.binary_join(lists(sizes, pc.utf8_lower(sentences)), " ")


def _check_goals(path: Path, goal_rows: NDArray[np.int64], goals: NDArray[np.int64], record: NDArray[np.int64]) -> None:
    """Raise a DataError unless every game's goal is once among its objects."""
    if (goal_rows != 1).any():
        game = int(np.argmax(goal_rows != 1))
        raise DataError(
            f"object {goals[game]} is {goal_rows[game]} times among the objects of the game, not once",
            where=f"{path}: line {record[game] + 1}",
            todo="correct or remove that line",
        )


def _either(
    path: Path, records: Sequence[Any], line: NDArray[np.int64], first: str, second: str, kind: pa.DataType
) -> pa.Array:
    """Build a column of what one release calls so and the other so; each record must have one of the two.

    ``line`` is the line of the file, counted from 0, on which each record is.
    """
    column = pa.array(list(map(attrgetter(first), records)), kind)
    if column.null_count:
        column = pc.coalesce(column, pa.array(list(map(attrgetter(second), records)), kind))
    if column.null_count:
        missing = line[column.is_null().index(True).as_py()]
        what = f"a record has neither {first} nor {second}"
        raise DataError(what, where=f"{path}: line {missing + 1}", todo=CORRECT)
    return column
