"""What the paper's choices are worth on the synthetic world: joint training, DSG, tokens, masking.

    python benchmarks/miniworld.py --world FOLDER --seeds 3 --parallel 2
    python benchmarks/miniworld.py --world FOLDER --seeds 5 --part mixings      # round robin, DSG, drawn tasks
    python benchmarks/miniworld.py --world FOLDER --seeds 5 --part regions      # proposals against the cells of a grid

trains all of it below ``FOLDER/runs/experiments`` (a run that is there is not trained again), scores every run on the
test sets, and writes its section of ``benchmarks/RESULTS.md``. Differences are means over seeds, with 95% intervals
from Student's t; what one world shows need not hold on another.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from miniworld_reports import report, report_mixings, report_regions
from miniworld_runs import Run, mixing_runs, region_runs, runs_of, settings
from results import write_section


def carry_out(run: Run, seed: int, world: Path, folder: Path) -> None:
    """Train a run that is not there yet, and score it."""
    target = folder / run.name
    vlmt = [sys.executable, "-m", "vlmt_cli"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if not _has_ended(target):
        resume = ["--resume"] if (target / "state.pt").exists() else []
        # Runs that compare stores name their own after it.
        choices = [*settings(features__store="pixels"), *run.arguments, "--scale", "mini", "--seed", str(seed)]
        command = [*vlmt, run.command, *choices, *resume, "--data", str(world), "--run", str(target)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    if run.command == "train" and not (target / "scores.json").exists():
        more = ["--contaminated"] if "split=full" in run.arguments else []
        command = [*vlmt, "evaluate", "--model", str(target), "--data", str(world), *more]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    print(target.name, flush=True)


def _has_ended(folder: Path) -> bool:
    metrics = folder / "metrics.jsonl"
    return metrics.exists() and '"kind": "end"' in metrics.read_text(encoding="utf-8")


PARTS: dict[str, tuple[str, Callable[[int], list[Run]], Callable[[Path, int], list[str]]]] = {
    "choices": ("miniworld", runs_of, report),
    "mixings": ("miniworld-mixings", mixing_runs, report_mixings),
    "regions": ("miniworld-regions", region_runs, report_regions),
}
"""Each part's section of the results, its trainings, and its report."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="a folder that vlmt demo made")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--part", choices=PARTS, default="choices")
    options = parser.parse_args()
    world = options.world.resolve()
    folder = world / "runs" / "experiments"
    section, list_runs, lay_out = PARTS[options.part]
    if options.part == "regions":
        extract = ["extract", "--extractor", "pixels", "--regions", "grid:6", "--data", str(world)]
        subprocess.run([sys.executable, "-m", "vlmt_cli", *extract], check=True, capture_output=True)
    jobs = [(run, seed) for seed in range(options.seeds) for run in list_runs(seed)]
    with ThreadPoolExecutor(options.parallel) as pool:
        for first in (True, False):
            chosen = [(run, seed) for run, seed in jobs if (run.after is None) == first]
            list(pool.map(lambda job: carry_out(job[0], job[1], world, folder), chosen))
    lines = lay_out(folder, options.seeds)
    write_section(section, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
