"""``vlmt extract``: photos to region features."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.devices import (
    Computing,
    Device,
    Gpus,
    check_computing,
    check_gpus,
    devices_of,
)
from vlmt_cli.commands.extract_input import (
    BACKBONE,
    DETECTOR,
    check_boxes,
    check_grid,
    given_boxes,
    maker,
    photos_in,
    read_regions,
    store_name,
    workers_for,
)
from vlmt_cli.commands.options import DATA, DataFolder, Json, Launcher, Sbatch, refuse_unused

if TYPE_CHECKING:
    from vlmt_cli.base.boxes import BoxArray
    from vlmt_cli.features.extract import Extracted, File

REGIONS = "100"
JOBS = 16
NAMED = 10  # unreadable photos that are named one by one


def extract(
    folders: Annotated[
        list[str] | None, typer.Argument(help="Folders of photos, FOLDER or source=FOLDER; else DATA/images.")
    ] = None,
    data: DataFolder = DATA,
    to: Annotated[
        Path | None, typer.Option("--to", help="The store; else DATA/features/ and the extractor's name.")
    ] = None,
    extractor: Annotated[
        str, typer.Option(help="detector: networks of transformers. pixels: for synthetic worlds, without weights.")
    ] = "detector",
    detector: Annotated[
        str | None,
        typer.Option(
            help=f"Detector for boxes and class scores: hub id or folder; vg-x152 for the paper's own; else {DETECTOR}."
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help=f"Backbone for the boxes' features: hub id or folder; else {BACKBONE}, and vg-x152 brings its own."
        ),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="For vg-x152: its weights, detectron_model.pth.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="For vg-x152: its YAML; else detectron_config.yaml beside the weights, if any.")
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="For vg-x152: correct, or faithful for the numbers of the released features: padding counts as part of"
            " the photo, and with --batch photos are padded to the largest of their batch."
        ),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="For vg-x152: float32, or bf16 for speed on a GPU.")] = None,
    boxes: Annotated[
        str | None,
        typer.Option(
            help="Boxes instead of detected ones: FILE.parquet or FILE.jsonl with image (coco:9, the photo's own name,"
            " or any official one, with folders or without) and boxes; or a dataset whose candidates are taken:"
            " visual7w, guesswhat, refcoco, refcoco+, refcocog; candidates for all of them."
        ),
    ] = None,
    box_format: Annotated[
        str | None,
        typer.Option(help="For a file of boxes: xyxy (x1, y1, x2, y2) or xywh (x1, y1, width, height)."),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option(
            help="Number of boxes detected in each photo, else 100; or grid:10 for the cells of a 10 x 10 grid, or"
            " patches for the backbone's own, both without a detector."
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Photos at a time; else 8, or 1 with vg-x152.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode photos; else as many as fit.")
    ] = None,
    device: Device = "auto",
    gpus: Gpus = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take only the first N photos, for a quick test.")] = None,
    shard: Annotated[str | None, typer.Option(help="Extract one part of the photos, such as 3/64.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Merge the shards of the store, and remove them.")] = False,
    launcher: Launcher = None,
    shards: Annotated[int | None, typer.Option(min=1, help="With --launcher: number of jobs; else 16.")] = None,
    sbatch: Sbatch = None,
    as_json: Json = False,
) -> None:
    """Turn photos into a store of region features. An interrupted command resumes when it is run again.

    With --launcher slurm each shard is a job of one array; the shards are merged at the end.

    Examples:

      vlmt extract

      vlmt extract train2014 val2014 vg=VG_100K --gpus 8

      vlmt extract --extractor pixels --data demo

      vlmt extract vg=VG_100K --boxes visual7w

      vlmt extract --regions grid:10

      vlmt extract --detector vg-x152 --weights detectron_model.pth

      vlmt extract --shard 3/64      (on each machine its own, then vlmt extract --merge)

      vlmt extract --launcher slurm --shards 64 --sbatch partition=gpu
    """
    import msgspec

    from vlmt_cli.base.cluster import read_launcher, read_shard
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.commands import vg_x152
    from vlmt_cli.commands.show import progress, say

    if extractor not in ("detector", "pixels"):
        raise UsageError(f"there is no extractor {extractor!r}", todo="choose detector or pixels")
    most, grid = read_regions(REGIONS if regions is None else regions)
    if grid is not None:
        check_grid(grid, extractor, detector, boxes)
    asked = Computing(device, gpus, launcher=launcher)
    check_computing(asked)
    is_own = extractor == "detector" and detector == vg_x152.X152
    chosen: dict[str, object] = {"--detector": detector, "--regions": grid is None and regions}
    if extractor == "pixels":  # which has nothing for a GPU to do
        on_gpus = {"--gpus": gpus, "--device": device.startswith("cuda")}
        refuse_unused(chosen | {"--backbone": backbone} | on_gpus, "the pixels extractor has no use for {}")
        asked = Computing("cpu")
    elif boxes is not None:
        chosen["--detector"] = detector and not is_own
        refuse_unused(chosen, "--boxes gives the boxes, so that {} changes nothing")
    if launcher is None:
        refuse_unused({"--shards": shards}, "{} goes with --launcher")
    if merge:
        others = {"--limit": limit, "a folder": folders, "--batch": batch, "--workers": workers, "--gpus": gpus,
                  "--device": device != "auto", "--box-format": box_format}  # fmt: skip
        refuse_unused(others, "--merge takes all photos of the shards as they are, and has no use for {}")
    check_gpus(asked)
    own = vg_x152.DetectorOptions(weights, config, mode, precision)
    if not is_own:
        vg_x152.refuse_without_it(own)
    elif backbone is not None:
        raise UsageError(f"--detector {vg_x152.X152} brings its own backbone", todo="leave --backbone out")
    detector, backbone = detector or DETECTOR, backbone or BACKBONE
    if sum((shard is not None, merge, launcher is not None)) > 1:
        raise UsageError("--shard, --merge and --launcher exclude each other", todo="choose one of them")
    number, of = read_shard(shard) if shard else (1, 1)
    options = read_launcher(launcher, sbatch)
    batch = batch or (1 if is_own else 8)
    if is_own and not merge:
        vg_x152.check(own, batch, in_parts=bool(shard or launcher or (gpus or 1) > 1))
    given: dict[str, BoxArray] | None = None
    files: list[File] = []
    skipped: dict[str, str] = {}
    if not merge:
        check_boxes(boxes, box_format)
        files, skipped = photos_in(folders or [str(data / "images")])
        given = given_boxes(boxes, box_format, data, files)

    from vlmt_cli.features import shards as parts

    name = vg_x152.store_name(own, boxes) if is_own else store_name(extractor, detector, backbone, boxes, grid)
    store = to or data / "features" / name
    if merge:
        with progress("Merging") as update:
            meta = parts.merge(store, update)
        _show(store, {"store": str(store), "images": meta.images, "checksum": meta.checksum}, as_json)
        return

    devices = devices_of(asked)
    if is_own:
        make = vg_x152.maker(own, boxes is not None, most, batch)
    else:
        make = maker(extractor, files, store, detector if boxes is None else None, backbone, most, grid, batch)
    if workers is None:
        workers = workers_for(len(files[:limit]), devices, launcher)
    job = parts.Job(files[:limit], store, make, devices, batch, given, workers)
    with progress("Extracting") as update:
        if launcher:
            result = parts.submit(job, shards or JOBS, launcher, options, update)
        else:
            result = parts.run(parts.shard_of(job, number, of) if shard else job, update)
    result.failed = skipped | result.failed
    _complain(result)
    if shard:
        store = parts.shard_of(job, number, of).store
        say(f"Shard {number} of {of}; when all are there: vlmt extract --merge --to {to or job.store}")
    _show(store, {"store": str(store), **msgspec.to_builtins(result)}, as_json)


def _complain(result: "Extracted") -> None:
    """Name the photos that have no regions, and count the boxes that were impossible."""
    from vlmt_cli.base.boxes import changes
    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.words import count
    from vlmt_cli.commands.show import say

    for path, reason in list(result.failed.items())[:NAMED]:
        say(f"{path}: {reason}")
    if len(result.failed) > NAMED:
        say(f"... and {len(result.failed) - NAMED:,} more")
    for change in changes(result.boxes_dropped, result.boxes_clipped):
        say(f"Warning: of the given boxes, {change}")
    if result.failed and not result.images:
        path, reason = next(iter(result.failed.items()))
        raise DataError(f"no regions in {count(len(result.failed), 'photo')} ({reason})", where=path)


def _show(store: Path, result: dict[str, object], as_json: bool) -> None:
    import json

    from vlmt_cli.commands.show import stdout, table

    if as_json:
        print(json.dumps(result, indent=2))
        return
    names = {
        "written": "new",
        "already": "already there",
        "without_boxes": "without given boxes, left out",
        "failed": "without regions",
        "images": "in the store",
    }
    rows = []
    for name, label in names.items():
        value = result.get(name)
        count = len(value) if isinstance(value, dict) else value
        if count or name == "images":
            rows.append([label, f"{count:,}"])
    stdout().print(table(["photos", "count"], rows, f"{store}"))
    stdout().print(f"Checksum {result['checksum']}")
