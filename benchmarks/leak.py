"""What having seen a test image is worth: models of the full split against controls of the clean split.

    nice python benchmarks/leak.py --world FOLDER --seeds 5

draws a world whose Visual Genome QA has many test images of both kinds below ``FOLDER``, trains models of G1 with one
thread (a run that is there is not trained again, an interrupted one resumes), scores both on the same test questions,
and writes its section of ``benchmarks/RESULTS.md``. Only the control tells a leak from images that are easier anyhow.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from miniworld import interval, told
from results import write_section

from vlmt_cli.miniworld.sizes import Sizes
from vlmt_cli.miniworld.world import write_world

SIZES = Sizes(vg_qa=18_000, gqa=9_000)
"""GQA trains on half of Visual Genome's images, so that its QA has as many test images of either kind."""
ITERATIONS = 600
NOTHING_SHOWN = "The last interval holds zero: these runs do not show that having seen an image raises its score."


def vlmt(*arguments: object) -> None:
    """Run vlmt with one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "vlmt_cli", *map(str, arguments)], check=True, env=environment, capture_output=True
    )


def prepare(world: Path) -> None:
    """Draw, clean and extract, as far as that is not done."""
    if not (world / "miniworld.json").exists():
        write_world(world, SIZES, 0, lambda *_: None)
    vlmt("clean", "--datasets", "all", "--data", world)
    vlmt("extract", "--extractor", "pixels", "--data", world)


def train(world: Path, split: str, seed: int) -> Path:
    """Train a model of one split."""
    run = world / "runs" / "leak" / f"{split}-{seed}"
    metrics = run / "metrics.jsonl"
    if not metrics.exists() or '"kind": "end"' not in metrics.read_text(encoding="utf-8"):
        recipe = ["--preset", "group-task", "--task", "G1", "--scale", "mini", "--seed", seed]
        for key in (f"training.iterations={ITERATIONS}", "training.evaluate_every=100", f"split={split}"):
            recipe += ["--set", key]
        resume = ["--resume"] if (run / "state.pt").exists() else []
        vlmt("train", *recipe, *resume, "--data", world, "--run", run)
    return run


def score(world: Path, seed: int) -> dict[str, dict]:  # type: ignore[type-arg]
    """Score a model of the full split with that of the clean split as its control."""
    leaky, clean = (train(world, split, seed) for split in ("full", "clean"))
    common = ("--tasks", "vg_qa", "--data", world)
    if not (clean / "scores.json").exists():
        vlmt("evaluate", "--model", clean, *common)
    if not (leaky / "scores.json").exists():
        vlmt("evaluate", "--model", leaky, *common, "--control", clean)
    print(leaky.name, flush=True)
    content = json.loads((leaky / "scores.json").read_text(encoding="utf-8"))
    task = content["tasks"]["vg_qa"]
    return task["contamination"] | {"control": task["control"]}


def report(every: list[dict]) -> list[str]:  # type: ignore[type-arg]
    """Lay out each seed, and the mean over seeds."""
    seen, unseen = (every[0][side] for side in ("seen", "unseen"))
    lines = [
        "## What having seen a test image is worth",
        "",
        f"`python benchmarks/leak.py`: models of G1 on a synthetic world, {ITERATIONS} iterations, scored on Visual"
        f" Genome QA's test questions: {seen['n']:,} about {seen['groups']} images that the full split's training shows"
        f" (seen), {unseen['n']:,} about {unseen['groups']} others. The control trained on the clean split, which shows"
        " none of them. Intervals of a seed are over images, each drawn with both models' scores; that of all is over"
        " seeds (Student's t). One small world, small models: results may not transfer to other data.",
        "",
        "| seed | seen, % | unseen, % | difference | difference of the control | difference in differences |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    columns: list[list[float]] = [[], [], []]
    for seed, parts in enumerate(every):
        estimates = parts["difference"], parts["control"]["difference"], parts["control"]["in_differences"]
        cells = [f"{100 * e['value']:+.1f} ({100 * e['low']:+.1f} to {100 * e['high']:+.1f})" for e in estimates]
        values = [f"{100 * parts[side]['value']:.1f}" for side in ("seen", "unseen")]
        lines.append(f"| {seed} | {' | '.join([*values, *cells])} |")
        for column, estimate in zip(columns, estimates, strict=True):
            column.append(100 * estimate["value"])
    lines.append(f"| all | | | {' | '.join(map(told, columns))} |")
    mean, half = interval(columns[-1])
    if not abs(mean) > half:
        lines += ["", NOTHING_SHOWN]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="a folder of its own")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    world = options.world.resolve()
    prepare(world)
    lines = report([score(world, seed) for seed in range(options.seeds)])
    write_section("leak", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
