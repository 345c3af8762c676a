"""The paper's detector at its full size, with random weights, on the 40 COCO photos of ``VLMT_REAL_DATA``.

    python benchmarks/detector.py

writes its section of ``benchmarks/RESULTS.md``: seconds a photo and memory of ``vlmt extract`` on the CPU; what the
textbook form of the same network takes, and whether it finds the same; how far bfloat16 drifts; and photos/s
on a GPU, where there is one. The released weights are not needed, and random ones take as long.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from results import write_section
from textbook_detector import TextbookDetector, random_tensors, select

from vlmt_cli.base.images import open_image
from vlmt_cli.features.compare import match
from vlmt_cli.features.extract import extract
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.extractor import canvas, load_detector, pixels_of, regions, vg_x152_extractor, views
from vlmt_cli.features.vg_x152.weights import read_released

BF16_PHOTOS = 2  # on a CPU, most of which only emulate it
GPU_BATCH = 40


def extract_all(photos: Path, weights: Path, store: Path) -> list[str]:
    """Run the command as a user does, and measure the whole of it."""
    arguments = ["extract", f"coco={photos}", "--detector", "vg-x152", "--weights", weights, "--to", store]
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "vlmt_cli", *map(str, arguments), "--device", "cpu"], check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    kept = [len(one.boxes) for _, one in FeatureStore(store).items(verify=True)]
    count = len(kept)
    return [
        f"`vlmt extract` on {torch.get_num_threads()} cores, float32, loading the weights included: {count} photos,"
        f" of {min(kept)} to {max(kept)} boxes each; **{wall / count:.1f} s per photo** ({busy / count:.1f} s of CPU"
        f" time), {after.ru_maxrss / 1e6:.2f} GB at most.",
    ]


def compare_with_textbook(photo: Path, weights: Path) -> list[str]:
    """Take one photo through both forms."""
    released = read_released(weights)
    detector = load_detector(released, "cpu")
    pixels = pixels_of(open_image(str(photo)))
    began = time.perf_counter()
    (ours,) = regions(detector, [pixels], [None])
    our_seconds = time.perf_counter() - began

    textbook = TextbookDetector(released.config, released.tensors)
    (view,) = views([pixels.shape[1::-1]], "correct", released.config)
    with torch.inference_mode():
        began = time.perf_counter()
        maps = textbook.maps(canvas([pixels], [view], detector).contiguous())
        boxes, _ = textbook.proposals(maps, *view.frame)
        map_seconds = time.perf_counter() - began
        features, scores = textbook.describe(textbook.pooled(maps, boxes))
    boxes = boxes / np.float32(view.scale)
    places, _ = select(boxes, scores, 100)
    theirs = Regions(boxes[places], features[places], view.width, view.height)
    rows, partners, iou = match(ours, theirs)
    pairs = list(zip(ours.features[rows], theirs.features[partners], strict=True))
    return [
        f"One photo ({view.canvas[0]} x {view.canvas[1]} with its padding): {our_seconds:.1f} s. The textbook form"
        f" (separate batch norm, no channels-last, no Winograd) takes {map_seconds:.1f} s to the proposals alone; of"
        f" its {len(places)} boxes {(iou > 0.999).sum()} are among ours, with a cosine of features of"
        f" {lowest_cosine(pairs):.6f} at least.",
    ]


def bf16_on_cpu(photos: Sequence[Path], weights: Path) -> list[str]:
    """Compare the features of the same boxes."""
    released = read_released(weights)
    whole, half = (load_detector(released, "cpu", precision) for precision in ("float32", "bf16"))
    pairs = []
    for photo in photos:
        pixels = pixels_of(open_image(str(photo)))
        (one,) = regions(whole, [pixels], [None])
        (other,) = regions(half, [pixels], [one.boxes])
        pairs += zip(one.features, other.features, strict=True)
    return [
        f"bf16 on the CPU, same boxes of {len(photos)} photos: cosine {mean_cosine(pairs):.5f} on average,"
        f" {lowest_cosine(pairs):.5f} at least.",
    ]


def on_gpu(files: Sequence[tuple[str, str]], weights: Path, folder: Path) -> list[str]:
    """Measure photos/s in each precision, one by one and several at once."""
    lines = ["", f"{torch.cuda.get_device_name()}, decoding included:", "", "| precision | batch | photos/s |",
             "|---|---|---|"]  # fmt: skip
    boxes = {}
    for precision in ("float32", "bf16"):
        for batch in (1, GPU_BATCH):
            extractor = vg_x152_extractor("cuda:0", weights, precision=precision, batch=batch)
            extract(files[:8], folder / f"warm-{precision}{batch}", extractor, batch=batch)
            torch.cuda.synchronize()
            began = time.perf_counter()
            store = folder / f"{precision}{batch}"
            extract(files, store, extractor, batch=batch, workers=4)
            lines.append(f"| {precision} | {batch} | {len(files) / (time.perf_counter() - began):.1f} |")
            if precision == "float32":
                boxes = {key: one.boxes.copy() for key, one in FeatureStore(store).items()}
    stores = []
    for precision in ("float32", "bf16"):
        extractor = vg_x152_extractor("cuda:0", weights, precision=precision, has_boxes=True)
        extract(files, folder / f"given-{precision}", extractor, boxes=boxes)
        stores.append(FeatureStore(folder / f"given-{precision}"))
    pairs = [pair for key in boxes for pair in zip(*(store.read(key).features for store in stores), strict=True)]
    lines += ["", f"bf16 beside float32 on the same boxes: cosine {mean_cosine(pairs):.5f} on average,"
                  f" {lowest_cosine(pairs):.5f} at least."]  # fmt: skip
    return lines


def cosines(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    one, other = (np.stack(rows).astype(np.float64) for rows in zip(*pairs, strict=True))
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def mean_cosine(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(cosines(pairs).mean())


def lowest_cosine(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    return float(cosines(pairs).min()) if pairs else float("nan")


def main() -> None:
    photos = Path(os.environ["VLMT_REAL_DATA"]) / "photos" / "coco"
    paths = sorted(photos.glob("*.jpg"))
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "detectron_model.pth"
        torch.save({"model": random_tensors(DetectorConfig())}, weights)
        parts = [
            partial(extract_all, photos, weights, folder / "cpu"),
            partial(compare_with_textbook, paths[0], weights),
            partial(bf16_on_cpu, paths[:BF16_PHOTOS], weights),
        ]
        if torch.cuda.is_available():
            files = [(f"coco:{int(path.stem)}", str(path)) for path in paths]
            parts.append(partial(on_gpu, files, weights, folder))
        lines = [
            "## The paper's detector",
            "",
            f"`python benchmarks/detector.py`, random weights, on a machine with {os.cpu_count()} cores (load average"
            f" {load:.1f} before the start: other work slows the measured times). torch {torch.__version__}.",
        ]
        for part in parts:
            found = part()
            print(*found, sep="\n", flush=True)
            lines += ["", *found]
    write_section("detector", lines)


if __name__ == "__main__":
    main()
