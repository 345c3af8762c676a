"""`vlmt clean` on annotation files of the paper's full size, beside merely parsing them with orjson.

    python benchmarks/clean.py                  write the files (several GB, once), measure, note it in RESULTS.md
    python benchmarks/clean.py --scale 0.05     the same on a twentieth

Four things are measured, each in a fresh process, with the files in the page cache:

(a) ``orjson.loads`` of every JSON file, one after another, under Python's defaults;
(b) ``vlmt clean --datasets all`` from nothing;
(c) the same command again, with all of its results there;
(d) ``vlmt clean --check`` of that split, with nothing changed.

Memory is the peak, over samples about every 0.1 s, of the proportional set size (PSS) of a process and all its
children; "largest process" is the highest resident set size (RSS) of one of them. Sampling takes a tenth of one core
at most. CPU time shows whether something else on the machine stretched the wall time. RESULTS.md is written at full
scale only.
"""

import argparse
import contextlib
import gc
import gzip
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import orjson
import psutil
import pyarrow.parquet as pq
from official_files import MANIFEST, make
from results import write_section

PACKAGES = ("vlmt", "orjson", "msgspec", "pyarrow", "numpy")
SAMPLE_SECONDS = 0.1
MB, GB = 1e6, 1e9


@dataclass(frozen=True)
class Measured:
    """One process tree: seconds of wall and CPU time, peak bytes of the tree (PSS) and its largest process (RSS)."""

    seconds: float
    cpu: float
    tree: int
    largest: int
    output: str


def main() -> None:
    options = parse_options()
    folder: Path = options.folder
    if options.parse_only:
        print(json.dumps(parse_all(folder)))
        return

    present = (folder / MANIFEST).exists()
    needed = 6.5 * GB * options.scale
    if not present and (free := shutil.disk_usage(existing(folder)).free) < needed:
        raise SystemExit(f"{folder}: {free / GB:.1f} GB free, about {needed / GB:.1f} GB needed; use --folder")
    started = time.perf_counter()
    records = make(folder, options.scale, options.seed)
    say(f"{len(records)} files in {folder} after {time.perf_counter() - started:.0f} s")

    if not options.only_generate:
        rounds = [measure_round(folder, baseline_only=options.only_baseline) for _ in range(options.repeat)]
        report = describe(folder, records, options.scale, rounds)
        print(report)
        if options.scale == 1 and not options.only_baseline:
            write_section("clean", report.splitlines())
    if not (options.keep or options.only_generate or options.only_baseline):
        forget_results(folder)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add(
        "--folder", type=Path, help="where the files are written, and found the next time (default: below the temp dir)"
    )
    add("--scale", type=float, default=1.0, help="share of the paper's sizes (default 1.0)")
    add("--seed", type=int, default=12, help="seed of the files' contents")
    add("--repeat", type=int, default=1, help="rounds of (a) to (d) to take the median of")
    add("--only-generate", action="store_true", help="write the files and stop")
    add("--only-baseline", action="store_true", help="measure (a) only and print it")
    add("--keep", action="store_true", help="keep the examples/ and clean/ that the last run of vlmt left")
    add("--parse-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    name = "vlmt-bench-clean" + (f"-{options.scale:g}" if options.scale != 1 else "")
    options.folder = options.folder or Path(tempfile.gettempdir()) / name
    return options


# What is measured


def measure_round(folder: Path, *, baseline_only: bool) -> dict[str, Measured]:
    """Measure (a) to (d) one after another."""
    this = [sys.executable, str(Path(__file__).resolve())]
    vlmt = Path(sys.executable).with_name("vlmt")
    command = [str(vlmt)] if vlmt.exists() else [sys.executable, "-m", "vlmt_cli"]
    clean = [*command, "clean", "--datasets", "all", "--data", str(folder)]

    warm(folder)
    rounds = {"parse": measure([*this, "--parse-only", "--folder", str(folder)], "(a) parse")}
    if not baseline_only:
        forget_results(folder)
        warm(folder)
        rounds["clean"] = measure(clean, "(b) clean")
        rounds["again"] = measure(clean, "(c) again")
        rounds["check"] = measure([*command, "clean", "--check", "--data", str(folder)], "(d) check")
    return rounds


def measure(command: list[str], name: str) -> Measured:
    """Run a command to its end and sample the memory of its process tree meanwhile."""
    tree = largest = 0
    with tempfile.TemporaryFile("w+") as output:
        started, used = time.perf_counter(), children_cpu()
        process = subprocess.Popen(command, stdout=output)
        root = psutil.Process(process.pid)
        while process.poll() is None:
            sampling = time.perf_counter()
            now, top = memory(root)
            tree, largest = max(tree, now), max(largest, top)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(SAMPLE_SECONDS, 9 * (time.perf_counter() - sampling)))
        seconds, cpu = time.perf_counter() - started, children_cpu() - used
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    say(f"{name}: {seconds:.1f} s ({cpu:.1f} s CPU), {tree / GB:.2f} GB")
    return Measured(seconds, cpu, tree, largest, text)


def children_cpu() -> float:
    """CPU seconds, user and system, of all children that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory(root: psutil.Process) -> tuple[int, int]:
    """Bytes of PSS of a process and all its children together, and of RSS of the largest of them."""
    tree = largest = 0
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0, 0
    for process in processes:
        try:
            used = process.memory_full_info()
        except psutil.Error:  # It has ended since it was listed.
            continue
        tree += used.pss
        largest = max(largest, used.rss)
    return tree, largest


def parse_all(folder: Path) -> dict[str, float]:
    """Parse every JSON file below ``raw/`` with orjson, one after another; seconds a file, its release included."""
    assert gc.isenabled()
    seconds = {}
    for name in json_files(folder):
        started = time.perf_counter()
        parse(folder / "raw" / name)
        seconds[name] = time.perf_counter() - started
    return seconds


def parse(path: Path) -> object:
    if path.name.endswith(".jsonl.gz"):
        with gzip.open(path) as file:
            return [orjson.loads(line) for line in file]
    if path.suffix == ".jsonl" or path.parent.name == "nlvr2":
        with path.open("rb") as file:
            return [orjson.loads(line) for line in file]
    return orjson.loads(path.read_bytes())


def json_files(folder: Path) -> list[str]:
    names = json.loads((folder / MANIFEST).read_text())["files"]
    return [name for name in names if not name.endswith(".p")]


def warm(folder: Path) -> None:
    """Read all files once, so that none of the measured processes waits for the disk."""
    for path in (folder / "raw").rglob("*.*"):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def forget_results(folder: Path) -> None:
    """Delete what ``vlmt clean`` made, in a folder whose raw files this benchmark wrote."""
    if (folder / MANIFEST).exists():
        for name in ("examples", "clean"):
            shutil.rmtree(folder / name, ignore_errors=True)


# What is reported


def describe(folder: Path, records: dict[str, int], scale: float, rounds: list[dict[str, Measured]]) -> str:
    """The Markdown section: machine, the measurements, the ratio, and every file."""
    sizes = {name: (folder / "raw" / name).stat().st_size for name in records}
    parse_seconds = [json.loads(each["parse"].output) for each in rounds]
    parsing = middle(sum(seconds.values()) for seconds in parse_seconds)
    lines = [
        "## `vlmt clean` on files of the paper's full size" + (f" x {scale:g}" if scale != 1 else ""),
        "",
        f"{cpu_model()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / GB:.0f} GB memory; Python "
        f"{platform.python_version()}, {', '.join(f'{name} {version(name)}' for name in PACKAGES)}. "
        f"{len(records)} files, {sum(sizes.values()) / GB:.2f} GB, written by `benchmarks/official_files/`, in the "
        f"page cache. {'One run' if len(rounds) == 1 else f'Median of {len(rounds)} runs'}.",
        "",
        "| | wall time (s) | CPU time (s) | peak memory, all processes (PSS, GB) | largest process (RSS, GB) |",
        "|---|---:|---:|---:|---:|",
    ]
    titles = {
        "parse": "(a) `orjson.loads` of every JSON file, one after another",
        "clean": "(b) `vlmt clean --datasets all`",
        "again": "(c) the same again, with nothing to do",
        "check": "(d) `vlmt clean --check`, with nothing changed",
    }
    for key, title in titles.items():
        if key in rounds[0]:
            seconds, cpu = (middle(getattr(each[key], kind) for each in rounds) for kind in ("seconds", "cpu"))
            tree, largest = (max(getattr(each[key], kind) for each in rounds) for kind in ("tree", "largest"))
            lines.append(f"| {title} | {seconds:.1f} | {cpu:.1f} | {tree / GB:.2f} | {largest / GB:.2f} |")
    if "clean" in rounds[0]:
        cleaning = middle(each["clean"].seconds for each in rounds)
        used = [middle(each[key].cpu for each in rounds) for key in ("clean", "parse")]
        lines += [
            "",
            f"(b) / (a) = **{cleaning / parsing:.2f}** ({cleaning:.1f} s / {parsing:.1f} s of parsing alone); in CPU"
            f" time, of (a)'s whole process, {used[0] / used[1]:.2f}.",
        ]
        lines += ["", examples_line(folder)]
    lines += ["", "| file | records | MB | orjson (s) |", "|---|---:|---:|---:|"]
    for name, count in records.items():
        taken = f"{middle(each[name] for each in parse_seconds):.2f}" if name in parse_seconds[0] else ""
        lines.append(f"| {name} | {count:,} | {sizes[name] / MB:,.1f} | {taken} |")
    lines.append(f"| all | | {sum(sizes.values()) / MB:,.1f} | {parsing:.2f} |")
    return "\n".join(lines)


def examples_line(folder: Path) -> str:
    """How many examples were read, and how many of them removed, by the tables that the command left."""
    read = rows(path for path in (folder / "examples").rglob("*.parquet") if path.name != "links.parquet")
    removed = rows([folder / "clean" / "removed.parquet"])
    return f"{read:,} examples read, test sets included; {removed:,} removed."


def rows(paths: Iterable[Path]) -> int:
    return sum(pq.read_metadata(path).num_rows for path in paths)


def middle(values: Iterable[float]) -> float:
    return statistics.median(values)


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def existing(path: Path) -> Path:
    return path if path.exists() else existing(path.absolute().parent)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
