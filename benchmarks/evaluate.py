"""Evaluation in two processes beside one; and what a shortlist of retrieval loses.

    python benchmarks/evaluate.py                 make a world, train a small model, measure, note it in RESULTS.md
    python benchmarks/evaluate.py --examples 32   fewer questions in the first part, without noting it

**Processes.** A model of the published size and random weights answers questions of the synthetic world in one process
of one thread, and in two of one thread each, in turns. What starts the processes, and loads model and examples, is not
counted: all wait for one another, then the clock runs until the first has every prediction.

**Shortlist.** A small model is trained on the synthetic world's captions; all pairs of its test set are scored, and the
cheap score is fitted on validation pairs (``tasks.retrieval.shortlist``). For some lengths of the list: the share of
pairs on it, and Recall@k by all pairs less Recall@k by the list, over the whole test set.
"""

import argparse
import functools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from results import write_section

from vlmt_cli.evaluation import run
from vlmt_cli.evaluation.setup import open_model, open_stores
from vlmt_cli.miniworld.sizes import Sizes
from vlmt_cli.miniworld.world import write_world
from vlmt_cli.runs.recipe_sections import FeatureChoices
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.load import load_examples
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.process import ALONE, Process
from vlmt_cli.tasks.retrieval import cascade
from vlmt_cli.tasks.retrieval.matrix import Pairs, mean_state
from vlmt_cli.tasks.retrieval.shortlist import choose_pairs, fill, fit, losses
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer
from vlmt_cli.trunks.config import make_config

GOAL = 1.7
BATCH = 16
HELD_OUT = 1_000
LENGTHS = (10, 20, 40, 80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "vlmt-bench-evaluate")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = options.folder / "data"
    if options.only:
        print(*measure(data, options.examples, options.only))
        return
    prepare(data, options.folder / "coco")
    lines = [*process_lines(options), "", *shortlist_lines(data, options.folder / "coco")]
    print("\n".join(lines))
    if options.examples == parser.get_default("examples"):
        write_section("evaluate", lines)


def prepare(data: Path, trained: Path) -> None:
    """Make a world with its features, and train a small model on its captions, unless both are there."""
    if (trained / "best").exists():
        return
    write_world(data, Sizes(heldout=HELD_OUT))
    for arguments in (
        ["clean", "--datasets", "all"],
        ["extract", "--extractor", "pixels"],
        ["pack", str(data / "features" / "pixels"), "--hard-negatives"],
        ["train", "--task", "coco", "--scale", "mini", "--run", str(trained), "--device", "cpu"],
    ):
        subprocess.run([sys.executable, "-m", "vlmt_cli", *arguments, "--data", str(data)], check=True)


def process_lines(options: argparse.Namespace) -> list[str]:
    seconds: dict[int, list[float]] = {1: [], 2: []}
    busiest: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeat):
        for count, took in seconds.items():
            command = [sys.executable, __file__, "--only", str(count), "--examples", str(options.examples)]
            command += ["--folder", str(options.folder)]
            alone = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | alone)
            wall, cpu = map(float, done.stdout.split()[-2:])
            took.append(wall)
            busiest[count].append(cpu)
    best = min(seconds[1]) / min(seconds[2])
    median = statistics.median(seconds[1]) / statistics.median(seconds[2])
    rows = [
        f"| {count} | {options.examples / min(took):.2f} | {options.examples / statistics.median(took):.2f} |"
        for count, took in seconds.items()
    ]
    return [
        "## Evaluation",
        "",
        f"`benchmarks/evaluate.py`, {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}."
        f" Questions of the synthetic world to a model of the published size, {options.examples} of them,"
        f" {BATCH} at a time, one thread a process, {options.repeat} rounds in turns, after start-up.",
        "",
        "| processes | examples/s, best | median |",
        "| ---: | ---: | ---: |",
        *rows,
        "",
        f"Two processes are **{best:.2f}** times as fast as one (median {median:.2f}; goal {GOAL}). Of"
        f" CPU seconds the busier of two has {min(busiest[2]) / min(busiest[1]):.0%} of what one alone takes.",
    ]


def measure(data: Path, examples: int, count: int) -> tuple[float, float]:
    """Return the seconds that ``count`` processes take, and the CPU seconds of the busiest."""
    work = functools.partial(answer, data=data, examples=examples)
    if count == 1:
        return work(ALONE)
    from vlmt_cli.evaluation.processes import in_processes

    took = in_processes(["cpu"] * count, work)
    assert took is not None
    return took


def answer(process: Process, data: Path, examples: int) -> tuple[float, float]:
    torch.manual_seed(0)
    reader = open_stores(FeatureChoices(), data)
    encoder = TextEncoder(word_tokenizer(iter(["what color is the red dog on the left of it"])))
    config = make_config("base", region_features=reader.store.meta.feature_width)
    answers = [str(number) for number in range(100)]
    model = MultiTaskModel(ModelConfig(trunk=config, heads=("vqa",), answers={"vqa": len(answers)})).eval()
    given = load_examples(data, "vqa", "train", encoder, reader, "test", clean=False, answers=answers, limit=examples)
    process.from_first(process.to_first(0))
    began, cpu = time.perf_counter(), time.process_time()
    said = run.predict_examples(model, given, reader, 1, answers, BATCH, process)
    assert not process.is_first or len(said["score"]) == examples
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    return wall, max(process.to_first(cpu), default=cpu)


def shortlist_lines(data: Path, trained: Path) -> list[str]:
    model = open_model(str(trained))
    reader = model.reader(data)
    val, test = (
        load_examples(data, "coco", split, model.encoder, reader, purpose, clean=False)
        for split, purpose in (("val", "validate"), ("test", "test"))
    )
    pairs = Pairs(model.checkpoint.model, test, reader, model.token("coco"), 64, ALONE, 128)
    with torch.inference_mode():
        scores = pairs.together([list(pairs.scored())])
        known = cascade._validation(val, list(cascade._validation_parts(pairs, val)))
        means = [(block, mean_state(image)) for block, image in pairs.images()]
        cheap = cascade._cheap_scores(pairs, fit(known), means)
    own, images = cascade._images_of(test), np.arange(len(test.names))
    none = np.full_like(scores, -np.inf)
    none[:] = scores.min() - 1
    exact = losses(scores, none, own, images)  # of a list on which everything is tied, so last
    lines = [
        f"Shortlists of {len(test):,} captions by {len(images):,} images of the synthetic world, ranked by a `mini`"
        f" model trained on it; the cheap score is fitted on {len(known.scores_P):,} validation pairs. Percent; image"
        " retrieval, then caption retrieval. Below all pairs: by all pairs less by the shortlist.",
        "",
        "| K | pairs on the list | " + " | ".join(exact) + " |",
        "| ---: " * (len(exact) + 2) + "|",
        f"| all | 100% | {' | '.join(f'{100 * value:.1f}' for value in exact.values())} |",
    ]
    for k in LENGTHS:
        chosen = choose_pairs(cheap, k)
        lost = losses(scores, fill(scores, cheap, chosen), own, images).values()
        lines.append(f"| {k} | {chosen.mean():.0%} | {' | '.join(f'{100 * value:+.1f}' for value in lost)} |")
    coco = 25_010 * 100 + 5_000 * 100, 5_010 * 1_000, 500 * 5_000 + 25_010 * 100
    lines += [
        "",
        f"Of COCO's 25,010 captions by 5,000 images, 125 million pairs, `--shortlist 100` scores at most"
        f" {sum(coco) / 1e6:.1f} million: {coco[0] / 1e6:.1f} on the list, {coco[1] / 1e6:.1f} of the first thousand"
        f" images, {coco[2] / 1e6:.1f} of the sample.",
    ]
    return lines


if __name__ == "__main__":
    main()
