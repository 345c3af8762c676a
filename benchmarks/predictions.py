"""600,000 answers in LLaVA's form scored as VQA v2, beside parsing them line by line with orjson.

    python benchmarks/predictions.py                  write the files, measure, note it in RESULTS.md
    python benchmarks/predictions.py --scale 0.05     the same on a twentieth, without noting it

Measured in turns, each in a fresh process with the files in the page cache:

(a) ``orjson.loads`` of each line, the records kept in a list, under Python's defaults;
(b) ``vlmt evaluate --predictions``: reading, joining by question id with the benchmark's prepared examples, checking
    each question's text, the official VQA accuracy and two more metrics with 1,000 resamples of images each, imports.

CPU time is user and system time of the process. Memory is its highest resident set size. There are five questions an
image, with ten annotators; answers are of some hundred words, a fifth of them with capitals or a full stop.
"""

import argparse
import contextlib
import io
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from results import write_section

from vlmt_cli.base.files import atomic
from vlmt_cli.datasets import answers
from vlmt_cli.datasets.tables import VQA, example_table

ROWS = 600_000
PER_IMAGE, ANNOTATORS = 5, 10
WORDS = "yes no 2 red white black 1 blue man tennis 3 pizza right left green wood cat dog frisbee grass".split()
ASKED = "what color is the how many are there is this a who wearing where on table dog man street building near".split()
WHAT = {
    "parse": "(a) `orjson.loads` of each line",
    "score": "(b) `vlmt evaluate --predictions`, 3 metrics with 1,000 resamples each",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "vlmt-bench-predictions")
    parser.add_argument("--only", choices=list(WHAT), help=argparse.SUPPRESS)
    options = parser.parse_args()
    rows = round(ROWS * options.scale)
    folder = options.folder / f"{rows}"
    if options.only:
        print(json.dumps(measure(options.only, folder)))
        return
    if not (folder / "answers.jsonl").exists():
        generate(folder, rows)
    rounds = [{only: in_process(only, options) for only in WHAT} for _ in range(options.repeat)]
    lines = described(rounds, folder, rows)
    print("\n".join(lines))
    if options.scale == 1:
        write_section("predictions", lines)


def generate(folder: Path, rows: int) -> None:
    """Write a benchmark's prepared examples and a model's answers, from one seed."""
    rng, chance = np.random.default_rng(17), random.Random(17)
    texts = [" ".join(chance.choices(ASKED, k=chance.randint(4, 10))) + "?" for _ in range(20_000)]
    text = [texts[number] for number in rng.integers(len(texts), size=rows)]
    right = rng.integers(len(WORDS), size=rows)
    said = np.where(
        rng.random((rows, ANNOTATORS)) < 0.7, right[:, None], rng.integers(len(WORDS), size=(rows, ANNOTATORS))
    )
    trimmed = pa.DictionaryArray.from_arrays(pa.array(said.ravel().astype(np.int32)), pa.array(WORDS))
    annotated = np.full(rows, ANNOTATORS)
    distinct, counts = answers.count_answers(annotated, trimmed)
    image = 1 + np.arange(rows) // PER_IMAGE
    ids = image * 1000 + np.arange(rows) % PER_IMAGE
    keys = pa.array([f"coco:{number}" for number in image])
    table = example_table(VQA, "generated", example_id=pa.array(ids).cast(pa.string()), images=keys, text=text,
                          answers=distinct, counts=counts,
                          unanimous=answers.unanimous_answers(annotated, trimmed))  # fmt: skip
    examples = folder / "data" / "examples" / "vqa"
    examples.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, examples / "val.parquet")
    order = rng.permutation(rows)
    guessed = np.where(rng.random(rows) < 0.6, right, rng.integers(len(WORDS), size=rows))
    with atomic(folder / "answers.jsonl") as path, open(path, "w", encoding="utf-8") as file:
        for row in order.tolist():
            word = WORDS[guessed[row]]
            answer = chance.choice((word, word, word, word, f"{word.capitalize()}."))
            prompt = f"{text[row]}\\nAnswer the question using a single word or phrase."
            file.write(
                f'{{"question_id": {ids[row]}, "prompt": "{prompt}", "text": "{answer}", "answer_id": "{row:022d}",'
                ' "model_id": "llava-v1.5-13b", "metadata": {}}\n'
            )


def in_process(only: str, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--only", only, "--scale", str(options.scale), "--folder", str(options.folder)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(only, result, file=sys.stderr)
    return dict(result)


def measure(only: str, folder: Path) -> dict[str, float]:
    """Do one of the two; returns CPU seconds and the peak of memory in bytes."""
    path = folder / "answers.jsonl"
    with open(path, "rb") as file:
        while file.read(1 << 24):
            pass
    before = time.process_time()
    if only == "parse":
        with open(path, "rb") as file:
            assert [orjson.loads(line) for line in file]
    else:
        from vlmt_cli.commands.evaluate import evaluate

        with contextlib.redirect_stdout(io.StringIO()):
            evaluate(predictions=[path], benchmark="vqa:val", data=folder / "data")
    used = time.process_time() - before
    return {"cpu": used, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def described(rounds: list[dict[str, dict[str, float]]], folder: Path, rows: int) -> list[str]:
    """Return the section: medians of all rounds."""
    middle = {only: statistics.median(each[only]["cpu"] for each in rounds) for only in WHAT}
    peak = {only: max(each[only]["peak"] for each in rounds) for only in WHAT}
    size = (folder / "answers.jsonl").stat().st_size
    lines = [
        "## Another model's answers scored",
        "",
        f"`python benchmarks/predictions.py`: {rows:,} answers in LLaVA's form, {size / 1e6:.0f} MB, in an order of"
        f" their own; {rows // PER_IMAGE:,} images; median of {len(rounds)} rounds in turns. {platform.machine()},"
        f" {os.cpu_count()} cores; Python {platform.python_version()}, orjson {version('orjson')}, msgspec"
        f" {version('msgspec')}, pyarrow {version('pyarrow')}.",
        "",
        "| | CPU time (s) | times (a) | peak memory (RSS, GB) |",
        "|---|---:|---:|---:|",
    ]
    for only, what in WHAT.items():
        times = middle[only] / middle["parse"]
        lines.append(f"| {what} | {middle[only]:.2f} | {times:.2f} | {peak[only] / 1e9:.2f} |")
    return lines


if __name__ == "__main__":
    main()
