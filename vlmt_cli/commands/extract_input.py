"""What goes into extraction: photos, given boxes, a grid, the networks; and how its store is named."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmt_cli.base.boxes import BoxArray
    from vlmt_cli.features.extract import File
    from vlmt_cli.features.extractor import Extractor

BACKBONE = "facebook/dinov2-base"
DETECTOR = "PekingU/rtdetr_r50vd"
LARGEST_GRID = 100
FEW = 1000  # photos, for which no process is started to decode them


def read_regions(text: str) -> tuple[int, int | None]:
    """Read ``--regions``.

    Returns:
        How many boxes are detected, and a side of the grid instead of them: 0 for the backbone's own patches, None for
        no grid.

    Raises:
        UsageError: it is none of the three.
    """
    from vlmt_cli.base.errors import UsageError

    if text == "patches":
        return 1, 0
    kind, _, number = text.rpartition(":")
    value = int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else 0
    if kind in ("", "grid") and value and not (kind and value > LARGEST_GRID):
        return (1, value) if kind else (value, None)
    todo = f"give a number of boxes, grid:N for N x N cells (N from 1 to {LARGEST_GRID}), or patches"
    raise UsageError(f"--regions cannot be {text!r}", todo=todo)


def check_grid(side: int, extractor: str, detector: str | None, boxes: str | None) -> None:
    """Raise a UsageError for what a grid excludes."""
    from vlmt_cli.base.errors import UsageError

    if boxes is not None:
        raise UsageError("--boxes are regions, and a grid's cells are others", todo="leave one of the two out")
    if extractor == "pixels" and not side:
        raise UsageError("the pixels extractor has no patches", todo="give a grid, such as --regions grid:10")
    if extractor == "detector" and detector is not None:
        raise UsageError("a grid takes no detector", todo="leave --detector out, and name a --backbone of transformers")


def store_name(extractor: str, detector: str, backbone: str, boxes: str | None, grid: int | None) -> str:
    """Name the default store."""
    from vlmt_cli.features.networks import short_name

    cells = None if grid is None else f"grid-{grid}" if grid else "patches"
    if extractor == "pixels":
        return "-".join(filter(None, ["pixels", cells or (boxes and Path(boxes).stem)]))
    return f"{cells or (Path(boxes).stem if boxes else short_name(detector))}+{short_name(backbone)}"


def default_store() -> str:
    """Name the store that the command makes without options."""
    return f"{Path(DETECTOR).name}+{Path(BACKBONE).name}"


def workers_for(photos: int, devices: list[str], launcher: str | None) -> int:
    """Choose how many processes decode for each device, beside the one that runs the extractor.

    A few photos on a CPU are decoded sooner than such a process has started, and a cluster's job on CPUs has one.
    """
    import os

    if devices[0] == "cpu" and (photos < FEW or launcher):
        return 0
    return max(1, min(8, (os.cpu_count() or 1) // len(devices) - 1))


def _is_file(boxes: str | None) -> bool:
    from vlmt_cli.features.given_boxes import ALL_CANDIDATES, WITH_CANDIDATES

    return boxes is not None and boxes not in (*WITH_CANDIDATES, ALL_CANDIDATES)


def check_boxes(boxes: str | None, form: str | None) -> None:
    """Raise a UsageError where ``--boxes`` names neither a file nor a dataset, or ``--box-format`` does not fit it."""
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.base.schema import nearest
    from vlmt_cli.features.given_boxes import ALL_CANDIDATES, FORMS, WITH_CANDIDATES

    is_file = _is_file(boxes)
    if form is not None and not is_file:
        raise UsageError("--box-format describes a file given with --boxes", todo="leave it out")
    if form not in (None, *FORMS):
        raise UsageError(f"there is no box format {form!r}", todo=f"choose {' or '.join(FORMS)}")
    if boxes is not None and is_file and not Path(boxes).suffix and not Path(boxes).exists():
        known = (*WITH_CANDIDATES, ALL_CANDIDATES)
        raise UsageError(
            f"there is no file {boxes!r}, and no dataset with boxes of this name", todo=nearest(boxes, known)
        )


def given_boxes(boxes: str | None, form: str | None, data: Path, photos: "list[File]") -> "dict[str, BoxArray] | None":
    """Read what ``--boxes`` names.

    Returns:
        Image key to (R, 4) corners in pixels; None without ``--boxes``.

    Raises:
        DataError: the file cannot be read, or the datasets' examples were not prepared.
    """
    from vlmt_cli.features.given_boxes import FORMS, candidate_boxes, read_boxes

    if boxes is None:
        return None
    if _is_file(boxes):
        return read_boxes(Path(boxes), form or FORMS[0], photos)
    return candidate_boxes(data / "examples", boxes)


def photos_in(folders: list[str]) -> "tuple[list[File], dict[str, str]]":
    """Find the photos, and what is passed over with the reason."""
    from vlmt_cli.clean.image_files import NOT_AN_IMAGE, image_files

    files, skipped = image_files(folders)
    photos = [(file.image, file.path) for file in files]
    return photos, {skip.path: skip.reason for skip in skipped if skip.reason != NOT_AN_IMAGE}


def maker(
    extractor: str,
    files: "list[File]",
    store: Path,
    detector: str | None,
    backbone: str,
    regions: int,
    grid: int | None,
    batch: int,
) -> "Callable[[str], Extractor]":
    """Return what makes the extractor in each process."""
    from functools import partial

    from vlmt_cli.commands.show import say
    from vlmt_cli.features.extractor import network_extractor
    from vlmt_cli.features.grid import backbone_grid, pixels_grid
    from vlmt_cli.features.pixels import pixels_extractor, sample_clusters

    if extractor == "detector" and grid is not None:
        return partial(backbone_grid, backbone=backbone, side=grid, batch=batch)
    if extractor == "detector":
        return partial(network_extractor, detector=detector, backbone=backbone, max_regions=regions, batch=batch)
    # All stores beside each other share them, so that given boxes get the class scores of proposed ones.
    path = store.parent / "pixels.clusters.npy"
    if not path.exists():
        say(f"Clustering crops of a sample of the photos into {path}")
    clusters = sample_clusters(path, files)
    return partial(pixels_extractor, clusters) if grid is None else partial(pixels_grid, clusters, grid)
