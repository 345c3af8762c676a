"""What comparing a pool's pictures costs, beside decoding them: CPU time an image of one core, all in one run.

    VLMT_REAL_DATA=DIR python benchmarks/scan_images.py

writes its section of ``benchmarks/RESULTS.md``. DIR has ``photos/coco``: 40 real photos, 640 pixels wide or high.
"""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from results import write_section

from vlmt_cli.clean.greys import looks_of_files
from vlmt_cli.clean.image_files import image_files
from vlmt_cli.clean.image_hashes import hash_images
from vlmt_cli.clean.index import LOOKS
from vlmt_cli.clean.look_search import look_index
from vlmt_cli.clean.looks import WORDS
from vlmt_cli.clean.scan_pictures import compare_pictures, picture_index

TESTS, ROUNDS, TIMES, SIDE = 100_000, 7, 4, 96
Steps = dict[str, Callable[[], object]]


def decode(file: bytes, side: int | None) -> None:
    image = Image.open(io.BytesIO(file))
    if side:
        image.draft("L", (side, side))
    image.load()


def milliseconds(steps: Steps, images: int) -> dict[str, tuple[float, float]]:
    """Time the steps in turns, so that other work on the machine slows all alike: median and least of the rounds."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            began = time.process_time()
            step()
            taken[name].append(1000 * (time.process_time() - began) / images)
    return {name: (float(np.median(each)), min(each)) for name, each in taken.items()}


def main() -> None:
    load = os.getloadavg()[0]
    photos = Path(os.environ["VLMT_REAL_DATA"], "photos", "coco")
    files = image_files([str(photos)])[0] * TIMES
    pool = [Path(file.path).read_bytes() for file in files]
    rng = np.random.default_rng(0)
    tests = rng.integers(0, 2**64, (TESTS, WORDS), dtype=np.uint64)
    index = look_index(tests, 48)
    table = pa.table([[f"a:{n}" for n in range(TESTS)], [row.tobytes() for row in tests]], schema=LOOKS)
    pictures, column = picture_index(table, False), pa.array(pool, pa.binary())
    looks = looks_of_files(pool).words
    steps: Steps = {
        "decode, full scale": lambda: [decode(file, None) for file in pool],
        f"decode, reduced scale (brightness, shorter side at least {SIDE})": lambda: [decode(f, SIDE) for f in pool],
        "`hash_images`: full scale, SHA-256 of the pixels, looks": lambda: hash_images(files),
        "the scan's looks: reduced scale, looks": lambda: looks_of_files(pool),
        f"search of these among {TESTS:,} tests in all orientations": lambda: index.near(looks),
        "the scan: looks and search": lambda: compare_pictures(column, pictures),
    }
    taken = milliseconds(steps, len(pool))
    _, reduced, today, new, search, scan = (least for _median, least in taken.values())
    lines = [
        "## Comparing the pictures of a mixture",
        "",
        f"`python benchmarks/scan_images.py`: {len(pool)} JPEGs, 40 COCO photos of"
        f" {sum(map(len, pool)) / len(pool) / 1000:.0f} kB on average, on a machine with {os.cpu_count()} cores (load"
        f" average {load:.1f} before the start). CPU time of one core, median and least of {ROUNDS} rounds; the steps"
        " took turns.",
        "",
        "| step | ms an image, median | least |",
        "|---|---:|---:|",
        *(f"| {name} | {median:.2f} | {least:.2f} |" for name, (median, least) in taken.items()),
        "",
        f"By the least, the scan's looks take {new / reduced:.2f} times the reduced decode, `hash_images`"
        f" {today / new:.2f} times as long as they do, the search {search / reduced:.0%} of the reduced decode. By"
        f" {scan:.2f} ms an image, 10^8 images cost {scan * 1e8 / 3.6e6:,.0f} core-hours.",
    ]
    write_section("scan-images", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
