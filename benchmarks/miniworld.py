"""What the paper's choices are worth on the synthetic world: joint training, DSG, tokens, masking.

    python benchmarks/miniworld.py --world FOLDER --seeds 3 --parallel 2

trains all of it below ``FOLDER/runs/experiments`` (a run that is there is not trained again), scores every run on the
test sets, and writes its section of ``benchmarks/RESULTS.md``. Differences are means over seeds, with 95% intervals
from Student's t; what one world shows need not hold on another.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from results import write_section
from scipy.stats import t as student

FOUR = ("vqa", "flickr30k", "visual7w", "nlvr2")
JOINT, ALL, PRETRAIN = 300, 200, 200
TWELVE = "vqa vg_qa gqa coco flickr30k refcoco refcoco+ refcocog visual7w guesswhat nlvr2 snli_ve".split()


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its folder.
        command: ``train`` or ``pretrain``.
        arguments: for it.
        after: the run that it begins with, which must be there before.
    """

    name: str
    command: str
    arguments: tuple[str, ...]
    after: str | None = None


def settings(**values: object) -> tuple[str, ...]:
    return tuple(part for name, value in values.items() for part in ("--set", f"{name.replace('__', '.')}={value}"))


def runs_of(seed: int) -> list[Run]:
    """List the trainings of one seed."""
    with_masking, without = f"pretrain-{seed}", f"pretrain-plain-{seed}"
    pretraining = settings(training__iterations=PRETRAIN)
    found = [
        Run(with_masking, "pretrain", pretraining),
        Run(without, "pretrain", (*pretraining, *settings(masking__neighbours="false"))),
    ]
    common = {"training__evaluate_every": 25, "start": with_masking}
    names = ",".join(FOUR)
    found.append(
        Run(
            f"joint-{seed}",
            "train",
            ("--preset", "pairs", "--task", names, *settings(training__iterations=JOINT, training__gap=1, **common)),
            with_masking,
        )
    )
    for task in FOUR:
        single = ("--preset", "single-task", "--task", task)
        equal = settings(training__iterations=JOINT * len(FOUR), training__stop_when_converged="false", **common)
        found.append(Run(f"equal-{task}-{seed}", "train", (*single, *equal), with_masking))
        until = settings(training__iterations=JOINT * len(FOUR), **common)
        found.append(Run(f"converged-{task}-{seed}", "train", (*single, *until), with_masking))
    twelve = settings(training__iterations=ALL, **common)
    for name, preset, more in (
        ("all", "all-tasks", ()),
        ("no-dsg", "no-dsg", ()),
        ("no-token", "no-task-token", ()),
        ("full", "all-tasks", ("--set", "split=full")),
    ):
        found.append(Run(f"{name}-{seed}", "train", ("--preset", preset, *twelve, *more), with_masking))
    plain = settings(training__iterations=ALL, training__evaluate_every=25, start=without)
    found.append(Run(f"no-overlap-{seed}", "train", ("--preset", "all-tasks", *plain), without))
    return found


def carry_out(run: Run, seed: int, world: Path, folder: Path) -> None:
    """Train a run that is not there yet, and score it."""
    target = folder / run.name
    vlmt = [sys.executable, "-m", "vlmt_cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if not _has_ended(target):
        resume = ["--resume"] if (target / "state.pt").exists() else []
        arguments = [*run.arguments, "--scale", "mini", "--seed", str(seed)]
        command = [*vlmt, run.command, *arguments, *resume, "--data", str(world), "--run", str(target)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    if run.command == "train" and not (target / "scores.json").exists():
        more = ["--contaminated"] if "split=full" in run.arguments else []
        command = [*vlmt, "evaluate", "--model", str(target), "--data", str(world), *more]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    print(target.name, flush=True)


def _has_ended(folder: Path) -> bool:
    metrics = folder / "metrics.jsonl"
    return metrics.exists() and '"kind": "end"' in metrics.read_text(encoding="utf-8")


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95% interval."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, float(student.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))


def told(values: list[float]) -> str:
    mean, half = interval(values)
    return f"{mean:+.1f}" + ("" if math.isnan(half) else f" ± {half:.1f}")


def plain(values: list[float]) -> str:
    mean, half = interval(values)
    return f"{mean:.1f}" + ("" if math.isnan(half) else f" ± {half:.1f}")


def complete(folder: Path, seeds: int, *names: str) -> list[int]:
    """Return the seeds of which all these runs were scored."""
    return [
        seed for seed in range(seeds) if all((folder / f"{name}-{seed}" / "scores.json").exists() for name in names)
    ]


def scores_of(folder: Path, name: str) -> dict[str, float]:
    content = json.loads((folder / name / "scores.json").read_text(encoding="utf-8"))
    return {task: 100 * one["score"]["value"] for task, one in content["tasks"].items()}


def stops_of(folder: Path, name: str) -> int:
    lines = map(json.loads, (folder / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return sum(line["kind"] == "validation" and line["before"] == "go" and line["state"] == "stop" for line in lines)


def updates_of(folder: Path, name: str) -> int:
    lines = map(json.loads, (folder / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return sum(line["updates"] for line in lines if line["kind"] == "train")


def report(folder: Path, seeds: int) -> list[str]:
    """Lay out everything that the runs came to."""
    lines = [
        "## The paper's choices on the synthetic world",
        "",
        "`python benchmarks/miniworld.py`: test scores in %, means over seeds with 95% intervals (Student's t over"
        " seeds, where there are two or more). One small world, small models: results may not transfer to other data.",
        "",
        f"**Joint against alone** (four representative tasks, {JOINT} iterations; alone at as many updates of the trunk"
        f" as the joint model has, {JOINT * len(FOUR)}, and until convergence by DSG's own rule):",
        "",
        "| task | seeds | joint | alone, equal updates | difference | alone, converged | its updates | difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for task in FOUR:
        every = complete(folder, seeds, "joint", f"equal-{task}", f"converged-{task}")
        if not every:
            continue
        joint = [scores_of(folder, f"joint-{seed}")[task] for seed in every]
        equal = [scores_of(folder, f"equal-{task}-{seed}")[task] for seed in every]
        until = [scores_of(folder, f"converged-{task}-{seed}")[task] for seed in every]
        updates = [updates_of(folder, f"converged-{task}-{seed}") for seed in every]
        differences = [told([a - b for a, b in zip(joint, other, strict=True)]) for other in (equal, until)]
        lines.append(
            f"| {task} | {len(every)} | {plain(joint)} | {plain(equal)} | {differences[0]} | {plain(until)} |"
            f" {statistics.fmean(updates):.0f} | {differences[1]} |"
        )
    every = complete(folder, seeds, "all")
    stops = statistics.fmean(stops_of(folder, f"all-{seed}") for seed in every)
    saved = statistics.fmean(updates_of(folder, f"all-{seed}") / (ALL * len(TWELVE)) for seed in every)
    lines += [
        "",
        f"**All twelve tasks** ({ALL} iterations). Differences are from the first row, mean of the twelve. DSG stopped"
        f" tasks {stops:.1f} times per run, and ran {saved:.0%} of the updates.",
        "",
        "| run | seeds | mean of twelve | difference |",
        "|---|---:|---:|---:|",
    ]
    for name, title in (
        ("all", "all tasks: tokens, DSG, clean split, overlap masking before"),
        ("no-dsg", "without DSG (round robin)"),
        ("no-token", "without task tokens"),
        ("no-overlap", "pre-trained without overlap masking"),
        ("full", "trained on the full split, with its leaks"),
    ):
        every = complete(folder, seeds, "all", name)
        if not every:
            continue
        base, means = (
            [statistics.fmean(scores_of(folder, f"{one}-{seed}").values()) for seed in every] for one in ("all", name)
        )
        difference = "" if name == "all" else told([a - b for a, b in zip(means, base, strict=True)])
        lines.append(f"| {title} | {len(every)} | {plain(means)} | {difference} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="a folder that vlmt demo made")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=2)
    options = parser.parse_args()
    world = options.world.resolve()
    folder = world / "runs" / "experiments"
    jobs = [(run, seed) for seed in range(options.seeds) for run in runs_of(seed)]
    with ThreadPoolExecutor(options.parallel) as pool:
        for first in (True, False):
            chosen = [(run, seed) for run, seed in jobs if (run.after is None) == first]
            list(pool.map(lambda job: carry_out(*job, world, folder), chosen))
    lines = report(folder, options.seeds)
    write_section("miniworld", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
