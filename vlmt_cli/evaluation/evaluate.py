"""A checkpoint on the test sets: predictions, official scores, and what the checkpoint's training saw of them.

Everything is chosen, loaded and checked before the first batch runs, so that nothing fails an hour later.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from vlmt_cli.base.errors import DataError, LeakError, UsageError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.evaluation import run
from vlmt_cli.evaluation.bootstrap import RESAMPLES, Estimate, by_image, estimate
from vlmt_cli.evaluation.choose import Choice, choose, named_tasks, table_of
from vlmt_cli.evaluation.contamination import contrast
from vlmt_cli.evaluation.judge import Judged, Measure, judge
from vlmt_cli.evaluation.leaks import Seen, find_seen, read_links, training_of
from vlmt_cli.evaluation.recall import judge_retrieval, score_pairs
from vlmt_cli.evaluation.run import Place, Progress
from vlmt_cli.evaluation.scores import SCORES_FILE, Scores, TaskScore, make_scores, paper_rows, write_scores
from vlmt_cli.evaluation.setup import check_features, load_model, open_stores, recipe_of, token_kind
from vlmt_cli.evaluation.submission import SUFFIXES, write_submission
from vlmt_cli.features.coverage import images_of
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.recipe import FeatureChoices, Recipe, task_token
from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.load import COLUMNS, load_examples
from vlmt_cli.tasks.table import TASKS, TWELVE
from vlmt_cli.tasks.text import TextEncoder, read_columns

FEATURES_OPTION = "--features NAME"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Evaluation:
    """What came of it.

    Attributes:
        scores: also in ``scores.json``.
        folder: where everything is.
        choices: the splits of each task.
        left_out: why each other task was not scored.
        submissions: the files written.
        paper: the row of the paper's table 2 that such a model stands beside.
    """

    scores: Scores
    folder: Path
    choices: list[Choice]
    left_out: dict[str, str]
    submissions: list[Path]
    paper: str


class _Part(NamedTuple):
    """One split of a task, loaded."""

    examples: Examples
    table: pa.Table


class _Model(NamedTuple):
    """What runs, and where."""

    checkpoint: Checkpoint
    reader: RegionReader
    tokens: str
    batch_size: int
    place: Place
    progress: Progress | None


def evaluate(
    source: str,
    data: Path,
    folder: Path | None = None,
    *,
    tasks: str | None = None,
    split: str | None = None,
    features: str | None = None,
    allow_leak: bool = False,
    contrasted: bool = False,
    submission: bool = False,
    partial: bool = False,
    device: str = "cpu",
    batch_size: int = 64,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> Evaluation:
    """Score a checkpoint by the official metrics.

    Args:
        source: a run folder, a ``.pt`` or a hub id.
        data: the data folder.
        folder: where ``scores.json``, ``predictions/<task>-<split>.parquet`` and ``submissions/`` go; by default the
            run folder, or a folder beside the file.
        tasks: names and groups, or ``all``; by default what the run was trained on, or all twelve.
        split: to score instead of the test set.
        features: the store; by default the recipe's, or the only one there.
        allow_leak: whether to score test images that training saw.
        contrasted: whether scores on seen and unseen images are what this is about: leaks are allowed, and training
            images must be known.
        submission: whether to write submission files.
        partial: whether to leave out examples without features.
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        batch_size: examples at a time.
        resamples, seed: of the intervals.
        progress: told a task's name and how many of its examples are done, of pairs in retrieval.
        say: told what a person should know, a line each.

    Raises:
        LeakError: training saw test images.
        UsageError: the checkpoint has no tokenizer, a task or store is not there, or training images are unknown where
            they are asked for.
        DataError: a task that is named cannot be scored, features are another extractor's or missing, or a file is
            damaged.
    """
    checkpoint, recipe = load_model(source), recipe_of(source)
    chosen = recipe.features if recipe else FeatureChoices()
    reader = open_stores(chosen.model_copy(update={"store": features} if features else {}), data, FEATURES_OPTION)
    for store in (reader.store, *([reader.candidates] if reader.candidates else [])):
        check_features(checkpoint, store.meta, FEATURES_OPTION)
    wanted, required = named_tasks(tasks) if tasks else (_trained(recipe), set[str]())
    choices, left_out = choose(checkpoint, reader, data, wanted, required, split, submission)
    if submission and not any(choice.submitted for choice in choices):
        raise UsageError("none of these tasks has a submission file", todo="leave --submission out, or name others")
    seen = _find_seen(checkpoint, data, choices)
    if contrasted and not seen.tells:
        what = f"the training images of {' and '.join(seen.unknown)} are unknown, so that none can be told from others"
        raise UsageError(what, where=source, todo="leave --contaminated out")
    if seen.unknown:
        say(f"Warning: the training images of {' and '.join(seen.unknown)} are unknown: any test image may be one")
    has_leaks = _guard(data, choices, seen, allow_leak or contrasted, say)

    folder = folder or _folder_of(source)
    assert checkpoint.tokenizer is not None
    encoder = TextEncoder(checkpoint.tokenizer)
    loaded = {
        (choice.task, name): _load(data, choice, name, encoder, reader, checkpoint, partial, say)
        for choice in choices
        for name in choice.all_splits
    }
    checkpoint.model.to(torch.device(device)).eval()
    place = Place(torch.device(device))
    model = _Model(checkpoint, reader, token_kind(recipe, checkpoint), batch_size, place, progress)
    scored, submissions = {}, []
    for choice in choices:
        began = time.perf_counter()
        judged = {}
        for name in choice.all_splits:
            part = loaded.pop((choice.task, name))
            judged[name] = _run(model, part)
            columns = {"example_id": part.table["example_id"], "images": part.table["images"], **judged[name].columns}
            write_parquet(folder / "predictions" / f"{choice.task}-{name}.parquet", pa.table(columns))
            if name == choice.submitted:
                submissions.append(folder / "submissions" / f"{choice.task}-{name}{SUFFIXES[choice.task]}")
                write_submission(choice.task, submissions[-1], columns["example_id"], columns["answer"])
        score = scored[choice.task] = _score(choice, [judged[name] for name in choice.splits], seen, resamples, seed)
        seconds = time.perf_counter() - began
        say(f"{choice.task} {score.split}: {score.score.value:.2%} of {score.score.n:,}, in {seconds:.0f} s")
    last = checkpoint.lineage.stages[-1] if checkpoint.lineage.stages else None
    scores = make_scores(
        source,
        scored,
        split_hash=last.split_hash if last else None,
        recipe_hash=last.recipe_hash if last else None,
        leaks_allowed=has_leaks,
        resamples=resamples,
        resampled="image",
        seed=seed,
    )
    write_scores(folder / SCORES_FILE, scores)
    return Evaluation(scores, folder, choices, left_out, submissions, _paper_row(recipe))


def _trained(recipe: Recipe | None) -> list[str]:
    """The tasks of a run, in the order of the table; all twelve of weights without recipe."""
    return [task for task in (TASKS if recipe else TWELVE) if recipe is None or task in recipe.tasks]


def _folder_of(source: str) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    return path.with_name(f"{path.stem}-evaluation") if path.is_file() else Path("runs") / f"{path.name}-evaluation"


def _paper_row(recipe: Recipe | None) -> str:
    rows = {len(TWELVE): "AT", len(TWELVE) - 2: "AT w/o G4", 1: "ST"}
    row = f"{rows.get(len(recipe.tasks), 'GT')} {recipe.split}" if recipe else "AT clean"
    return row if row in paper_rows() else "AT clean"


def _find_seen(checkpoint: Checkpoint, data: Path, choices: Sequence[Choice]) -> Seen:
    images = {
        f"{choice.task} {name}": images_of(table_of(data, choice.task, name))
        for choice in choices
        for name in choice.all_splits
    }
    return find_seen(images, training_of(checkpoint), read_links(data))


def _guard(data: Path, choices: Sequence[Choice], seen: Seen, allowed: bool, say: Say) -> bool:
    """Refuse test images that training saw, or say so where they are allowed; returns whether there are any."""
    leaks, marked = [], []
    for choice in choices:
        for name in choice.all_splits:
            hits, images, stages = seen.report(images_of(table_of(data, choice.task, name)))
            if hits:
                line = f"{hits:,} of {images:,} images of {choice.task} {name} (stage {' and '.join(stages)})"
                (leaks if name.startswith("test") else marked).append(line)
    if leaks and not allowed:
        todo = "score a model of the clean split, see both parts with --contaminated, or go on with --allow-leak"
        raise LeakError(f"training saw {'; '.join(leaks)}", todo=todo)
    if leaks:
        say(f"Warning: training saw {'; '.join(leaks)}")
    if marked:
        say(f"Training saw {'; '.join(marked)}: cleaning takes out test images only")
    return bool(leaks)


def _load(
    data: Path,
    choice: Choice,
    split: str,
    encoder: TextEncoder,
    reader: RegionReader,
    checkpoint: Checkpoint,
    partial: bool,
    say: Say,
) -> _Part:
    """Load all examples of a split: no test set is ever cut."""
    task, path = choice.task, table_of(data, choice.task, split)
    head = TASKS[task].head
    answers = checkpoint.labels.get(head)
    examples = load_examples(
        data, task, split, encoder, reader, "test", clean=False, answers=answers, partial=partial
    )
    table = read_columns(path, ["example_id", "images", *COLUMNS[head]])
    if len(examples) < len(table):
        say(f"{task} {split}: {len(table) - len(examples):,} of {len(table):,} examples have no features, left out")
        if split == choice.submitted:
            todo = "extract all, or leave --submission out"
            raise DataError(f"a server takes all {len(table):,} examples of {task} {split}", where=path, todo=todo)
    return _Part(examples, table.take(pa.array(examples.rows)).combine_chunks())


def _run(model: _Model, part: _Part) -> Judged:
    """Predict a split, and judge it."""
    examples, task = part.examples, part.examples.task
    token = task_token(task, model.tokens)
    own, head = model.checkpoint.model, TASKS[task].head
    given = (own, examples, model.reader, token)
    if head == "retrieval":
        scores_CI = score_pairs(*given, model.batch_size, model.place, model.progress)
        return judge_retrieval(examples.split, part.table["images"].combine_chunks(), examples, scores_CI)
    labels = model.checkpoint.labels.get(head, [])
    predicted = run.predict(*given, labels, model.batch_size, model.place, model.progress)
    return judge(task, examples.split, part.table, predicted)


def _score(choice: Choice, parts: Sequence[Judged], seen: Seen, resamples: int, seed: int) -> TaskScore:
    """Average a task's splits together, with intervals over images."""
    images = pa.concat_arrays([part.images.take(pa.array(part.counted)) for part in parts])
    scores, groups = np.concatenate([part.scores for part in parts]), by_image(images)

    def mean(measure: Measure) -> Estimate:
        return estimate(measure.scores, measure.groups, measure.weights, resamples, seed)

    further: dict[str, Measure | float] = dict(parts[0].extra)
    if len(parts) > 1:
        cuts = np.cumsum([len(part.scores) for part in parts])[:-1]
        split = zip(parts, np.split(groups, cuts), strict=True)
        further = {part.split: Measure(part.scores, own) for part, own in split}
    return TaskScore(
        metric=TASKS[choice.task].metric,
        split="+".join(part.split for part in parts),
        score=mean(Measure(scores, groups)),
        extra={name: mean(value) if isinstance(value, Measure) else value for name, value in further.items()},
        contamination=contrast(scores, seen.examples(images), groups, resamples, seed) if seen.tells else None,
        unknown_stages=seen.unknown,
    )
