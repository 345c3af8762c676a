"""A LLaVA JSON of the size of the 665k mix, read and written back, beside parsing it with orjson alone.

    python benchmarks/scan.py                     write the file (1.0 GB), measure, note it in RESULTS.md
    python benchmarks/scan.py --scale 0.05        the same on a twentieth, without noting it

Measured in turns, each in a fresh process with the file in the page cache:

(a) ``orjson.loads`` of the file, under Python's defaults;
(b) reading it as a mixture: every record's id, the names of its images, and where it stands;
(c) the same, and then writing it back without one record in twenty;
(d) ``vlmt scan FILE --write DIR`` against all built-in benchmarks: the whole process, with its imports and the index.

CPU time is user and system time; that of syncing written files is measured apart. Shares are taken round by round, as
other work on the machine slows all four down together. Memory is the highest resident set size. The file has the mix's
proportions of folders and of records without an image; conversations are random words with escapes and letters beyond
ASCII, some of the latter as they are and some as escapes.
"""

import argparse
import contextlib
import gc
import io
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import orjson
from results import write_section

from vlmt_cli.base import files
from vlmt_cli.mixtures.batch import Kept, Source, Wanted
from vlmt_cli.mixtures.forms import FORMS

RECORDS = 665_298
MIX = (
    ("coco/train2017/{:012d}.jpg", 364_100),
    ("vg/VG_100K/{}.jpg", 43_209),
    ("vg/VG_100K_2/{}.jpg", 43_208),
    ("gqa/images/{}.jpg", 72_140),
    ("ocr_vqa/images/{:010d}.jpg", 80_000),
    ("textvqa/train_images/{:016x}.jpg", 21_953),
    (None, 40_688),
)
"""What stands before the images' names, and in how many records; the last have no image."""
WORDS = (
    "the a man woman dog red front street two people sitting bus near table white sky background standing and wooden "
    "building grass playing what color image many there visible left side answer using single word or phrase caf\u00e9 "
    "\u732b na\u00efve"
).split()
MARKS = ("\n", '"sign"', "it's", "\\", "{x}", ",")
BOX = "[0.1, 0.25, 0.5, 0.75]"
WHAT = {
    "parse": "(a) `orjson.loads` alone",
    "read": "(b) reading every id and image name, and where it stands",
    "write": "(c) reading, and writing it back without 1 record in 20",
    "scan": "(d) `vlmt scan --write`, the whole command",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "vlmt-bench-scan")
    parser.add_argument("--only", choices=list(WHAT), help=argparse.SUPPRESS)
    options = parser.parse_args()
    path = options.folder / f"mix-{options.scale:g}.json"
    if options.only:
        print(json.dumps(measure(options.only, path)))
        return
    records = round(RECORDS * options.scale)
    if not path.exists():
        options.folder.mkdir(parents=True, exist_ok=True)
        with files.atomic(path) as temporary:
            generate(temporary, records)
    rounds = [{only: in_process(only, options) for only in WHAT} for _ in range(options.repeat)]
    lines = described(rounds, path, records)
    print("\n".join(lines))
    if options.scale == 1:
        write_section("scan", lines)


def generate(path: Path, records: int) -> None:
    """Write an array of records in the mix's proportions, from one seed."""
    chance = random.Random(12)
    texts, boxed = [], []
    for _ in range(5_000):
        words = chance.choices(WORDS, k=chance.randint(8, 36)) + chance.choices(MARKS, k=chance.randint(0, 3))
        chance.shuffle(words)
        is_ascii = chance.random() < 0.5
        texts.append(json.dumps(" ".join(words), ensure_ascii=is_ascii))
        boxed.append(json.dumps(" ".join([*words[:-4], BOX]), ensure_ascii=is_ascii))
    shapes = chance.choices([shape for shape, _ in MIX], [share for _, share in MIX], k=records)
    with open(path, "w", encoding="utf-8") as file:
        for number, shape in enumerate(shapes):
            image = chance.randrange(1, 600_000)
            shown = f'"image": "{shape.format(image)}"' if shape else '"model": ""'
            said = boxed if shape and shape.startswith("vg/") else texts  # the mix's region descriptions
            turns = []
            for turn in range(chance.randint(1, 8)):
                mark = "<image>\\n" if shape and not turn else ""
                turns.append(f'{{"from": "human", "value": "{mark}{chance.choice(said)[1:]}}}')
                turns.append(f'{{"from": "gpt", "value": {chance.choice(said)}}}')
            before = ", " if number else "["
            file.write(f'{before}{{"id": "{image:012d}", {shown}, "conversations": [{", ".join(turns)}]}}')
        file.write("]")


def in_process(only: str, options: argparse.Namespace) -> dict[str, float]:
    with open(options.folder / f"mix-{options.scale:g}.json", "rb") as file:
        while file.read(1 << 24):
            pass  # now it is in the page cache
    command = [sys.executable, __file__, "--only", only, "--scale", str(options.scale), "--folder", str(options.folder)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(only, result, file=sys.stderr)
    return dict(result)


def measure(only: str, path: Path) -> dict[str, float]:
    """Do one of the four; returns CPU seconds, those of the sync apart, and the peak of memory in bytes."""
    synced, real_sync = 0.0, files.sync

    def sync(path: Path) -> None:
        nonlocal synced
        began = time.process_time()
        real_sync(path)
        synced += time.process_time() - began

    before = time.process_time()
    with mock.patch.object(files, "sync", sync):
        if only == "parse":
            assert gc.isenabled()
            orjson.loads(path.read_bytes())
        elif only == "scan":
            from vlmt_cli.app import app

            before, out = 0.0, path.with_name("scanned")
            folders = ("--write", out / "clean", "--out", out, "--data", path.parent)
            with contextlib.redirect_stdout(io.StringIO()):
                app(["scan", str(path), *map(str, folders)], standalone_mode=False)
        else:
            source = Source(path, "llava")
            batches = [(batch.records, batch.spans) for batch in FORMS["llava"].read(source, Wanted(spans=True))]
            if only == "write":
                kept = np.random.default_rng(0).random(sum(records for records, _ in batches)) >= 0.05
                spans = np.concatenate([part for _, part in batches if part is not None])
                FORMS["llava"].write(source, Kept(kept, spans=spans), path.with_name("written.json"))
    used = time.process_time() - before - synced
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    path.with_name("written.json").unlink(missing_ok=True)
    shutil.rmtree(path.with_name("scanned"), ignore_errors=True)
    return {"cpu": used, "sync": synced, "peak": peak}


def described(rounds: list[dict[str, dict[str, float]]], path: Path, records: int) -> list[str]:
    """Return the section: the least, and the median of all rounds."""
    cpu = {only: [each[only]["cpu"] for each in rounds] for only in WHAT}
    peak = {only: max(each[only]["peak"] for each in rounds) for only in WHAT}
    lines = [
        "## A LLaVA JSON read and written back",
        "",
        f"`python benchmarks/scan.py`: {records:,} records, {path.stat().st_size / 1e9:.2f} GB;"
        f" {len(rounds)} rounds in turns. {platform.machine()}, {os.cpu_count()} cores; Python"
        f" {platform.python_version()}, orjson {version('orjson')}, msgspec {version('msgspec')}, pyarrow"
        f" {version('pyarrow')}.",
        "",
        "| | CPU time (s): least | median | share of (a): least | median | peak memory (RSS, GB) |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for only, what in WHAT.items():
        least = min(cpu[only]) / min(cpu["parse"])
        share = statistics.median(mine / base for mine, base in zip(cpu[only], cpu["parse"], strict=True))
        seconds = f"{min(cpu[only]):.2f} | {statistics.median(cpu[only]):.2f}"
        lines.append(f"| {what} | {seconds} | {least:.2f} | {share:.2f} | {peak[only] / 1e9:.2f} |")
    synced = statistics.median(each["scan"]["sync"] for each in rounds)
    lines += ["", f"Syncing what (d) wrote took {synced:.2f} s of CPU time more, not counted above."]
    return lines


if __name__ == "__main__":
    main()
