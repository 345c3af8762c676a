"""Photos to regions, batch by batch, into a store.

A photo's record depends on the photo and the extractor alone: neither on the batch, nor on the shard, nor on what was
in the store before. So a killed run that is started again, and shards that are merged, end with the same checksum.
(On a GPU photos go through the networks ``batch`` at a time, and another ``batch`` may change the last bits.) Only
where an extractor says that the batch matters, a photo's neighbours in the order of keys count.
"""

import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from torch.utils.data import DataLoader

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.images import read_image
from vlmt_cli.base.processes import fork_server, ignore_signals
from vlmt_cli.base.progress import Progress
from vlmt_cli.features.extractor import Extractor
from vlmt_cli.features.given_boxes import fit_boxes
from vlmt_cli.features.record import Regions, problem
from vlmt_cli.features.store import Meta
from vlmt_cli.features.store_writer import StoreWriter

File = tuple[str, str]
"""An image key, and the path of its photo."""
_COMMIT = 30.0  # seconds of work that a killed process loses at most, or 64 photos if these take less


@dataclass
class Extracted:
    """What became of the photos.

    Attributes:
        written: photos whose regions are new in the store.
        already: photos that it had.
        without_boxes: photos that no box was given for.
        boxes_dropped, boxes_clipped: of the given ones, by the rule for impossible boxes.
        failed: path to reason, of photos that have no regions.
        images, checksum: of the whole store.
    """

    written: int = 0
    already: int = 0
    without_boxes: int = 0
    boxes_dropped: int = 0
    boxes_clipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    images: int = 0
    checksum: str = ""


def extract(
    files: Sequence[File],
    store: Path,
    extractor: Extractor,
    *,
    batch: int = 8,
    boxes: Mapping[str, BoxArray] | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> Extracted:
    """Extract the regions of photos into a store; an existing store is continued.

    Args:
        files: the photos; of several with one key the first counts.
        store: the store's folder.
        extractor: what finds regions.
        batch: photos at a time.
        boxes: image key to (R, 4) in pixels, of those that regions are wanted of; None for the extractor's own.
        workers: processes that decode photos beside the one that runs the extractor.
        progress: called with how many photos are done, of how many.

    Raises:
        DataError: the store holds other features.
        VlmtError: the disk is full, or a device's memory.
    """
    result = Extracted()
    wanted = dict(reversed(files))
    if boxes is not None:
        result.without_boxes = len(wanted.keys() - boxes.keys())
        wanted = {key: path for key, path in wanted.items() if key in boxes}
    meta = Meta(
        holds="candidates" if boxes is not None else "grid" if extractor.cells else "detected",
        cells=extractor.cells,
        extractor=extractor.name,
        extractor_hash=extractor.hash,
        feature_width=extractor.feature_width,
        classes=extractor.classes,
    )
    with StoreWriter(store, meta) as writer:
        ordered = sorted(wanted)
        written = {key for key in ordered if key in writer}
        result.already = len(written)
        # Where it matters, a batch of which anything is missing is run again as it was.
        step = batch if extractor.batch_matters else 1
        parts = [ordered[first : first + step] for first in range(0, len(ordered), step)]
        new = [(key, wanted[key]) for part in parts if not written.issuperset(part) for key in part]
        done, committed = 0, time.monotonic()
        for photos in _decoded(new, extractor, batch, workers):
            regions = _regions_of(photos, extractor, boxes, result)
            for photo in photos:
                if photo.key not in written:
                    _put(writer, result, photo, regions[photo.key])
            if time.monotonic() - committed > _COMMIT:
                writer.flush()
                committed = time.monotonic()
            done += len(photos)
            if progress:
                progress("", done, len(new))
    result.images, result.checksum = writer.meta.images, writer.meta.checksum
    return result


class _Photo(NamedTuple):
    key: str
    path: str
    size: tuple[int, int]
    prepared: Any
    problem: str | None


def _decoded(files: Sequence[File], extractor: Extractor, batch: int, workers: int) -> Iterator[list[_Photo]]:
    """Decode and prepare photos, a batch at a time, in the order of the files; each process is two batches ahead.

    Raises:
        VlmtError: a process that decodes died.
    """
    if not files:
        return
    loader: Iterable[list[_Photo]] = DataLoader(
        files,  # type: ignore[arg-type]
        batch_size=batch,
        collate_fn=partial(_decode, extractor.prepare),
        num_workers=workers,
        multiprocessing_context=fork_server("vlmt_cli.features.extractor") if workers else None,
        worker_init_fn=_begin_worker if workers else None,
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        todo = "run it again: it goes on where it was; memory may be short, or give fewer --workers"
        raise VlmtError("a process that decodes photos died", todo=todo) from error


def _begin_worker(number: int) -> None:
    ignore_signals(signal.SIGINT)


def _decode(prepare: Callable[[Image.Image], Any], files: Sequence[File]) -> list[_Photo]:
    photos = []
    for key, path in files:
        image = read_image(path)
        if isinstance(image, str):
            photos.append(_Photo(key, path, (0, 0), None, image))
        else:
            photos.append(_Photo(key, path, image.size, prepare(image), None))
    return photos


def _regions_of(
    photos: Sequence[_Photo], extractor: Extractor, boxes: Mapping[str, BoxArray] | None, result: Extracted
) -> dict[str, Regions | str]:
    """Return the regions of each photo by its key, or why it has none."""
    regions_or_problem: dict[str, Regions | str] = {photo.key: photo.problem for photo in photos if photo.problem}
    given: dict[str, BoxArray | None] = {}
    for photo in photos:
        if photo.problem is None:
            if boxes is None:
                given[photo.key] = None
                continue
            fitted = fit_boxes(boxes[photo.key], *photo.size)
            result.boxes_dropped += fitted.dropped
            result.boxes_clipped += fitted.clipped
            if len(fitted.boxes):
                given[photo.key] = fitted.boxes if extractor.clips_boxes else fitted.as_given
            else:
                regions_or_problem[photo.key] = fitted.problem
    sound = [photo for photo in photos if photo.key in given]
    if sound:
        regions = extractor.regions([photo.prepared for photo in sound], [given[photo.key] for photo in sound])
        regions_or_problem.update(
            {photo.key: image_regions for photo, image_regions in zip(sound, regions, strict=True)}
        )
    return regions_or_problem


def _put(writer: StoreWriter, result: Extracted, photo: _Photo, regions: Regions | str) -> None:
    if isinstance(regions, str):
        result.failed[photo.path] = regions
    elif wrong := problem(regions):
        result.failed[photo.path] = wrong
    else:
        writer.put(photo.key, regions)
        result.written += 1
