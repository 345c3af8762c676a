"""What near-duplicates catch, and how long they take: versions of real photos, false pairs, 120,000 hashes.

    VLMT_REAL_DATA=DIR python benchmarks/near_duplicates.py

writes its section of ``benchmarks/RESULTS.md``. DIR has ``photos/coco`` and ``photos/nlvr2``; without it only the
pairing of hashes is measured.
"""

import io
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance, ImageOps
from results import write_section

from vlmt_cli.base.images import open_image
from vlmt_cli.clean.greys import Looks, looks_of_files
from vlmt_cli.clean.image_files import image_files
from vlmt_cli.clean.image_hashes import HASHES, hash_images
from vlmt_cli.clean.look_search import look_index
from vlmt_cli.clean.looks import WORDS
from vlmt_cli.clean.near_duplicates import MOST_DETAIL, WIDEST, find_pairs
from vlmt_cli.datasets.options import NearDuplicateOptions

IMAGES, PLANTED = 120_000, 10_000
CROPS = 60
SAME, BORDERLINE = NearDuplicateOptions().same, NearDuplicateOptions().borderline
WORKERS = 2


def encoded(picture: Image.Image, quality: int = 75, form: str = "JPEG") -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **({} if form == "PNG" else {"quality": quality}))
    return file.getvalue()


def scaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize([max(1, round(factor * side)) for side in picture.size], Image.Resampling.BICUBIC)


def cropped(picture: Image.Image, share: float, at_corner: bool) -> Image.Image:
    width, height = (round((1 - share) * side) for side in picture.size)
    left, top = (0, 0) if at_corner else ((picture.width - width) // 2, (picture.height - height) // 2)
    return picture.crop((left, top, left + width, top + height))


def letterboxed(picture: Image.Image, colour: str) -> Image.Image:
    side = max(picture.size)
    return ImageOps.pad(picture, (side, side), color=colour)


def stale(picture: Image.Image) -> bytes:
    """Upright pixels with an orientation that was true before they were turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90, exif=exif)
    return file.getvalue()


TURN = Image.Transpose
VERSIONS: dict[str, list[Callable[[Image.Image], bytes]]] = {
    "JPEG 30, 50, 75, 95; WebP 50": [
        *(lambda p, q=q: encoded(p, q) for q in (30, 50, 75, 95)),
        lambda p: encoded(p, 50, "WEBP"),
    ],
    "50%, 75%, 800 px": [
        *(lambda p, f=f: encoded(scaled(p, f), 95) for f in (0.5, 0.75)),
        lambda p: encoded(scaled(p, 800 / p.width), 95),
    ],
    "25% as JPEG 75; 50% as JPEG 50, 30": [
        lambda p: encoded(scaled(p, 0.25)),
        *(lambda p, q=q: encoded(scaled(p, 0.5), q) for q in (50, 30)),
    ],
    "brightness 0.8; contrast 0.8": [
        lambda p: encoded(ImageEnhance.Brightness(p).enhance(0.8), 95),
        lambda p: encoded(ImageEnhance.Contrast(p).enhance(0.8), 95),
    ],
    "grey; PNG": [lambda p: encoded(p.convert("L"), 95), lambda p: encoded(p, form="PNG")],
    "mirrored": [lambda p: encoded(ImageOps.mirror(p))],
    "turned by 90, 180, 270 degrees": [
        *(lambda p, t=t: encoded(p.transpose(t)) for t in (TURN.ROTATE_90, TURN.ROTATE_180, TURN.ROTATE_270))
    ],
    "stale EXIF orientation": [stale],
    "border of 40 px, black, white, blue": [
        *(lambda p, c=c: encoded(ImageOps.expand(p, 40, c)) for c in ("black", "white", "steelblue"))
    ],
    "letterboxed, black, white": [*(lambda p, c=c: encoded(letterboxed(p, c)) for c in ("black", "white"))],
    "the same at 336, 224 px": [
        *(lambda p, s=s: encoded(letterboxed(p, "black").resize((s, s), Image.Resampling.BICUBIC)) for s in (336, 224))
    ],
    "border, mirrored, 50% as JPEG 30": [
        lambda p: encoded(scaled(ImageOps.expand(ImageOps.mirror(p), 40, "black"), 0.5), 30)
    ],
    "brightness 1.2 (highlights clip)": [lambda p: encoded(ImageEnhance.Brightness(p).enhance(1.2), 95)],
    "brightness 1.4": [lambda p: encoded(ImageEnhance.Brightness(p).enhance(1.4), 95)],
    **{
        f"{100 * share:.0f}% cropped, {'at one corner' if corner else 'about the centre'}": [
            lambda p, share=share, corner=corner: encoded(cropped(p, share, corner), 95)
        ]
        for share in (0.02, 0.05)
        for corner in (False, True)
    },
}


def version_lines(photos: Path) -> list[str]:
    """Compare versions of the photos with all of them: the bits between a photo and its version, and what is caught."""
    files = sorted([*photos.glob("coco/*.jpg"), *photos.glob("nlvr2/*.png")])
    originals = looks_of_files([path.read_bytes() for path in files])
    index = look_index(originals.words, WIDEST)
    pictures = [open_image(str(path)) for path in files]
    lines = [
        f"{len(files)} photos, each against all of them.",
        "",
        "| version | median bits | maximum | caught | borderline | wrong pairs |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, makes in VERSIONS.items():
        best = []
        caught = borderline = wrong = 0
        for make in makes:
            versions = looks_of_files([make(picture) for picture in pictures])
            near = index.near(versions.words)
            least = np.full(len(files), WIDEST + 1)
            for version, photo, bits, detail in zip(
                versions.owner[near.query], originals.owner[near.row], near.distance, near.detail, strict=True
            ):
                if version == photo and (detail <= MOST_DETAIL or bits > BORDERLINE):
                    least[version] = min(least[version], bits)
                elif version != photo and detail <= MOST_DETAIL and bits <= BORDERLINE:
                    wrong += 1
            best += least.tolist()
            caught += int((least <= SAME).sum())
            borderline += int(((least > SAME) & (least <= BORDERLINE)).sum())
        maximum = f"{max(best):.0f}" if max(best) <= WIDEST else f"over {WIDEST}"
        median = f"{np.median(best):.0f}" if np.median(best) <= WIDEST else f"over {WIDEST}"
        lines.append(f"| {name} | {median} | {maximum} | {caught}/{len(best)} | {borderline} | {wrong} |")
    return lines


def false_lines(photos: Path) -> list[str]:
    """Count pairs of random crops of different photos that are near each other, before and after the detail."""
    rng = np.random.default_rng(0)
    crops: list[bytes] = []
    photo: list[int] = []
    for number, path in enumerate(sorted([*photos.glob("coco/*.jpg"), *photos.glob("nlvr2/*.png")])):
        picture = open_image(str(path))
        for _ in range(CROPS):
            width, height = (int(side * rng.uniform(0.3, 1)) for side in picture.size)
            left, top = rng.integers(picture.width - width + 1), rng.integers(picture.height - height + 1)
            crop = picture.crop((left, top, left + width, top + height))
            crop.thumbnail((256, 256))
            crops.append(encoded(crop, 90))
            photo.append(number)
    looks: Looks = looks_of_files(crops)
    near = look_index(looks.words, WIDEST).near(looks.words)
    a, b = looks.owner[near.query], looks.owner[near.row]
    of = np.array(photo)
    pairs = len(crops) * (len(crops) - CROPS) // 2
    lines = [
        f"{pairs:,} pairs of crops of different photos, {len(looks.words):,} looks of {len(crops):,} crops, each pair "
        "in all mirrored and turned versions:",
        "",
        f"| hashes differ in | pairs | of those details differ in at most {MOST_DETAIL} bits |",
        "|---|---:|---:|",
    ]
    for bits in (SAME, BORDERLINE, WIDEST):
        chosen = (of[a] != of[b]) & (a < b) & (near.distance <= bits)
        count, kept = (
            len(set(zip(a[c].tolist(), b[c].tolist(), strict=True)))
            for c in (chosen, chosen & (near.detail <= MOST_DETAIL))
        )
        lines.append(f"| {bits} bits or less | {count} | {kept} |")
    return lines


def planted_looks() -> tuple[np.ndarray, int]:
    """Random hashes, 10,000 of them versions of others at 0 to 48 bits; and how many pairs that makes at least."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (IMAGES, 256), dtype=np.uint8)
    for version, original in enumerate(rng.choice(np.arange(PLANTED, IMAGES), PLANTED, replace=False)):
        bits[version] = bits[original]
        bits[version, rng.choice(256, rng.integers(0, BORDERLINE + 1), replace=False)] ^= 1
    hashes = np.packbits(bits, axis=1).view(np.uint64).reshape(-1, WORDS // 2)
    return np.concatenate([hashes, np.zeros_like(hashes)], axis=1), PLANTED


def brute_force_seconds(looks: np.ndarray, rows: int = 300) -> float:
    """Seconds that comparing all pairs would take, in one orientation, from the first rows against all."""
    began = time.perf_counter()
    for row in looks[:rows, :4]:
        distance = np.bitwise_count(looks[:, :4] ^ row).sum(axis=1)
        np.flatnonzero(distance <= BORDERLINE)
    return (time.perf_counter() - began) * len(looks) / rows / 2


def pair_lines() -> list[str]:
    looks, planted = planted_looks()
    names = pa.array([f"coco:{number}" for number in range(IMAGES)])
    pixels = [b"%032d" % number for number in range(IMAGES)]
    ones = np.ones(IMAGES, np.int32)
    table = pa.table([names, names, ones, ones, pa.array(pixels), [[row.tobytes()] for row in looks]], schema=HASHES)
    lines = ["| distance up to | pairs found | seconds |", "|---|---|---|"]
    for borderline in (SAME, BORDERLINE):
        began = time.perf_counter()
        found = len(find_pairs(table, SAME, borderline))
        seconds = time.perf_counter() - began
        assert found >= planted or borderline < BORDERLINE, "a planted pair was missed"
        lines.append(f"| {borderline} bits | {found:,} | {seconds:.1f} |")
    brute = brute_force_seconds(looks)
    lines.append(f"| brute force (numpy, extrapolated), without mirrored and turned ones | | {brute:,.0f} |")
    return lines


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def hash_lines(photos: Path) -> list[str]:
    lines = [
        "| photos | CPU time per image | images/s | 120,000 images | with idle cores | again (cached) |",
        "|---|---|---|---|---|---|",
    ]
    for name, copies in (("coco", 50), ("nlvr2", 20)):
        with tempfile.TemporaryDirectory() as folder:
            for copy in range(copies):
                shutil.copytree(photos / name, Path(folder, str(copy)))
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
    real = os.environ.get("VLMT_REAL_DATA")
    photos = Path(real, "photos") if real else None
    lines = [
        "## Near-duplicates",
        "",
        f"`python benchmarks/near_duplicates.py`, on a machine with {os.cpu_count()} cores "
        f"(load average {load:.1f} before the start: other work slows the measured times).",
        "",
        f"Caught: hashes at most {SAME} of 256 bits apart, details at most {MOST_DETAIL} of 256. Borderline: hashes at "
        f"most {BORDERLINE} apart.",
        "",
        *(version_lines(photos) if photos else ["Not measured: `VLMT_REAL_DATA` is not set."]),
        "",
        *(false_lines(photos) if photos else []),
        "",
        f"Decoding and hashing image files (`hash_images`, {WORKERS} processes; most of the time is decoding):",
        "",
        *(hash_lines(photos) if photos else ["Not measured."]),
        "",
        f"Finding pairs among {IMAGES:,} random 256-bit hashes in all orientations, {PLANTED:,} of them planted "
        f"versions of others at 0 to {BORDERLINE} bits (`find_pairs`, one process):",
        "",
        *pair_lines(),
    ]
    write_section("near-duplicates", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
