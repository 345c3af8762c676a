"""``vlmt demo``: the whole pipeline on a drawn world."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vlmt_cli.analysis.report import Score, Section

RUN = "all-tasks"
CONSISTENT = ("vqa", "refcoco", "refcoco+")
"""The tasks of MT-VGC, which are trained alone, and fine-tuned, as well."""
ALONE, SWEEP, ABLATION = 80, 40, 25  # iterations


def demo(
    folder: Annotated[Path, typer.Option(help="Where the world and everything made of it go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="The same seed draws the same world.")] = 0,
    scale: Annotated[float, typer.Option(min=0.01, help="Size of the world; 1 has some 28,000 examples.")] = 1.0,
    iterations: Annotated[int, typer.Option(min=1, help="Of training all twelve tasks.")] = 300,
    analyses: Annotated[bool, typer.Option(help="Whether to train what the analyses compare.")] = True,
) -> None:
    """Draw a small world with all twelve datasets in their official formats, and run the pipeline on it.

    It ends with a report to look at in a browser, and a table of all twelve tasks.

    Examples:

      vlmt demo --folder demo

      vlmt demo --folder small --scale 0.3 --no-analyses
    """
    _draw(folder, scale, seed)
    _prepare(folder)
    _train(folder, iterations)
    if analyses:
        _analyse(folder)
    _report(folder, analyses)


def _draw(folder: Path, scale: float, seed: int) -> None:
    from vlmt_cli.base.errors import UsageError, VlmtError
    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    say(f"Drawing a world with the official files of all datasets into {folder}")
    try:
        with progress("Drawing") as update:
            write_world(folder, Sizes().scaled(scale), seed, update)
    except ValueError as error:
        raise UsageError(str(error), where="--scale") from error
    except FileExistsError as error:
        raise UsageError(str(error), where="--folder") from error
    except OSError as error:
        raise VlmtError(f"cannot be written ({error.strerror or error})", where=folder) from error


def _prepare(folder: Path) -> None:
    from vlmt_cli.commands.clean import clean
    from vlmt_cli.commands.extract import extract
    from vlmt_cli.commands.pack import pack
    from vlmt_cli.commands.show import say

    say(f"$ vlmt clean --datasets all,conceptual_captions --data {folder}")
    clean(data=folder, datasets="all,conceptual_captions")
    say(f"$ vlmt extract --extractor pixels --data {folder}")
    extract(data=folder, extractor="pixels")
    say(f"$ vlmt extract --extractor pixels --boxes candidates --data {folder}")
    extract(data=folder, extractor="pixels", boxes="candidates")
    say(f"$ vlmt pack --hard-negatives {folder}/features/pixels --data {folder}")
    pack(folder / "features" / "pixels", hard_negatives=True, data=folder)


def _train(folder: Path, iterations: int) -> None:
    from vlmt_cli.commands.evaluate import evaluate
    from vlmt_cli.commands.pretrain import pretrain
    from vlmt_cli.commands.show import say
    from vlmt_cli.commands.train import train

    runs = folder / "runs"
    first = f"training.iterations={max(1, 2 * iterations // 3)}"
    say(f"$ vlmt pretrain --scale mini --data {folder} --run {runs}/pretrain --set {first}")
    pretrain(data=folder, run=runs / "pretrain", scale="mini", settings=[first])
    choices = {"iterations": iterations, "evaluate_every": 25, "affinity_every": 60}
    settings = [f"training.{name}={value}" for name, value in choices.items()]
    words = " ".join(f"--set {setting}" for setting in settings)
    say(f"$ vlmt train --preset {RUN} --scale mini --data {folder} --run {runs}/{RUN} {words}")
    train(preset=RUN, data=folder, run=runs / RUN, scale="mini", settings=settings)
    say(f"$ vlmt evaluate --model {runs}/{RUN} --data {folder}")
    evaluate(model=str(runs / RUN), data=folder)


def _analyse(folder: Path) -> None:
    from vlmt_cli.commands.analyze import ablations, affinity, overlap, schedule, triples
    from vlmt_cli.commands.evaluate import evaluate
    from vlmt_cli.commands.show import say
    from vlmt_cli.commands.train import train
    from vlmt_cli.commands.vgc import vgc

    runs = folder / "runs"
    for preset in ("single-task", "all-to-single"):
        for task in CONSISTENT:
            run, setting = runs / f"{preset}-{task}", f"training.iterations={ALONE}"
            say(
                f"$ vlmt train --preset {preset} --task {task} --scale mini --data {folder} --run {run} --set {setting}"
            )
            train(preset=preset, task=task, data=folder, run=run, scale="mini", settings=[setting])
            evaluate(model=str(run), data=folder)
    say(f"$ vlmt analyze triples --scale mini --data {folder} --runs {runs} --yes --set training.iterations={SWEEP}")
    triples(scale="mini", data=folder, runs=runs, yes=True, parallel=2, settings=[f"training.iterations={SWEEP}"])
    only, setting = "all-tasks,no-task-token", f"training.iterations={ABLATION}"
    say(
        f"$ vlmt analyze ablations --only {only} --yes --scale mini --data {folder} --runs {runs} --sweep ablations"
        f" --set {setting}"
    )
    ablations(only=only, yes=True, scale="mini", data=folder, runs=runs, parallel=2, settings=[setting])
    say(f"$ vlmt analyze overlap --datasets all,conceptual_captions --data {folder}")
    overlap(datasets="all,conceptual_captions", data=folder)
    say(f"$ vlmt analyze affinity {runs}/{RUN} --runs {runs}")
    affinity(runs / RUN, runs=runs)
    say(f"$ vlmt analyze schedule {runs}/{RUN} --runs {runs}")
    schedule(runs / RUN, runs=runs)
    models = [f"AT={runs}/{RUN}"]
    for name, preset in (("ST", "single-task"), ("AT->ST", "all-to-single")):
        models += [f"{name}:{task}={runs}/{preset}-{task}" for task in CONSISTENT]
    say(f"$ vlmt vgc --tagger lexicon --data {folder} " + " ".join(f"--model '{model}'" for model in models))
    vgc(model=models, tagger="lexicon", data=folder, to=runs / "vgc")


def _report(folder: Path, analyses: bool) -> None:
    """Write the page, and show each task's score beside what a guess would score."""
    from vlmt_cli.analysis import overview
    from vlmt_cli.analysis.report import write_page
    from vlmt_cli.commands.show import say, stdout, table
    from vlmt_cli.evaluation.scores import read_scores

    run = folder / "runs" / RUN
    scores = read_scores(run)
    guesses = overview.chances(run, folder, scores)
    rows = overview.score_rows(scores, guesses)
    sections = [overview.leaks_section(folder), overview.scores_section("Twelve tasks", scores, guesses)]
    if analyses:
        sections += _analysed(folder)
    sections.append(overview.examples_section(run, folder, scores))
    page = folder / "report.html"
    intro = "A drawn world with the official files of twelve vision-and-language datasets, from its leaks to one model."
    write_page(page, "vlmt: one model, twelve tasks", intro, sections, f"Made by vlmt demo; runs are in {run.parent}.")
    header = ["task", "metric", "score %", "95%", "chance %", "which guess"]
    stdout().print(table(header, list(map(_cells, rows)), "One model on twelve tasks", left=2))
    say(f"Open {page}")


def _cells(row: "Score") -> list[str]:
    numbers = (f"{100 * row.value:.1f}", f"{100 * row.low:.1f} to {100 * row.high:.1f}", f"{100 * row.chance:.1f}")
    return [row.task, row.metric, *numbers, row.guess]


def _analysed(folder: Path) -> "Iterator[Section]":
    """The sections of what was compared."""
    import pyarrow.parquet as pq

    from vlmt_cli.analysis import overview
    from vlmt_cli.commands.analyze import attention

    runs = folder / "runs"
    models = [("AT", [RUN])] + [
        (name, [f"{preset}-{task}" for task in CONSISTENT])
        for name, preset in (("ST", "single-task"), ("AT->ST", "all-to-single"))
    ]
    yield overview.models_section(runs, models, CONSISTENT)
    yield overview.picture_section(
        "Schedule",
        "When each task trained in every iteration (thick) and when it was stopped and trained in every fourth (thin).",
        runs / RUN / "schedule" / "stop-and-go.png",
    )
    yield overview.picture_section(
        "Pairs and triples",
        "How much better a task (row) gets when it is trained with others (columns) than alone, in percent.",
        runs / "pairs.png",
    )
    yield overview.picture_section(
        "Affinity",
        "The same question asked of the one run of all tasks: what a step on one task does to another's loss.",
        runs / RUN / "affinity.png",
    )
    yield overview.consistency_section(runs / "vgc" / "vgc.json")
    example = pq.read_table(folder / "examples" / "refcoco" / "testA.parquet").slice(0, 1).to_pylist()[0]
    words, maps = runs / RUN / "attention_words.png", runs / RUN / "attention_maps.png"
    attention(
        example["images"][0],
        text=example["text"],
        model=str(runs / RUN),
        task="refcoco",
        to=runs / RUN / "attention.html",
        words=words,
        maps=maps,
        data=folder,
    )
    yield overview.pictures_section(
        "Attention",
        f"“{example['text']}”: the word that each region attends to most, and the four kinds of maps, averaged over"
        f" layers and heads. {runs / RUN / 'attention.html'} is a page to look around in all of them.",
        [words, maps],
    )
