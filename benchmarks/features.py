"""How fast regions come out of the feature store, beside the two forms that the paper's authors kept theirs in.

    python benchmarks/features.py

writes its section of ``benchmarks/RESULTS.md``. All three stores hold the same images of 100 regions with 2048
features, and are read in the same random order into the memory of a training batch; what the authors' loaders do on
the way (unpickle, decode, reshape, put the mean before the regions) is done as they do it.
"""

import base64
import copy
import ctypes
import gc
import os
import pickle
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import numpy as np
import torch
from results import write_section
from torch.utils.data import default_collate

from vlmt_cli.features import store as store_module
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore, Meta
from vlmt_cli.features.store_writer import StoreWriter

IMAGES, REGIONS, WIDTH, CLASSES, BATCH = 1000, 100, 2048, 1601, 128
ROUNDS = 5

OLDER, NEWER = "older: pickle of base64 text", "newer: pickle of float32 arrays"

Read = Callable[[list[int], torch.Tensor, torch.Tensor], None]


def write_stores(folder: Path) -> None:
    """Write the same images in the three forms."""
    rng = np.random.default_rng(0)
    meta = Meta(extractor="random", extractor_hash="0", feature_width=WIDTH)
    older, newer = (lmdb.open(str(folder / name), map_size=1 << 33) for name in ("older", "newer"))
    with StoreWriter(folder / "ours", meta) as ours, older.begin(write=True) as old, newer.begin(write=True) as new:
        for number in range(IMAGES):
            features = np.abs(rng.standard_normal((REGIONS, WIDTH), np.float32)).astype(np.float16).astype(np.float32)
            corners = np.sort(rng.random((REGIONS, 2, 2), np.float32), axis=1) * np.array([640, 480], np.float32)
            boxes = np.ascontiguousarray(corners.reshape(REGIONS, 4))
            ours.put(f"coco:{number}", Regions(boxes, features, 640, 480))
            sizes = {"image_id": number, "image_h": 480, "image_w": 640, "num_boxes": REGIONS}
            new.put(str(number).encode(), pickle.dumps({**sizes, "boxes": boxes, "features": features}))
            texts = {name: str(value) for name, value in sizes.items()}
            arrays = {"boxes": boxes, "features": features, "cls_prob": rng.random((REGIONS, CLASSES), np.float32)}
            encoded = {name: base64.b64encode(array).decode() for name, array in arrays.items()}
            old.put(str(number).encode(), pickle.dumps({**texts, **encoded}))
    for environment in (older, newer):
        environment.close()


def by_two(read: Read) -> Read:
    """Let two threads read half a batch each."""
    pool = ThreadPoolExecutor(2)

    def read_halves(numbers: list[int], features: torch.Tensor, boxes: torch.Tensor) -> None:
        half = len(numbers) // 2
        cuts = (slice(0, half), slice(half, len(numbers)))
        list(pool.map(lambda cut: read(numbers[cut], features[cut], boxes[cut]), cuts))

    return read_halves


def read_ours(path: Path, with_mean: bool = True, threads: int = 1) -> tuple[Read, Callable[[], None]]:
    store = FeatureStore(path)

    def read(numbers: list[int], features: torch.Tensor, boxes: torch.Tensor) -> None:
        counts, _ = store.read_into([f"coco:{number}" for number in numbers], features, boxes, first=1, threads=threads)
        if with_mean:
            torch.sum(features[:, 1:], 1, out=features[:, 0]).div_(counts[:, None])

    return read, store.close


def read_theirs(path: Path, is_base64: bool) -> tuple[Read, Callable[[], None]]:
    """Read as ``ImageFeaturesH5Reader`` and the datasets of vilbert-multi-task (and vilbert_beta before) do."""
    environment = lmdb.open(str(path), max_readers=4, readonly=True, lock=False, readahead=False, meminit=False)

    def array(value: object) -> np.ndarray:
        return np.frombuffer(base64.b64decode(value), dtype=np.float32) if is_base64 else value

    def read(numbers: list[int], features: torch.Tensor, boxes: torch.Tensor) -> None:
        examples = []
        for number in numbers:
            with environment.begin(write=False) as transaction:
                item = pickle.loads(transaction.get(str(number).encode()))  # noqa: S301 - written above
            height, width = int(item["image_h"]), int(item["image_w"])
            found, corners = array(item["features"]).reshape(-1, WIDTH), array(item["boxes"]).reshape(-1, 4)
            mean = np.sum(found, axis=0) / len(found)
            found = np.concatenate([np.expand_dims(mean, axis=0), found], axis=0)
            place = np.zeros((len(corners), 5), dtype=np.float32)
            place[:, :4] = corners
            place[:, 4] = (place[:, 3] - place[:, 1]) * (place[:, 2] - place[:, 0]) / (float(width) * float(height))
            copy.deepcopy(place)
            place[:, [0, 2]] /= float(width)
            place[:, [1, 3]] /= float(height)
            place = np.concatenate([np.array([[0, 0, 1, 1, 1]], np.float32), place], axis=0)
            padded = np.zeros((REGIONS + 1, WIDTH), np.float32)
            padded[: len(found)] = found
            mask = [1] * len(found) + [0] * (REGIONS + 1 - len(found))
            examples.append((torch.tensor(padded).float(), torch.tensor(place).float(), torch.tensor(mask).long()))
        # What a DataLoader does with the examples of a batch.
        gathered, places, _ = default_collate(examples)
        features.data = gathered
        boxes.data = places[..., :4]

    return read, environment.close


def batches(rounds: int) -> list[list[int]]:
    rng = np.random.default_rng(1)
    orders = np.concatenate([rng.permutation(IMAGES) for _ in range(rounds)])
    return [orders[first : first + BATCH].tolist() for first in range(0, len(orders), BATCH)]


def rate(read: Read, rounds: int, dtype: torch.dtype = torch.float32) -> float:
    """Records a second: of the quickest of some runs, as other work only slows."""
    features = torch.zeros(BATCH, REGIONS + 1, WIDTH, dtype=dtype)
    boxes = torch.zeros(BATCH, REGIONS + 1, 4)
    best = 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        for numbers in batches(1):
            read(numbers, features[: len(numbers)], boxes[: len(numbers)])
        best = max(best, IMAGES / (time.perf_counter() - began))
    return best


def cold_rate(path: Path, open_: Callable[[], tuple[Read, Callable[[], None]]]) -> tuple[float, float]:
    """Records a second and MB read from the disk when nothing of the file is in the page cache."""
    data = path / "data.mdb"
    with open(data, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    read, close = open_()
    blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
    records = rate(read, 1)
    close()
    return records, (resource.getrusage(resource.RUSAGE_SELF).ru_inblock - blocks) * 512 / 1e6


def without_readahead(path: Path) -> tuple[Read, Callable[[], None]]:
    environment = lmdb.open(str(path), readonly=True, lock=False, readahead=False)
    store_module._OPEN[str(path.resolve())] = (os.getpid(), environment)
    return read_ours(path)


def copy_rates() -> tuple[float, float]:
    """Records a second that memory alone allows: bytes as they are (memcpy), and float16 to float32 by torch."""
    source = torch.zeros(IMAGES, REGIONS, WIDTH, dtype=torch.float16)
    source += torch.rand(WIDTH).half()

    def plain(numbers: list[int], features: torch.Tensor, boxes: torch.Tensor) -> None:
        for row, number in enumerate(numbers):
            ctypes.memmove(features[row, 1:].data_ptr(), source[number].data_ptr(), 2 * REGIONS * WIDTH)

    def converting(numbers: list[int], features: torch.Tensor, boxes: torch.Tensor) -> None:
        for row, number in enumerate(numbers):
            features[row, 1:].copy_(source[number])

    return rate(plain, ROUNDS, torch.float16), rate(converting, ROUNDS)


def megabytes(path: Path) -> float:
    environment = lmdb.open(str(path), readonly=True, lock=False)
    used = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    environment.close()
    return used / 1e6 / IMAGES


def main() -> None:
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("VLMT_BENCHMARK_DIR")))
    try:
        write_stores(folder)
        lines = measure(folder, load)
    finally:
        shutil.rmtree(folder)
    write_section("features", lines)
    print("\n".join(lines))


def measure(folder: Path, load: float) -> list[str]:
    ours, older, newer = (folder / name for name in ("ours", "older", "newer"))
    forms = {
        OLDER: (older, lambda: read_theirs(older, True)),
        NEWER: (newer, lambda: read_theirs(newer, False)),
        "ours, with the mean before the regions": (ours, lambda: read_ours(ours)),
        "ours, regions only": (ours, lambda: read_ours(ours, with_mean=False)),
    }
    warm: dict[str, float] = {}
    for name, (_, open_) in forms.items():
        read, close = open_()
        rate(read, 1)
        warm[name] = rate(read, ROUNDS)
        close()
    read, close = read_ours(ours, with_mean=False)
    half = rate(read, ROUNDS, torch.float16)
    close()
    read, close = read_ours(ours, with_mean=False, threads=2)
    half_by_two = rate(read, ROUNDS, torch.float16)
    close()
    read, close = read_theirs(older, True)
    older_by_two = rate(by_two(read), ROUNDS)
    close()
    plain, converting = copy_rates()
    gc.collect()

    cold: dict[str, tuple[float, float]] = {name: cold_rate(path, open_) for name, (path, open_) in forms.items()}
    cold["ours, regions only, readahead off"] = cold_rate(ours, lambda: without_readahead(ours))
    sizes = {name: megabytes(path) for name, (path, _) in forms.items()}

    first, second = warm[OLDER], warm[NEWER]
    warm["ours, regions only, into a float16 batch"] = half
    warm["ours, regions only, into a float16 batch, two threads"] = half_by_two
    warm["older, two threads"] = older_by_two
    lines = [
        "## Feature store",
        "",
        f"`python benchmarks/features.py`: {IMAGES:,} images of {REGIONS} x {WIDTH} features in random order into"
        f" batches of {BATCH}, float32 unless stated otherwise, one process, one thread unless two are named, on"
        f" {os.cpu_count()} cores (load average {load:.1f} before the start)."
        f" Warm: the best of {ROUNDS} rounds. Cold: the file was dropped from the page cache (what the disk itself"
        " caches stays). The older form holds class scores, too, which its reader unpickles and does not decode.",
        "",
        "| form | MB per image | warm, records/s | of the older | of the newer | cold, records/s | disk, MB |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in {**warm, **cold}:
        cells = [f"{sizes[name]:.3f}" if name in sizes else ""]
        if name in warm:
            cells += [f"{warm[name]:,.0f}", f"{warm[name] / first:.1f} x", f"{warm[name] / second:.1f} x"]
        else:
            cells += [""] * 3
        cells += [f"{value:,.0f}" for value in cold[name]] if name in cold else [""] * 2
        lines.append(f"| {name} | {' | '.join(cells)} |")
    regions = warm["ours, regions only"]
    lines += [
        "",
        f"Into a float16 batch that is {half / plain:.0%} of the speed of `memcpy` of the same bytes in memory"
        f" ({plain:,.0f} records/s); into float32, {regions / converting:.0%} of torch's conversion of float16 that"
        f" lies in memory ({converting:,.0f}).",
    ]
    return lines


if __name__ == "__main__":
    main()
