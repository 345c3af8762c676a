"""The results of a data folder and its runs, as the sections of a report page. Nothing is trained here."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from vlmt_cli.analysis.report import Score, Section, boxed_photo, card, overlap_list, picture, plain_table, score_table
from vlmt_cli.base.documents import read_json
from vlmt_cli.base.image_names import photo_of
from vlmt_cli.base.origin import verify_split
from vlmt_cli.clean.heatmap import percent
from vlmt_cli.clean.split_folder import read_report
from vlmt_cli.datasets.table import TASKS, short_title
from vlmt_cli.evaluation.scores import LEAKED, UNKNOWN, Scores, TaskScore, mark_of, read_scores
from vlmt_cli.evaluation.setup import open_model
from vlmt_cli.tasks.groups import rules_of
from vlmt_cli.tasks.load import answers_of, load_examples
from vlmt_cli.tasks.tables import read_columns

RIGHT, CHOSEN = "#1a7f37", "#e66101"
_CARDS_A_TASK = 2


def leaks_section(data: Path) -> Section:
    """Show the overlap matrix before cleaning, and after it where anything is left."""
    verify_split(data)
    report = read_report(data / "clean")
    is_clean = not any(cell.hit for row in report.test_images_after.values() for cell in row.values())
    intro = (
        f"Test images that are in other datasets' training images{' before cleaning' if is_clean else ''}, in percent."
        f" {report.verdict} Split hash {report.split_hash[:16]}."
    )
    shares = {
        short_title(test): {short_title(column): percent(cell.percent) for column, cell in row.items() if cell.hit}
        for test, row in report.test_images_before.items()
    }
    wide = f'<div class="wide">{picture(data / "clean" / "overlap.png", "overlap of test and training images")}</div>'
    return Section("Leaks", intro, wide + overlap_list(shares))


def chances(run: Path, data: Path, scores: Scores) -> dict[str, float]:
    """Return the baseline's score on each task of a run's ``scores.json``."""
    model = open_model(str(run))
    encoder, reader = model.encoder, model.reader(data)

    def boxes_of(image: str) -> NDArray[np.float32]:
        return reader.store.read(image).boxes[: reader.max_regions]

    chance = {}
    for task, score in scores.tasks.items():
        answers = answers_of(data, task)
        train = load_examples(data, task, "train", encoder, reader, "validate", answers=answers, partial=True)
        values, counts = [], []
        for split in score.split.split("+"):
            test = load_examples(data, task, split, encoder, reader, "test", clean=False, answers=answers, partial=True)
            values.append(rules_of(task).chance(train, test, boxes_of))
            counts.append(len(test))
        chance[task] = float(np.average(values, weights=counts))
    return chance


def score_rows(scores: Scores, guesses: dict[str, float]) -> list[Score]:
    """Put a model's scores beside the baseline's."""
    return [
        Score(
            TASKS[task].short,
            f"{score.metric}, {score.split}",
            score.score.value,
            score.score.low,
            score.score.high,
            guesses[task],
            rules_of(task).CHANCE,
            mark_of(score),
        )
        for task, score in scores.tasks.items()
    ]


def scores_section(title: str, scores: Scores, guesses: dict[str, float]) -> Section:
    """Show one model's scores on all tasks."""
    intro = (
        "One model, all tasks, each on the split that is named: the official test set, or validation where the test"
        f" answers are secret. {marks_explained(scores.tasks.values())} The orange mark is the chance baseline."
    )
    return Section(title, intro, score_table(score_rows(scores, guesses)))


def marks_explained(scores: Iterable[TaskScore]) -> str:
    """Say what the marks behind some scores mean, or that training saw none of their images."""
    marks = "".join(map(mark_of, scores))
    said = [f"{LEAKED} training saw some of these images."] if LEAKED in marks else []
    said += [f"{UNKNOWN} training may have seen some: its images are not known."] if UNKNOWN in marks else []
    return " ".join(said) or "Training saw none of these images."


def models_section(runs: Path, models: Sequence[tuple[str, Sequence[str]]], tasks: Sequence[str]) -> Section:
    """Show several models side by side on some tasks, as table 2 does; a model may be one run or one a task."""
    rows: list[list[str]] = []
    shown: list[TaskScore] = []
    for name, folders in models:
        listed = {
            task: score
            for folder in folders
            for task, score in read_scores(runs / folder).tasks.items()
            if task in tasks
        }
        shown += listed.values()
        cells = {task: _percent(vars(score.score)) + mark_of(score) for task, score in listed.items()}
        rows.append([name, *(cells.get(task, "-") for task in tasks)])
    intro = (
        "Trained alone (ST), on all twelve tasks (AT), and on all and then alone (AT->ST); in percent. The single-task"
        f" models had few iterations here: see how it is done, not who wins. {marks_explained(shown)}"
    )
    header = ["model", *(TASKS[task].short for task in tasks)]
    return Section("ST, AT, AT->ST", intro, plain_table(header, rows))


def picture_section(title: str, intro: str, path: Path) -> Section:
    """Show a plot."""
    return Section(title, intro, picture(path, title))


def pictures_section(title: str, intro: str, paths: Sequence[Path]) -> Section:
    """Show several plots below each other."""
    return Section(title, intro, "".join(picture(path, title) for path in paths))


def examples_section(run: Path, data: Path, scores: Scores) -> Section:
    """Show what a model says of some test examples of each task, with boxes on the photos (figures 3 and 8)."""
    cards = [
        shown for task, score in scores.tasks.items() for shown in _cards(run, data, task, score.split.split("+")[0])
    ]
    intro = "Test examples of each task. Orange boxes are the model's, green ones are right."
    return Section("Examples", intro, f'<div class="cards">{"".join(cards)}</div>')


def consistency_section(path: Path) -> Section:
    """Show multi-task visual grounding consistency (equation 5) of one or more models, from ``vgc.json``."""
    content = read_json(path, "make it again with vlmt vgc")
    rows = []
    for name, model in content["models"].items():
        weighted, plain = model["consistency"]["weighted"], model["consistency"]["unweighted"]
        rows.append(
            [
                name,
                *map(_percent, (weighted["both"], plain["both"])),
                f"{100 * weighted['chance']:.1f}",
                *map(_percent, (weighted["kappa"], model["questions"], model["expressions"])),
            ]
        )
    header = ["model", "MT-VGC, %", "unweighted", "if independent", "kappa x 100", "questions right", "located"]
    first = next(iter(content["models"].values()))["consistency"]
    intro = (
        "Of the words that questions and referring expressions of an image share, how many are in pairs where the model"
        f" is right about both (equation 5)? {first['pairs']:,} pairs of {first['images']:,} images."
    )
    return Section("Consistency", intro, plain_table(header, rows))


def _percent(value: Any) -> str:
    if isinstance(value, dict):
        return f"{100 * value['value']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"
    return "" if value is None else f"{100 * float(value):.1f}"


def _cards(run: Path, data: Path, task: str, split: str) -> Iterator[str]:
    """Cards of a right and a wrong prediction of a task."""
    predicted = read_columns(run / "predictions" / f"{task}-{split}.parquet", None)
    table = read_columns(data / "examples" / task / f"{split}.parquet", None)
    rows = pc.index_in(predicted["example_id"], table["example_id"].combine_chunks())
    table = table.take(rows)
    if "box" in table.column_names:
        table = table.rename_columns({"box": "right_box"})
    scores = predicted["score"].to_numpy()
    order = np.argsort(-scores, kind="stable")
    for position in (order[len(order) // 4], order[-1 - len(order) // 20])[:_CARDS_A_TASK]:
        example = {**table.slice(int(position), 1).to_pylist()[0], **predicted.slice(int(position), 1).to_pylist()[0]}
        yield _card(data, task, example)


def _card(data: Path, task: str, example: dict[str, Any]) -> str:
    predicts = rules_of(task).PREDICTS
    right = example["score"] >= 0.5
    boxes: dict[str, Sequence[float]] = {}
    answer, truth = str(example.get("answer", "")), ""
    images = example["images"]
    if "answers" in example:
        truth = "" if right else ", ".join(example["answers"][:1])
    elif predicts == "boxes":
        boxes = {RIGHT: example["right_box"], CHOSEN: example["box"]}
        answer = f"IoU {example['iou']:.2f}"
    elif predicts == "ranking":
        images = example["best"][:1]
        answer = f"right image ranked {example['rank']}"
    photos = [_photo(data, image, boxes) for image in images]
    return card([photo for photo in photos if photo], TASKS[task].title, example["text"], answer, right, truth)


def _photo(data: Path, image: str, boxes: dict[str, Sequence[float]]) -> str:
    path = photo_of(data / "images", image)
    if path is None:
        return ""
    with Image.open(path) as opened:
        size = opened.size
    return boxed_photo(path.read_bytes(), size, boxes)
