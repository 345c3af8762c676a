"""Four trunks in the same training on the synthetic world: ``vlmt analyze trunks`` with several seeds.

    OMP_NUM_THREADS=1 python benchmarks/trunks.py --world FOLDER

draws the world, pre-trains each trunk once, trains and scores what is missing, seed by seed, and writes its section of
``benchmarks/RESULTS.md``. The same command resumes it; ``--report`` writes the section of what is there.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from results import write_section

SCALE = 0.5
TRUNKS = ("vilbert", "lxmert", "visualbert", "uniter")
PRETRAIN = ("training.iterations=200", "training.evaluate_every=100")
ITERATIONS, BATCH = 80, 8
TRAIN = (
    f"training.iterations={ITERATIONS}",
    f"training.batch_size={BATCH}",
    f"training.evaluate_every={ITERATIONS}",
    "training.validation_examples=50",
)
SEEDS, SINGLE_SEEDS = 5, 3


def vlmt(*arguments: str) -> str:
    """Run a command to its end, and return what it prints."""
    command = [sys.executable, "-m", "vlmt_cli", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def settings(keys: tuple[str, ...]) -> list[str]:
    return [part for key in keys for part in ("--set", key)]


def prepare(world: Path) -> None:
    """Draw the world, and make what training reads."""
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    if (world / "features" / "hard_negatives_flickr30k.parquet").exists():
        return
    write_world(world, Sizes().scaled(SCALE), 0)
    for command in (
        ["clean", "--datasets", "all,conceptual_captions"],
        ["extract", "--extractor", "pixels"],
        ["extract", "--extractor", "pixels", "--boxes", "candidates"],
        ["pack", f"{world}/features/pixels", "--hard-negatives"],
    ):
        vlmt(*command, "--data", str(world))


def pretrain(world: Path) -> None:
    """Pre-train each trunk, with the same objective and the same captions in the same order."""
    for trunk in TRUNKS:
        name = "pretrain" if trunk == "vilbert" else f"pretrain-{trunk}"
        run = world / "runs" / name
        metrics = run / "metrics.jsonl"
        if metrics.exists() and '"kind": "end"' in metrics.read_text(encoding="utf-8"):
            continue
        resume = ["--resume"] if (run / "state.pt").exists() else []
        at = ["--data", str(world), "--run", str(run), *resume]
        vlmt("pretrain", "--preset", name, "--scale", "mini", *settings(PRETRAIN), *at)


def compare(world: Path, seeds: int, *more: str) -> Any:
    """Compare the trunks over some seeds; what is missing is trained with ``--yes`` alone."""
    options = ["--seeds", str(seeds), "--single-seeds", str(min(seeds, SINGLE_SEEDS)), "--json", *more]
    return json.loads(vlmt("analyze", "trunks", "--scale", "mini", *settings(TRAIN), "--data", str(world), *options))


def milliseconds(trunks: tuple[str, ...], rounds: int = 5, updates: int = 10) -> dict[str, float]:
    """Measure an update of each trunk's mini model side by side: CPU milliseconds, the median of the rounds."""
    import torch

    from vlmt_cli.tasks.config import ModelConfig
    from vlmt_cli.tasks.multitask import MultiTaskModel
    from vlmt_cli.trunks.table import trunk_config

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens, regions, answers = 12, 17, 50
    batch = (
        torch.randint(5, 300, (BATCH, tokens)),
        torch.ones(BATCH, tokens, dtype=torch.long),
        torch.randn(BATCH, regions, 64),
        torch.rand(BATCH, regions, 5),
        torch.ones(BATCH, regions, dtype=torch.bool),
        torch.ones(BATCH, dtype=torch.long),
    )
    steps = []
    for trunk in trunks:
        config = trunk_config(trunk, "mini", region_features=64, vocabulary=300).with_dropout(0.0)
        model = MultiTaskModel(ModelConfig(trunk=config, heads=("vqa",), answers={"vqa": answers}))
        steps.append((trunk, model, torch.optim.AdamW(model.parameters(), 1e-4)))
    measured: dict[str, list[float]] = {trunk: [] for trunk in trunks}
    for _ in range(rounds + 1):
        for trunk, model, optimizer in steps:
            start = time.process_time()
            for _ in range(updates):
                optimizer.zero_grad()
                model("vqa", *batch).square().mean().backward()
                optimizer.step()
            measured[trunk].append(1000 * (time.process_time() - start) / updates)
    return {trunk: statistics.median(values[1:]) for trunk, values in measured.items()}  # the first warms up


def baselines(world: Path) -> dict[str, float]:
    """Return in percent what a guess scores on each task: the most frequent answer, a random box or image."""
    from vlmt_cli.analysis.overview import chances
    from vlmt_cli.evaluation.scores import read_scores

    run = next(path.parent for path in sorted((world / "runs" / "trunks").glob("vilbert-all-tasks-*/scores.json")))
    return {task: 100 * value for task, value in chances(run, world, read_scores(run)).items()}


def cell(number: dict[str, Any] | None, signed: bool = False) -> str:
    """Write a number with half its interval, and over how many seeds it is where these are fewer than all."""
    if number is None:
        return ""
    value = f"{number['value']:+.1f}" if signed else f"{number['value']:.1f}"
    if number["interval"]:
        value += f" ± {(number['interval'][1] - number['interval'][0]) / 2:.1f}"
    return value + str(number.get("mark", "")).replace("*", "\\*")


def seeds_of(numbers: dict[str, Any]) -> str:
    """Say over how many seeds numbers are."""
    counts = sorted({len(number["by_seed"]) for number in numbers.values()})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def rows(title: str, columns: list[dict[str, Any]], guesses: dict[str, float] | None, signed: bool) -> list[str]:
    """Lay numbers out with a row a task."""
    from vlmt_cli.evaluation.scores import COLUMNS

    guessed = ["a guess"] if guesses is not None else []
    header = [title, *(f"{each['name']}" for each in columns), *guessed]
    lines = [f"| {' | '.join(header)} |", f"|---|{'---:|' * (len(header) - 1)}"]
    lines.append(
        "| seeds | " + " | ".join([*(seeds_of(each["numbers"]) for each in columns), *("" for _ in guessed)]) + " |"
    )
    for task in [*COLUMNS, "mean"]:
        if not any(task in each["numbers"] for each in columns):
            continue
        guess = [f"{guesses[task]:.1f}" if task in guesses else ""] if guesses is not None else []
        cells = [cell(each["numbers"].get(task), signed) for each in columns]
        lines.append(f"| {' | '.join([COLUMNS.get(task, task), *cells, *guess])} |")
    return lines


def report(found: Any, guesses: dict[str, float], times: dict[str, float]) -> list[str]:
    """Lay out everything that the runs came to, and what it does not show."""
    trunks = found["trunks"]

    def columns(key: str) -> list[dict[str, Any]]:
        return [{"name": each["trunk"], "numbers": each[key]} for each in trunks if each[key]]

    sizes = ", ".join(f"{each['trunk']} {each['parameters']:,}" for each in trunks)
    speeds = ", ".join(f"{trunk} {value:.1f}" for trunk, value in times.items())
    other = found["interactions"][0]["other"] if found["interactions"] else ""
    differences = [{"name": each["trunk"], "numbers": each["by_task"]} for each in found["interactions"]]
    told = [note.replace("*", "\\*") for note in found["notes"] if "¹" not in note]  # no cell here has that mark
    return [
        "## Trunks on the synthetic world",
        "",
        f"`python benchmarks/trunks.py --world FOLDER`, a world of scale {SCALE}: each trunk's mini size, pre-trained"
        f" once here on the clean split, then on all tasks (AT) and on one (ST): {ITERATIONS} updates of {BATCH}"
        " examples a task. Test scores in %, means over seeds with 95% intervals (Student's t). Of AT"
        f" {SEEDS} seeds and of ST {SINGLE_SEEDS} were planned; a row says how many there are. A guess: the most usual"
        " answer, a random box or image.",
        "",
        *rows("AT", columns("all_tasks"), guesses, signed=False),
        "",
        f"Parameters with all heads: {sizes}. CPU milliseconds of an update of VQA, side by side in one process of one"
        f" thread: {speeds}.",
        "",
        *rows("ST", columns("single_task"), guesses, signed=False),
        "",
        *rows("AT - ST, points", columns("gain"), None, signed=True),
        "",
        *(rows(f"AT - ST, beyond that of {other}", differences, None, signed=True) if differences else []),
        "",
        *(f"- {note}" for note in told),
        "",
        "**What this does not show.** The models have some 200,000 parameters and saw a few hundred examples of each"
        " task. Where a score is that of a guess, nothing was learnt: a gain over it says that joint training begins to"
        " learn sooner, not that it ends higher. A task has as many updates alone as together, but the trunk has twelve"
        " times as many in joint training; the paper's choices, above, compare at equal updates of the trunk, too."
        " Pre-training was drawn once a trunk, so that its chance is in no interval. A ranking of trunks of this size"
        " need not be that of the published ones.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="a folder for the world and its runs")
    parser.add_argument("--report", action="store_true", help="write what is there, and train nothing")
    options = parser.parse_args()
    world = options.world.resolve()
    if not options.report:
        prepare(world)
        pretrain(world)
        for seeds in range(1, SEEDS + 1):
            compare(world, seeds, "--yes")
    found = compare(world, SEEDS)
    lines = report(found, baselines(world), milliseconds(TRUNKS))
    write_section("trunks", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
