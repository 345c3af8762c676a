"""``vlmt demo``: the whole pipeline on a drawn world."""

from pathlib import Path
from typing import Annotated

import typer

RUN = "all-tasks"


def demo(
    folder: Annotated[Path, typer.Option(help="Where the world and everything made of it go.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="The same seed draws the same world.")] = 0,
    scale: Annotated[float, typer.Option(min=0.01, help="Size of the world; 1 has some 28,000 examples.")] = 1.0,
    iterations: Annotated[int, typer.Option(min=1, help="Of training all twelve tasks.")] = 300,
) -> None:
    """Draw a small world with all twelve datasets in their official formats, and run the pipeline on it.

    It ends with a report to look at in a browser, and a table of all twelve tasks.

    Example:

      vlmt demo --folder demo
    """
    from vlmt_cli.base.errors import UsageError, VlmtError
    from vlmt_cli.commands.clean import clean
    from vlmt_cli.commands.evaluate import evaluate
    from vlmt_cli.commands.extract import extract
    from vlmt_cli.commands.pack import pack
    from vlmt_cli.commands.pretrain import pretrain
    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.commands.train import train
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    runs = folder / "runs"
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
    say(f"$ vlmt clean --datasets all,conceptual_captions --data {folder}")
    clean(data=folder, datasets="all,conceptual_captions")
    say(f"$ vlmt extract --extractor pixels --data {folder}")
    extract(data=folder, extractor="pixels")
    say(f"$ vlmt extract --extractor pixels --boxes candidates --data {folder}")
    extract(data=folder, extractor="pixels", boxes="candidates")
    say(f"$ vlmt pack --hard-negatives {folder}/features/pixels --data {folder}")
    pack(folder / "features" / "pixels", hard_negatives=True, data=folder)
    say(f"$ vlmt pretrain --scale mini --data {folder} --run {runs}/pretrain --set training.iterations=200")
    pretrain(data=folder, run=runs / "pretrain", scale="mini", settings=["training.iterations=200"])
    settings = [f"training.iterations={iterations}", "training.evaluate_every=25"]
    words = " ".join(f"--set {setting}" for setting in settings)
    say(f"$ vlmt train --preset {RUN} --scale mini --data {folder} --run {runs}/{RUN} {words}")
    train(preset=RUN, data=folder, run=runs / RUN, scale="mini", settings=settings)
    say(f"$ vlmt evaluate --model {runs}/{RUN} --data {folder}")
    evaluate(model=str(runs / RUN), data=folder)
    _report(folder, runs)


def _report(folder: Path, runs: Path) -> None:
    """Write the page, and show each task's score beside what a guess would score."""
    from vlmt_cli.analysis import overview
    from vlmt_cli.analysis.report import write_page
    from vlmt_cli.commands.show import say, stdout, table
    from vlmt_cli.evaluation.scores import read_scores

    scores = read_scores(runs / RUN)
    guesses = overview.chances(runs / RUN, folder, scores)
    rows = overview.score_rows(scores, guesses)
    sections = [
        overview.leaks_section(folder),
        overview.scores_section("Twelve tasks", scores, guesses),
        overview.examples_section(runs / RUN, folder, scores),
    ]
    page = folder / "report.html"
    intro = "A drawn world with the official files of twelve vision-and-language datasets, from its leaks to one model."
    write_page(page, "vlmt: one model, twelve tasks", intro, sections, f"Made by vlmt demo; runs are in {runs}.")
    cells = [
        [
            row.task,
            row.metric,
            f"{100 * row.value:.1f}",
            f"{100 * row.low:.1f} to {100 * row.high:.1f}",
            f"{100 * row.chance:.1f}",
            row.guess,
        ]
        for row in rows
    ]
    header = ["task", "metric", "score %", "95%", "chance %", "which guess"]
    stdout().print(table(header, cells, "One model on twelve tasks", left=2))
    say(f"Open {page}")
