"""What a scan of addresses costs by the rows of the pool, and its memory by rows and by the size of the index.

    python benchmarks/scan_scale.py           measure, and note it in RESULTS.md

Each measurement is a process of its own: Parquet files of 100,000 addresses each, read, named, normalised and looked
up as ``vlmt scan`` does it, in this process, one thread. CPU time is that of the scan alone, the index being ready;
memory is the process's highest.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from results import write_section
from scan_table import addresses

from vlmt_cli.base.addresses import normal_addresses
from vlmt_cli.base.identity import links_table
from vlmt_cli.clean.drivers import Work, in_process, units_of
from vlmt_cli.clean.index import Benchmark, image_rows, make_index
from vlmt_cli.clean.scan_index import ready
from vlmt_cli.clean.scan_kept import scan_units
from vlmt_cli.mixtures.opening import sources_of

ROWS, IMAGES = (10_000, 100_000, 1_000_000), (10_000, 100_000, 1_000_000)
FILE = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(Path(options.one[0]), int(options.one[1]))))
        return
    lines = [
        "## A scan by rows and by index",
        "",
        f"`python benchmarks/scan_scale.py`: addresses in Parquet files of {FILE:,}. {platform.machine()},"
        f" {os.cpu_count()} cores, one thread; Python {platform.python_version()}, pyarrow {version('pyarrow')},"
        f" numpy {version('numpy')}.",
        "",
        "| rows | test images | CPU time (s) | rows a second and core | index made ready (s) | memory (MB) |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as name:
        random = np.random.default_rng(0)
        for rows in ROWS:
            folder = Path(name) / str(rows)
            folder.mkdir()
            for number in range(max(1, rows // FILE)):
                table = pa.table({"URL": addresses(random, min(rows, FILE))})
                pq.write_table(table, folder / f"{number:05}.parquet")
        for rows, images in [*((rows, IMAGES[1]) for rows in ROWS), *((ROWS[1], images) for images in IMAGES)]:
            command = [sys.executable, __file__, "--one", str(Path(name) / str(rows)), str(images)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, making, memory = json.loads(done.stdout)
            lines.append(
                f"| {rows:,} | {images:,} | {seconds:.2f} | {rows / seconds:,.0f} | {making:.1f} | {memory:.0f} |"
            )
    print("\n".join(lines))
    write_section("scan-scale", lines)


def measure(folder: Path, images: int) -> tuple[float, float, float]:
    """Return CPU seconds of the scan, of making the index ready, and the highest memory in MB."""
    pa.set_cpu_count(1)
    random = np.random.default_rng(1)
    keys = pa.array([f"coco:{number}" for number in range(1, images + 1)])
    links = links_table(keys, normal_addresses(addresses(random, images)), "url")
    index = make_index({"bench": Benchmark("A benchmark", "bench", of=images)}, image_rows("bench", keys), links)
    units, _ = units_of(sources_of(str(folder)))
    started = time.process_time()
    work = Work(ready(index, ["bench"]))
    work.index.lookup.matches(keys[:1])
    made = time.process_time()
    scan_units(work, units, in_process)
    seconds = time.process_time() - made
    return seconds, made - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


if __name__ == "__main__":
    main()
