"""The tables of ``miniworld.py``."""

import json
import math
import statistics
from pathlib import Path

from miniworld_runs import ALL, BATCH, CUT, FOUR, JOINT, MIXED, MIXINGS, PRETRAIN, REGIONS, SIX, TWELVE
from scipy.stats import t as student


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


def report_mixings(folder: Path, seeds: int) -> list[str]:
    """Lay out what the ways to mix tasks came to."""
    lines = [
        "## Task mixings on the synthetic world",
        "",
        f"`python benchmarks/miniworld.py --part mixings`: {len(SIX)} tasks, {MIXED} iterations of {len(SIX)} updates"
        f" of {BATCH} examples (DSG leaves some out), all from one pre-training of {PRETRAIN} iterations. Test scores"
        " in %, means over seeds with 95% intervals; differences are from round robin, seed by seed. Largest: vg_qa and"
        " vqa; smallest: visual7w and refcocog.",
        "",
        "| mixing | seeds | updates | mean | difference | largest two | difference | smallest two | difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    every = complete(folder, seeds, *(f"mix-{preset}" for preset in MIXINGS))
    scores = {preset: [scores_of(folder, f"mix-{preset}-{seed}") for seed in every] for preset in MIXINGS}
    for preset, title in MIXINGS.items():
        updates = statistics.fmean(updates_of(folder, f"mix-{preset}-{seed}") for seed in every)
        cells = []
        for tasks in (SIX, SIX[:2], SIX[-2:]):
            mine, base = (
                [statistics.fmean(of_seed[task] for task in tasks) for of_seed in scores[name]]
                for name in (preset, "no-dsg")
            )
            cells += [plain(mine), "" if preset == "no-dsg" else told([a - b for a, b in zip(mine, base, strict=True)])]
        lines.append(f"| {title} | {len(every)} | {updates:.0f} | {' | '.join(cells)} |")
    header = " | ".join(SIX)
    lines += ["", f"| mixing | {header} |", "|---|" + "---:|" * len(SIX)]
    for preset, title in MIXINGS.items():
        cells = [plain([of_seed[task] for of_seed in scores[preset]]) for task in SIX]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "What this does not show: longer trainings, in which small tasks overfit and DSG stops tasks later (here it"
        " stops some that have only begun to learn, and nlvr2, near 50%, has learnt nothing in any row); other"
        " temperatures; larger models; real data. The intervals are over seeds of the training alone: world,"
        " pre-training and test sets are the same ones.",
    ]


def report_regions(folder: Path, seeds: int) -> list[str]:
    """Lay out what regions of a detector's kind are worth beside a grid's cells."""
    every = complete(folder, seeds, *REGIONS)
    scores = {store: [scores_of(folder, f"{store}-{seed}") for seed in every] for store in REGIONS}
    lines = [
        "## Without a detector on the synthetic world",
        "",
        f"`python benchmarks/miniworld.py --part regions`: {len(FOUR)} tasks, {CUT} iterations of an update of {BATCH}"
        f" examples each, round robin, not pre-trained, {len(every)} seeds. Features are those of the `pixels`"
        " extractor: of its proposals, which play the detector (boxes about things, some shifted, halved or merged), or"
        " of the cells of `--regions grid:6`. Test scores in %, means over seeds with 95% intervals.",
        "",
        f"| regions | {' | '.join(FOUR)} | mean |",
        "|---|" + "---:|" * (len(FOUR) + 1),
    ]
    columns = {
        store: [[of_seed[task] for of_seed in scores[store]] for task in FOUR]
        + [[statistics.fmean(of_seed[task] for task in FOUR) for of_seed in scores[store]]]
        for store in REGIONS
    }
    for store, title in REGIONS.items():
        lines.append(f"| {title} | {' | '.join(map(plain, columns[store]))} |")
    proposals, grid = columns.values()
    differences = [told([a - b for a, b in zip(*pair, strict=True)]) for pair in zip(grid, proposals, strict=True)]
    return [
        *lines,
        f"| difference | {' | '.join(differences)} |",
        "",
        "What this does not show: photos and real backbones, where a patch has seen its surroundings; here a cell knows"
        " its own pixels alone, and a thing that lies on a border is cut. Visual7W chooses among the same boxes in"
        " both rows. Longer trainings, larger grids and referring expressions were not run.",
    ]
