"""Chosen successes and failures of an evaluation, as cards of a page (figures 8 and 9), by a rule that it states.

A card shows the photo where its file is at hand, else the regions of a feature store on grey.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.analysis.report import Section, boxed_photo, card
from vlmt_cli.base.errors import DataError, VlmtError
from vlmt_cli.base.image_names import photo_of
from vlmt_cli.base.images import data_uri, read_image
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.scores import Scores
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.tables import read_columns

if TYPE_CHECKING:
    from vlmt_cli.features.store import FeatureStore

RIGHT, CHOSEN, REGION = "#1a7f37", "#e66101", "#8c8c8c"
_RIGHT_FROM = 0.5
"""The score from which an example counts as right."""
_REGIONS = 36
"""Regions that are drawn where there is no photo."""
_LONGEST = 420  # pixels of a picture's longer side


def rule(each: int) -> str:
    """Say how a page's examples were chosen, ``each`` right and wrong ones a task."""
    return (
        f"Of each task the {each} right and the {each} wrong answers of which the model was most confident, one an"
        " image; of retrieval the captions whose image ranks first, and those whose image ranks last; equals by example"
        " id."
        f" An answer is right from a score of {_RIGHT_FROM:g}."
    )


def examples_section(run: Path, data: Path, scores: Scores, each: int = 2) -> Section:
    """Show chosen predictions of a run on the first split of each of its tasks, with boxes on the photos.

    Raises:
        DataError: predictions or examples are damaged, or not there.
    """
    cards: list[str] = []
    for task, score in scores.tasks.items():
        split = score.split.split()[0].split("+")[0]
        cards += _cards(run / "predictions" / f"{task}-{split}.parquet", data, task, split, each)
    legend = "Orange boxes are the model's, green ones are right."
    return Section("Examples", f"{rule(each)} {legend}", f'<div class="cards">{"".join(cards)}</div>')


def choose(predicted: pa.Table, each: int) -> list[int]:
    """Choose the rows of predictions to show: first right ones, then wrong ones, by ``rule``.

    Args:
        predicted: a file of predictions: ``example_id``, ``images``, ``score``, and ``confidence``, ``probabilities``
            or ``rank``; without any the ids alone decide.
        each: at most so many of either.
    """
    scores = predicted["score"].to_numpy(zero_copy_only=False)
    if "rank" in predicted.column_names:
        ranks = predicted["rank"].to_numpy().astype(np.float64)
        surest = np.where(scores >= _RIGHT_FROM, -ranks, ranks)
    elif "confidence" in predicted.column_names:
        surest = predicted["confidence"].to_numpy(zero_copy_only=False)
    elif "probabilities" in predicted.column_names:
        surest = _largest(predicted["probabilities"])
    else:  # of a task group that keeps none
        surest = np.zeros(len(scores))
    chosen: list[int] = []
    for side in (scores >= _RIGHT_FROM, scores < _RIGHT_FROM):  # neither where there is no score
        rows = np.flatnonzero(side & np.isfinite(surest))
        ids = predicted["example_id"].take(pa.array(rows)).to_numpy(zero_copy_only=False).astype(str)
        chosen += _an_image_each(predicted["images"], rows[np.lexsort((ids, -surest[rows]))], each)
    return chosen


def _largest(lists: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return the largest number of each of N lists."""
    return np.array([max(values, default=np.nan) for values in lists.to_pylist()], np.float64)


def _an_image_each(images: pa.ChunkedArray, rows: NDArray[np.int64], each: int) -> list[int]:
    seen: set[tuple[str, ...]] = set()
    chosen: list[int] = []
    for row in rows.tolist():
        if len(chosen) == each:
            break
        shown = tuple(images[row].as_py())
        if shown not in seen:
            seen.add(shown)
            chosen.append(row)
    return chosen


def _cards(path: Path, data: Path, task: str, split: str, each: int) -> Iterator[str]:
    if not path.is_file():
        raise DataError("there are no predictions", where=path, todo="make them with vlmt evaluate")
    predicted = read_columns(path, None)
    predicted = predicted.take(pa.array(choose(predicted, each), pa.int64()))
    table = read_columns(data / "examples" / task / f"{split}.parquet", None)
    rows = pc.index_in(predicted["example_id"], table["example_id"].combine_chunks())
    for answer, row in zip(predicted.to_pylist(), rows.to_pylist(), strict=True):
        if row is not None:
            yield _card(data, task, table.slice(row, 1).to_pylist()[0], answer)


def _card(data: Path, task: str, example: Mapping[str, Any], answer: Mapping[str, Any]) -> str:
    predicts = rules_of(task).PREDICTS
    is_right = answer["score"] >= _RIGHT_FROM
    boxes: dict[str, Sequence[float]] = {}
    said, truth, images = str(answer.get("answer", "")), "", example["images"]
    if predicts == "boxes":
        boxes = {RIGHT: example["box"], CHOSEN: answer["box"]}
        said = f"{'located' if is_right else 'not located'}, IoU {answer['iou']:.2f}"
    elif predicts == "ranking":
        images = answer["best"][:1]
        said = f"right image ranked {answer['rank']:,}"
    elif "answers" in example:
        truth = ", ".join(example["answers"][:3])
    elif (label := example.get("label")) is not None and 0 <= label < len(TASKS[task].labels):
        truth = TASKS[task].labels[label]
    photos = [shown for image in images if (shown := _photo(data, image, boxes))]
    sure = f", {100 * answer['confidence']:.0f}% confident" if answer.get("confidence") is not None else ""
    return card(photos, f"{TASKS[task].title}{sure}", example["text"], said, is_right, truth)


def _photo(data: Path, image: str, boxes: Mapping[str, Sequence[float]]) -> str:
    """Show an image with boxes: its file, or the regions that a store has of it; nothing where there is neither."""
    marked = {colour: [box] for colour, box in boxes.items()}
    path = photo_of(data / "images", image)
    picture = read_image(str(path)) if path else "there is no picture"
    if not isinstance(picture, str):
        return boxed_photo(data_uri(picture, _LONGEST), picture.size, marked)
    regions = _regions(data / "features", image)
    return boxed_photo("", regions[0], {REGION: regions[1][:_REGIONS], **marked}) if regions else ""


def _regions(folder: Path, image: str) -> tuple[tuple[int, int], list[Sequence[float]]] | None:
    """Return an image's size and its regions' boxes from the first store that has them."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        with suppress(ImportError, VlmtError, OSError):  # the light core, another file, an image that it lacks
            regions = _store(path).read(image)
            return (regions.width, regions.height), regions.boxes.tolist()
    return None


@cache
def _store(path: Path) -> "FeatureStore":
    from vlmt_cli.features.store import FeatureStore

    return FeatureStore(path)
