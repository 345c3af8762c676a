"""A checkpoint on the test sets: predictions, official scores, and which test images its training saw.

Everything is chosen, loaded and checked before the first batch runs, so that nothing fails an hour later.
"""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.origin import verify_split_if_any
from vlmt_cli.base.progress import Progress
from vlmt_cli.datasets.table import TASKS, TWELVE
from vlmt_cli.evaluation import run
from vlmt_cli.evaluation.bootstrap import RESAMPLES, Estimate, by_image, estimate
from vlmt_cli.evaluation.card import write_card
from vlmt_cli.evaluation.choose import Choice, choose, table_of
from vlmt_cli.evaluation.contamination import contrast
from vlmt_cli.evaluation.control import Controls, control_of, read_controls
from vlmt_cli.evaluation.leaks import Seen, find_seen, guard, read_links, training_of
from vlmt_cli.evaluation.merge import check_splits, merged, scores_to_keep
from vlmt_cli.evaluation.parts import Say, Setting, judge_part, load_part
from vlmt_cli.evaluation.question import named_tasks
from vlmt_cli.evaluation.scores import SCORES_FILE, Scores, Shortlist, TaskScore, make_scores, write_scores
from vlmt_cli.evaluation.setup import open_model
from vlmt_cli.evaluation.submission import write_submission
from vlmt_cli.features.coverage import images_of
from vlmt_cli.runs.best import BestOrLast
from vlmt_cli.runs.folders import CONFIG, data_option, runs_folder
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.runs.tensors import tensors_hash
from vlmt_cli.runs.trained import run_of, trained_of
from vlmt_cli.tasks.process import ALONE, Process
from vlmt_cli.tasks.scoring import Judged, Measure


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        scores: also in ``scores.json``.
        folder: where everything is.
        choices: the splits of each task.
        left_out: why each other task was not scored.
        submissions: the files written.
        paper: the row of the paper's table 2 that the run reproduces, as its recipe says; None where it is none.
        parameters: how many the model has.
    """

    scores: Scores
    folder: Path
    choices: list[Choice]
    left_out: dict[str, str]
    submissions: list[Path]
    paper: str | None
    parameters: int


def evaluate(
    source: str,
    data: Path,
    folder: Path | None = None,
    *,
    weights: BestOrLast = "best",
    tasks: str | None = None,
    split: str | None = None,
    features: str | None = None,
    allow_leak: bool = False,
    contrasted: bool = False,
    control: str | None = None,
    submission: bool = False,
    partial: bool = False,
    only_1k: bool = False,
    shortlist: int | None = None,
    limit: int | None = None,
    process: Process = ALONE,
    batch_size: int = 64,
    resamples: int = RESAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> Evaluation | None:
    """Score a checkpoint by the official metrics.

    Args:
        source: a run folder, a ``.pt`` or a hub id.
        data: the data folder.
        folder: where ``scores.json``, ``predictions/<task>-<split>.parquet`` and ``submissions/`` go; by default the
            run folder, or a folder beside the file.
        weights: which of a run to score.
        tasks: names and groups, or ``all``; by default what the run was trained on, or all twelve.
        split: to score instead of the test set.
        features: the store; by default the recipe's, or the only one there.
        allow_leak: whether to score test images that training saw.
        contrasted: whether scores on seen and unseen images are what this is about: leaks are allowed, and training
            images must be known.
        control: a run that was evaluated before and saw none of the images, to compare seen and unseen images with;
            it implies ``contrasted``.
        submission: whether to write submission files.
        partial: whether to leave out examples without features.
        only_1k: whether COCO is scored on its first thousand test images alone, as the paper's is: 25 times quicker.
        shortlist: of retrieval among more than a thousand images, how many images for each caption, and captions for
            each image, the model scores; ``cascade.rank_shortlist`` says how they are chosen, and how their loss is
            measured. None for all.
        limit: how many examples of each split to score at most, the first ones, to try it. The scores say so in their
            ``split``, and ``folder`` is ``first-<limit>`` in the usual folder by default.
        process: this one, among those that share the examples. Scores and predictions are the same, however many, bit
            for bit with as many threads each.
        batch_size: examples at a time.
        resamples, seed: of the intervals.
        progress: called with a task's name and how many of its examples are done, of pairs in retrieval.
        say: called with each line that the user should see.

    Returns:
        What the first process has written, all of it when everything is scored; None in the others.

    Raises:
        LeakError: training saw test images.
        UsageError: the checkpoint has no tokenizer, a task or store is not there, a part is to be submitted, or
            training images are unknown where they are asked for.
        DataError: a task that is named cannot be scored, features are another extractor's or missing, a file is
            damaged, or the clean split was made of other examples.
    """
    if submission and limit:
        raise UsageError("a server takes all examples of a split", todo="leave --limit or --submission out")
    verify_split_if_any(data)
    model = open_model(source, weights)
    if model.weights.kind:
        say(f"Scoring its {model.weights}")
    trained = trained_of(source, model.weights)
    if trained and not trained.finished:
        todo = f"vlmt train --resume --run {shlex.quote(str(run_of(source)))}{data_option(data)}"
        say(f"Warning: the run is unfinished ({trained}): resume it with {todo}")
    checkpoint, recipe, reader = model.checkpoint, model.recipe, model.reader(data, features)
    if not checkpoint.config.heads:
        raise UsageError("has no heads for tasks", where=source, todo="train it on some with vlmt train")
    wanted, required = (_trained(recipe), set[str]()) if tasks is None else named_tasks(tasks)
    choices, left_out = choose(checkpoint, reader, data, wanted, required, split, submission)
    if submission and not any(choice.submitted for choice in choices):
        raise UsageError("none of these tasks has a submission file", todo="leave --submission out, or name others")
    if only_1k and not any(choice.task == "coco" for choice in choices):
        raise UsageError("--coco-1k is about COCO, which is not scored here", todo="leave it out, or name coco")
    images = {
        (choice.task, name): images_of(table_of(data, choice.task, name))
        for choice in choices
        for name in choice.all_splits
    }
    seen = find_seen(images, training_of(checkpoint), read_links(data))
    contrasted |= control is not None
    if contrasted and not seen.tells:
        what = f"the training images of {' and '.join(seen.unknown)} are unknown, so that none can be told from others"
        raise UsageError(what, where=source, todo="leave --contaminated out")
    if seen.unknown:
        say(f"Warning: the training images of {' and '.join(seen.unknown)} are unknown: any test image may be one")
    has_leaks = guard(images, seen, allow_leak or contrasted, say)
    controls: Controls = {}
    if control:
        compared = {part: lists for part, lists in images.items() if seen.report(lists)[0]}
        if not compared:
            say("Training saw none of these images: there is nothing to compare with a control")
        controls = read_controls(control, data, compared, weights, say) if compared else {}

    last = checkpoint.lineage.stages[-1] if checkpoint.lineage.stages else None
    protocol: dict[str, Any] = {
        "weights": model.weights.kind,
        "split_hash": last.split_hash if last else None,
        "recipe_hash": last.recipe_hash if last else None,
        "weights_hash": tensors_hash(checkpoint.model.state_dict()),
        "trained": trained,
        "resamples": resamples,
        "seed": seed,
    }
    setting = Setting(
        data=data,
        folder=folder or _folder_of(source, data) / (f"first-{limit}" if limit else ""),
        model=model,
        reader=reader,
        partial=partial,
        only_1k=only_1k,
        shortlist=shortlist,
        limit=limit,
        how=(batch_size, process, progress),
        resamples=resamples,
        seed=seed,
        say=say,
    )
    before = None
    if tasks is not None or split is not None:
        before = scores_to_keep(setting.folder, protocol, {choice.task: choice.name for choice in choices})
    loaded = {choice.task: [load_part(setting, choice, name) for name in choice.all_splits] for choice in choices}
    checkpoint.model.to(process.device).eval()
    scored: dict[str, TaskScore] = {}
    all_judged: list[tuple[Choice, Judged]] = []
    with run.tensor_cores(process.device):
        for choice in choices:
            began = time.perf_counter()
            judged = [judgement for part in loaded.pop(choice.task) if (judgement := judge_part(setting, part))]
            if not process.is_first:
                continue
            all_judged += [(choice, judgement) for judgement in judged]
            score = scored[choice.task] = _score(setting, choice, judged, seen, controls)
            seconds = time.perf_counter() - began
            say(f"{choice.task} {score.split}: {score.score.value:.2%} of {score.score.n:,}, in {seconds:.0f} s")
    if not process.is_first:
        return None
    submissions = [file for choice, judgement in all_judged if (file := _write(setting, choice, judgement))]
    scores = make_scores(source, scored, leaks_allowed=has_leaks, resampled="image", **protocol)
    if before is not None:
        check_splits(setting.folder, before, {task: score.split for task, score in scored.items()})
        scores = merged(scores, before)
    write_scores(setting.folder / SCORES_FILE, scores)
    if (setting.folder / CONFIG).is_file() and setting.folder.resolve() == Path(source).resolve():
        write_card(setting.folder, checkpoint, recipe, scores)
    row = recipe.paper_row("table2") if recipe else None
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    return Evaluation(scores, setting.folder, choices, left_out, submissions, row, parameters)


def _trained(recipe: Recipe | None) -> list[str]:
    """The tasks of a run, in the order of the table; all twelve of weights without recipe."""
    return [task for task in (TASKS if recipe else TWELVE) if recipe is None or task in recipe.tasks]


def _folder_of(source: str, data: Path) -> Path:
    path = Path(source)
    if path.is_dir():
        return path
    beside = path if path.is_file() else runs_folder(data) / path.name
    return beside.with_name(f"{path.stem if path.is_file() else path.name}-evaluation")


def _write(setting: Setting, choice: Choice, judged: Judged) -> Path | None:
    """Write a split's predictions, and the file for the server where one is asked for; returns this one."""
    task, split, columns = choice.task, judged.split, judged.columns
    write_parquet(setting.folder / "predictions" / f"{task}-{split}.parquet", pa.table(dict(columns)))
    if split != choice.submitted:
        return None
    form = TASKS[task].submission
    assert form is not None, "only tasks with a form are submitted"
    path = setting.folder / "submissions" / f"{task}-{split}{form.suffix}"
    write_submission(task, path, columns["example_id"], columns["answer"])
    return path


def _score(
    setting: Setting,
    choice: Choice,
    judged: Sequence[Judged],
    seen: Seen,
    controls: Controls,
) -> TaskScore:
    """Average a task's splits together, with intervals over images."""
    parts = [part for part in judged if part.split in choice.splits]
    images = pa.concat_arrays([part.images.take(pa.array(part.counted)) for part in parts])
    scores, groups = np.concatenate([part.scores for part in parts]), by_image(images)
    drawn = (setting.resamples, setting.seed)

    def mean(measure: Measure) -> Estimate:
        return estimate(measure.scores, measure.groups, measure.weights, *drawn)

    further: dict[str, Measure | float] = dict(parts[0].extra)
    if len(parts) > 1:
        cuts = np.cumsum([len(part.scores) for part in parts])[:-1]
        split = zip(parts, np.split(groups, cuts), strict=True)
        further = {part.split: Measure(part.scores, own) for part, own in split}
    saw = seen.examples(images)
    part_of_split = f"first {setting.limit:,}" if setting.limit else ""
    return TaskScore(
        metric=TASKS[choice.task].metric,
        split=" ".join(filter(None, [choice.name, parts[0].protocol, part_of_split])),
        score=mean(Measure(scores, groups)),
        extra={name: mean(value) if isinstance(value, Measure) else value for name, value in further.items()},
        contamination=contrast(scores, saw, groups, *drawn) if seen.tells else None,
        control=control_of(controls, choice.task, parts, (scores, saw, groups), drawn) if saw.any() else None,
        shortlist=Shortlist(**parts[0].shortlist) if parts[0].shortlist else None,
        unknown_stages=seen.unknown,
    )
