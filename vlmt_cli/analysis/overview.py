"""The results of a data folder and its runs, as the sections of a report page. Nothing is trained here."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlmt_cli.analysis.consistency.vgc import COVERAGE, FEWEST_IMAGES
from vlmt_cli.analysis.relations.pairs_file import read_pairs
from vlmt_cli.analysis.relations.seeds import one_seed
from vlmt_cli.analysis.relations.table2 import Score as Table2Score
from vlmt_cli.analysis.relations.table2 import Table2Row, caveat, few_images, seed_mark
from vlmt_cli.analysis.report import Score, Section, overlap_list, picture, plain_table, score_table
from vlmt_cli.base.documents import read_json
from vlmt_cli.base.origin import verify_split
from vlmt_cli.base.schema import parse
from vlmt_cli.clean.heatmap import percent
from vlmt_cli.clean.split_folder import read_report
from vlmt_cli.datasets.table import TASKS, short_title
from vlmt_cli.evaluation.answers.report import AnswerScores, header_of, notes_of, rows_of
from vlmt_cli.evaluation.bootstrap import Estimate, coverage_explained
from vlmt_cli.evaluation.contamination import in_words
from vlmt_cli.evaluation.marks import MEANING, images_of, is_leaked, mark_of, marks_explained
from vlmt_cli.evaluation.run_scores import RunScores, run_scores
from vlmt_cli.evaluation.scores import Scores, TaskScore
from vlmt_cli.runs.best import find_weights
from vlmt_cli.runs.trained import trained_of
from vlmt_cli.tasks.groups import rules_of

_FEW = 4
"""Models that have a column each; more have a line each."""


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
    from vlmt_cli.evaluation.setup import open_model  # with torch, which the rest of the page does without
    from vlmt_cli.tasks.load import answers_of, load_examples

    model = open_model(str(run))
    encoder, reader = model.encoder, model.reader(data)

    def boxes_of(image: str) -> NDArray[np.float32]:
        return reader.store.read(image).boxes[: reader.max_regions]

    chance = {}
    for task, score in scores.tasks.items():
        answers = answers_of(data, task)
        train = load_examples(data, task, "train", encoder, reader, "validate", answers=answers, partial=True)
        values, counts = [], []
        for split in score.split.split()[0].split("+"):  # without its protocol, 1k
            test = load_examples(data, task, split, encoder, reader, "test", clean=False, answers=answers, partial=True)
            values.append(rules_of(task).chance(train, test, boxes_of))
            counts.append(len(test))
        chance[task] = float(np.average(values, weights=counts))
    return chance


def score_rows(scores: Scores, guesses: Mapping[str, float]) -> list[Score]:
    """Put a model's scores beside the baseline's, where these are known."""
    return [
        Score(
            TASKS[task].short,
            f"{score.metric}, {score.split}",
            score.score.value,
            score.score.low,
            score.score.high,
            guesses.get(task),
            rules_of(task).CHANCE if task in guesses else "",
            mark_of(score),
        )
        for task, score in scores.tasks.items()
    ]


def scores_section(title: str, scores: Scores, guesses: Mapping[str, float]) -> Section:
    """Show one model's scores on all tasks."""
    rows = score_rows(scores, guesses)
    intro = (
        f"One model, each task on the split that is named. {marks_explained(scores.tasks.values())}"
        f"{' Marked scores have hatched bars.' if any(row.mark for row in rows) else ''}"
        f"{' The orange line is the chance baseline.' if guesses else ''}"
    )
    return Section(title, intro, score_table(rows))


def models_section(title: str, intro: str, models: Mapping[str, Sequence[Path]]) -> Section:
    """Show several models side by side, as table 2 does; a model is one run, or one a task.

    A score is compared with others of the same task and split alone. Scores of other weights than a run has now are
    left out; models of an unfinished run are named so.
    """
    read = {name: [run_scores(run) for run in runs] for name, runs in models.items()}
    found = {
        _named(name, of_runs): {
            (task, score.split): score for mine in of_runs if mine.scores for task, score in mine.scores.tasks.items()
        }
        for name, of_runs in read.items()
    }
    order = list(TASKS)
    columns = sorted(
        {column for scores in found.values() for column in scores}, key=lambda c: (order.index(c[0]), c[1])
    )
    shown = [score for scores in found.values() for score in scores.values()]
    titles = [f"{TASKS[task].short}, {split}" for task, split in columns]
    header = ["model", *titles]
    rows = [[name, *(_cell(scores.get(column)) for column in columns)] for name, scores in found.items()]
    if len(found) <= _FEW:  # a line a task, which has room on a narrow screen
        first, *others = zip(header, *rows, strict=True)
        header, rows = ["task", *first[1:]], [list(line) for line in others]
    return Section(title, f"{intro} {marks_explained(shown)}", plain_table(header, rows))


def _named(name: str, runs: Sequence[RunScores]) -> str:
    far = "; ".join(filter(None, (mine.unfinished for mine in runs)))
    return f"{name} (unfinished, {far})" if far else name


def _cell(score: TaskScore | None) -> str:
    if score is None:
        return "-"
    value, low, high = (f"{100 * share:.1f}" for share in (score.score.value, score.score.low, score.score.high))
    return f"{value}{mark_of(score)} ({low} to {high})"


def table2_section(rows: Sequence[Table2Row], intro: str) -> Section:
    """Show the kinds of models of table 2 that are there, a column each; a line a task."""
    tasks = [task for task in TASKS if any(task in row.tasks for row in rows)]
    mark = seed_mark(rows)
    lines = [[TASKS[task].short, *(_table2_cell(row.tasks.get(task), mark) for row in rows)] for task in tasks]
    lines.append(
        ["better than ST in", *(f"{row.better} of {row.compared}" if row.better is not None else "-" for row in rows)]
    )
    marks = {mark for row in rows for score in row.tasks.values() for mark in score.mark}
    said = " ".join(f"{mark} {meaning}" for mark, meaning in MEANING.items() if mark in marks)
    said = f"{said} {caveat(rows)} {few_images(score for row in rows for score in row.tasks.values())}".strip()
    return Section("Table 2", f"{intro} {said}", plain_table(["task", *(row.name for row in rows)], lines))


def _table2_cell(score: Table2Score | None, mark: str) -> str:
    if score is None:
        return "-"
    low, high = score.interval
    marks = score.mark + (mark if score.number.interval is None else "")
    return f"{score.number.value:.1f}{marks} ({low:.1f} to {high:.1f})"


def answers_section(folder: Path) -> Section:
    """Show what a run's answers score when they are another model's: nothing is at hand but a file and a mixture."""
    path = folder / "scores.json"
    todo = "make it with vlmt evaluate --predictions FILE --to DIR"
    reports = [parse(AnswerScores, each, path, todo=todo) for each in read_json(path, todo)]
    intro = (
        f"The run's predictions of {reports[0].benchmark} as a file of answers, beside a mixture of all of Visual"
        " Genome's training questions, which is not cleaned. This run did not train on the images that the mixture"
        " shows: what makes them easier or harder is all that they can differ by."
    )
    said = " ".join(dict.fromkeys(note for each in reports for note in notes_of(each)))
    names = [Path(each.predictions).stem for each in reports]
    return Section(
        "Scored as another model's", f"{intro} {said}", plain_table(header_of(reports), rows_of(reports, names))
    )


def seen_section(models: Mapping[str, Scores]) -> Section:
    """Show scores on images that training saw beside those on images that it did not see."""
    rows, said, images = [], list[str](), list[int]()
    for name, scores in models.items():
        for task, score in scores.tasks.items():
            if is_leaked(score) and (parts := score.contamination):
                numbers = [_counted(part) for part in (parts.seen, parts.unseen)]
                difference = _percent(vars(parts.difference)) if parts.difference else "-"
                beyond = _percent(vars(score.control.in_differences)) if score.control else "no control"
                rows.append([name, f"{TASKS[task].short}, {score.split}", *numbers, difference, beyond])
                said.append(f"{name}, {TASKS[task].short}: {in_words(parts, score.control)}")
                images += images_of(score)
    said.append(coverage_explained(images))
    intro = (
        "Scores on images that training saw, and on the others, in percent. The images themselves differ, too: the"
        " difference alone does not say how much was gained by having seen them."
    )
    header = ["model", "task", "seen", "unseen", "difference", "beyond the control's"]
    return Section("Seen and unseen", f"{intro} {' '.join(said)}", plain_table(header, rows))


def _counted(part: Estimate | None) -> str:
    return "-" if part is None else f"{_percent(vars(part))} of {part.n:,}"


def pairs_section(title: str, intro: str, path: Path) -> Section:
    """Show the plot of pairs, and what the numbers beside it do not allow to conclude."""
    numbers = path.with_suffix(".parquet")
    said = one_seed(cell.number for cell in read_pairs(numbers).cells) if numbers.is_file() else ""
    return picture_section(title, f"{intro} {said}".strip(), path)


def picture_section(title: str, intro: str, path: Path) -> Section:
    """Show a plot."""
    return Section(title, intro, picture(path, title))


def pictures_section(title: str, intro: str, paths: Sequence[Path]) -> Section:
    """Show several plots below each other."""
    return Section(title, intro, "".join(picture(path, title) for path in paths))


def consistency_section(path: Path) -> Section:
    """Show multi-task visual grounding consistency (equation 5) of one or more models, from ``vgc.json``."""
    content = read_json(path, "make it again with vlmt vgc")
    rows = []
    for name, model in content["models"].items():
        weighted, plain = model["consistency"]["weighted"], model["consistency"]["unweighted"]
        control = model["consistency"]["by_overlap"].get("0")
        rows.append(
            [
                name,
                *map(_percent, (weighted["both"], plain["both"], weighted["chance"], weighted.get("excess"))),
                *map(_percent, (weighted.get("chance_within"), weighted.get("excess_within"))),
                _percent(control["both"] if control else None),
                *map(_percent, (weighted["kappa"], model["questions"], model["expressions"])),
            ]
        )
    titles = ["MT-VGC, %", "unweighted", "by chance", "above it", "by chance within images", "above it"]
    titles += ["control: no word shared", "kappa x 100", "questions right", "located"]
    columns = [titles, *(cells for _, *cells in rows)]  # a line a measure: models are fewer
    lines = [list(line) for line in zip(*columns, strict=True)]
    header = ["", *(name for name, *_ in rows)]
    first = next(iter(content["models"].values()))["consistency"]
    intro = (
        "Of the words that questions and referring expressions of an image share, how many are in pairs where the model"
        f" is right about both (equation 5)? {first['pairs']:,} pairs of {first['images']:,} images."
    )
    few = any(
        model["consistency"]["weighted"]["both"]["groups"] < FEWEST_IMAGES for model in content["models"].values()
    )
    far = {
        source: taken["unfinished"]
        for model in content["models"].values()
        for source, taken in model.get("weights", {}).items()
        if taken["unfinished"]
    }
    said = [intro, *(f"{source} was unfinished ({at})." for source, at in far.items())]
    said += [content.get("usually_seen", ""), COVERAGE if few else ""]
    return Section("Consistency", " ".join(filter(None, said)), plain_table(header, lines))


def measured_before(path: Path) -> str:
    """Say of which other weights than its runs have now a ``vgc.json`` is; nothing where it is of these, or where it is
    not known, as in older files."""
    content = read_json(path, "make it again with vlmt vgc")
    for model in content["models"].values():
        for source, taken in model.get("weights", {}).items():
            now = trained_of(source, find_weights(source, taken["kind"]))
            if now and now.iteration != taken["iteration"]:
                then, kind = taken["iteration"], taken["kind"]
                return (
                    f"measured {source} at iteration {then:,}, and its {kind} weights are now those of iteration"
                    f" {now.iteration:,}"
                )
    return ""


def _percent(value: Any) -> str:
    if isinstance(value, dict):
        return f"{100 * value['value']:.1f} ({100 * value['low']:.1f} to {100 * value['high']:.1f})"
    return "" if value is None else f"{100 * float(value):.1f}"
