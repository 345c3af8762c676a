"""How long near-duplicates take: finding pairs among 120,000 hashes, and hashing real photos.

    python benchmarks/near_duplicates.py

writes its section of ``benchmarks/RESULTS.md``. Set ``VLMT_REAL_DATA`` to the folder
that has ``photos/coco`` and ``photos/nlvr2`` to measure the hashing of images too.
"""

import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from results import write_section

from vlmt_cli.clean.image_files import image_files
from vlmt_cli.clean.image_hashes import HASHES, hash_images
from vlmt_cli.clean.near_duplicates import find_pairs, near_hashes
from vlmt_cli.datasets.options import NearDuplicateOptions

IMAGES, PLANTED = 120_000, 10_000
SAME, BORDERLINE = NearDuplicateOptions().same, NearDuplicateOptions().borderline
WORKERS = 2


def planted_hashes() -> tuple[np.ndarray, int]:
    """Random hashes, 10,000 of them versions of others at 0 to 48 bits; and how many pairs that makes at least."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (IMAGES, 256), dtype=np.uint8)
    for version, original in enumerate(rng.choice(np.arange(PLANTED, IMAGES), PLANTED, replace=False)):
        bits[version] = bits[original]
        bits[version, rng.choice(256, rng.integers(0, BORDERLINE + 1), replace=False)] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64).reshape(-1, 4), PLANTED


def brute_force_seconds(words: np.ndarray, rows: int = 300) -> float:
    """Seconds that comparing all pairs would take, from the first rows against all."""
    began = time.perf_counter()
    for row in words[:rows]:
        distance = np.bitwise_count(words ^ row).sum(axis=1)
        np.flatnonzero(distance <= BORDERLINE)
    return (time.perf_counter() - began) * len(words) / rows / 2


def pair_lines() -> list[str]:
    words, planted = planted_hashes()
    names = pa.array([f"coco:{number}" for number in range(IMAGES)])
    pixels = [b"%032d" % number for number in range(IMAGES)]
    phashes = [row.tobytes() for row in words]
    ones = np.ones(IMAGES, np.int32)
    table = pa.table([names, names, ones, ones, pa.array(pixels), pa.array(phashes)], schema=HASHES)
    brute = brute_force_seconds(words)
    all_pairs = IMAGES * (IMAGES - 1) // 2
    lines = ["| distance up to | pairs found | seconds | candidates | share of all pairs |", "|---|---|---|---|---|"]
    for borderline in (SAME, BORDERLINE):
        began = time.perf_counter()
        found = len(find_pairs(table, SAME, borderline))
        seconds = time.perf_counter() - began
        assert found >= planted or borderline < BORDERLINE, "a planted pair was missed"
        examined = near_hashes(np.unique(words, axis=0), borderline).examined
        lines.append(
            f"| {borderline} bits | {found:,} | {seconds:.1f} | {examined:,} | 1 in {all_pairs / examined:,.0f} |"
        )
    lines.append(f"| brute force (numpy, extrapolated) | | {brute:,.0f} | {all_pairs:,} | all |")
    return lines


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def hash_lines() -> list[str]:
    real = os.environ.get("VLMT_REAL_DATA")
    if not real:
        return ["Hashing of images was not measured: `VLMT_REAL_DATA` is not set."]
    lines = [
        "| photos | CPU time per image | images/s | 120,000 images | with idle cores | again (cached) |",
        "|---|---|---|---|---|---|",
    ]
    for name, copies in (("coco", 50), ("nlvr2", 20)):
        with tempfile.TemporaryDirectory() as folder:
            for copy in range(copies):
                shutil.copytree(Path(real, "photos", name), Path(folder, str(copy)))
            files, _ = image_files([folder])
            cache = Path(folder, "hashes.parquet")
            hash_images(files[:80], None, WORKERS)  # so that the disk is warm
            began, busy = time.perf_counter(), cpu_seconds()
            hash_images(files, cache, WORKERS)
            rate = len(files) / (time.perf_counter() - began)
            cpu = 1000 * (cpu_seconds() - busy) / len(files)
            began = time.perf_counter()
            hash_images(files, cache, WORKERS)
            again = len(files) / (time.perf_counter() - began)
        minutes, idle = IMAGES / rate / 60, IMAGES * cpu / 1000 / WORKERS / 60
        lines.append(
            f"| {len(files):,} {name} | {cpu:.1f} ms | {rate:.0f} | {minutes:.1f} minutes "
            f"| {idle:.1f} minutes | {IMAGES / again:.0f} s |"
        )
    return lines


def main() -> None:
    load = os.getloadavg()[0]
    hashing = hash_lines()
    pairs = pair_lines()
    lines = [
        "## Near-duplicates",
        "",
        f"`python benchmarks/near_duplicates.py`, on a machine with {os.cpu_count()} cores "
        f"(load average {load:.1f} before the start: other work slows the measured times).",
        "",
        f"Decoding and hashing image files (`hash_images`, {WORKERS} processes; most of the time is decoding):",
        "",
        *hashing,
        "",
        f"Finding pairs among {IMAGES:,} random 256-bit hashes, {PLANTED:,} of them planted versions of others at 0 to "
        f"{BORDERLINE} bits (`find_pairs`, one process; the defaults are {SAME} and {BORDERLINE}):",
        "",
        *pairs,
    ]
    write_section("near-duplicates", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
