"""The detector as ``vlmt extract`` drives it, in two modes.

``correct``   A photo is what it is: proposals are clipped to it, given boxes keep their shape. For new photos.
``faithful``  As the authors' scripts did it, for numbers that fit the released features. They took the padding to a
              multiple of 32 pixels for a part of the photo: proposals may lie in it, and given boxes are stretched to
              it, each axis by another factor. They padded to the largest photo of the batch, too, so that a photo's
              features depended on its neighbours; here that is so only when a batch is asked for.

On a CPU, ``correct`` computes the 3x3 convolutions of the pyramid and the proposals with ``winograd``, which is faster
and rounds about twice as much. Against the authors' code on two recorded photos, its proposals differ by 3.5e-4 pixels
at most, those of ``faithful``, which computes plain convolutions, by 1.7e-4. The same boxes are kept, in one order.

In both, a photo is what a viewer shows: upright, in colour, on white where it is transparent. (The authors' scripts
took no notice of orientation, saw palettes as shades of grey, and lost the whole batch of a photo with transparency.)
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.base.errors import UsageError
from vlmt_cli.features.extractor import REGIONS, Extractor
from vlmt_cli.features.networks import exact_kernels, memory_explained
from vlmt_cli.features.record import Regions
from vlmt_cli.features.vg_x152.backbone import body, objectness, pyramid
from vlmt_cli.features.vg_x152.box_head import describe, pool
from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.operations import overlaps
from vlmt_cli.features.vg_x152.photo import canvas_side, network_input, resized_size, scale_of
from vlmt_cli.features.vg_x152.rpn import propose
from vlmt_cli.features.vg_x152.selection import MOST_OVERLAP, select
from vlmt_cli.features.vg_x152.weights import Layer, Released, digest, fold, read_released, with_winograd

NAME = "vg-x152"
AT_ONCE = 4
"""Photos of one canvas that go through the backbone at once on a GPU, where a batch of so many is asked for."""

Mode = Literal["correct", "faithful"]
Precision = Literal["float32", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16}
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Detector:
    """The network on a device.

    Attributes:
        layers: plain convolutions, for ``faithful`` mode.
        fast_layers: those of ``correct`` mode; on a CPU, 3x3 convolutions have the form of ``winograd``.
        hash: of weights, config and precision.
        at_once: photos that go through the backbone together; always so many, as their number changes the last bits.
    """

    config: DetectorConfig
    layers: dict[str, Layer]
    fast_layers: dict[str, Layer]
    device: torch.device
    dtype: torch.dtype
    hash: str
    at_once: int = 1


@dataclass(frozen=True)
class ResizedView:
    """How the network sees one photo.

    Attributes:
        width, height: of the photo.
        scale: of its sides.
        canvas: width and height of the network's input, padding included.
        frame: width and height of what proposals are clipped to.
        stretch: by what given boxes are multiplied, x and y.
    """

    width: int
    height: int
    scale: float
    canvas: tuple[int, int]
    frame: tuple[int, int]
    stretch: tuple[float, float]


def vg_x152_extractor(
    device: str,
    weights: Path,
    config: Path | None = None,
    mode: Mode = "correct",
    precision: Precision = "float32",
    has_boxes: bool = False,
    max_regions: int = REGIONS,
    batch: int = 1,
) -> Extractor:
    """Load the detector.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        weights: ``detectron_model.pth``.
        config: its YAML; else ``detectron_config.yaml`` beside it, else the values that are known.
        mode: see above.
        precision: of the network; boxes are computed in float32.
        has_boxes: whether boxes will be given; else it proposes them.
        max_regions: boxes a photo.
        batch: photos at a time. In ``faithful`` mode they are padded to one size, and change each other's regions; in
            ``correct`` mode they only share a GPU.

    Raises:
        DataError: the weights or the config cannot be read, or do not fit.
    """
    if mode not in get_args(Mode) or precision not in DTYPES:
        raise UsageError(
            f"there is no mode {mode!r} or no precision {precision!r}",
            todo="choose correct or faithful, float32 or bf16",
        )
    detector = load_detector(read_released(weights, config), device, precision, batch)
    choices = f"{mode}.{batch if mode == 'faithful' else 1}"
    name = "-".join([NAME, *([mode] if mode != "correct" else []), *([precision] if precision != "float32" else [])])
    return Extractor(
        name=f"given+{name}" if has_boxes else name,
        hash=f"{detector.hash}.{choices}-{'given' if has_boxes else f'{NAME}.{max_regions}'}",
        feature_width=detector.config.mlp_width,
        classes=detector.config.classes,
        prepare=pixels_of,
        regions=partial(regions, detector, mode=mode, max_regions=max_regions, batch=batch),
        batch_matters=mode == "faithful" and batch > 1,
        clips_boxes=mode == "correct",
    )


def load_detector(released: Released, device: str, precision: Precision = "float32", batch: int = 1) -> Detector:
    """Place the network on a device. Raises a DataError when a weight is NaN or infinite."""
    hashed = digest(released.tensors)
    hashed.update(json.dumps([asdict(released.config), precision], sort_keys=True).encode())
    where, dtype = torch.device(device), DTYPES[precision]
    # A CPU is as fast with one by one.
    at_once = 1 if where.type == "cpu" else min(AT_ONCE, batch)
    layers = fold(released, device, dtype)
    fast = with_winograd(layers) if where.type == "cpu" and dtype == torch.float32 else layers
    return Detector(released.config, layers, fast, where, dtype, hashed.hexdigest()[:16], at_once)


def pixels_of(image: Image.Image) -> Pixels:
    """Return a photo's pixels, (H, W, 3)."""
    return np.array(image)


def regions(
    detector: Detector,
    photos: Sequence[Pixels],
    given: Sequence[BoxArray | None],
    mode: Mode = "correct",
    max_regions: int = REGIONS,
    batch: int = 1,
) -> list[Regions | str]:
    """Find the regions of N photos.

    Args:
        detector: from ``load_detector``.
        photos: (H, W, 3) bytes, RGB.
        given: for each photo boxes that are wanted, (R, 4) in its pixels, in whose order its regions come; or None.
        mode: see above.
        max_regions: how many of the proposals are kept.
        batch: how many photos in a row are a batch in ``faithful`` mode.

    Returns:
        For each photo its regions: boxes in its pixels, features and class scores, or why there are none.
    """
    sizes = [photo.shape[1::-1] for photo in photos]
    batches = [sizes[first : first + batch] for first in range(0, len(sizes), batch)]
    seen = [view for batch in batches for view in views(batch, mode, detector.config)]
    result: dict[int, Regions | str] = {}
    with torch.inference_mode(), exact_kernels(), memory_explained(detector.device, NAME, detector.at_once > 1):
        for rows in _groups(seen, detector.at_once):
            group = ([photos[i] for i in rows], [given[i] for i in rows], [seen[i] for i in rows])
            result.update(zip(rows, _of_group(detector, *group, mode, max_regions), strict=True))
    return [result[i] for i in range(len(photos))]


def _of_group(
    detector: Detector,
    photos: Sequence[Pixels],
    given: Sequence[BoxArray | None],
    seen: Sequence[ResizedView],
    mode: Mode,
    max_regions: int,
) -> list[Regions | str]:
    """Find the regions of photos of one canvas."""
    config, layers = detector.config, detector.layers if mode == "faithful" else detector.fast_layers
    # Filled up with the last one, so that as many as ever go together.
    filled = [min(i, len(photos) - 1) for i in range(detector.at_once)]
    pixels = canvas([photos[i] for i in filled], [seen[i] for i in filled], detector)
    maps = pyramid(body(pixels, layers, config), layers)
    proposals: list[tuple[Tensor, Tensor]] = []
    if any(boxes is None for boxes in given):
        logits, deltas = ([level[: len(photos)] for level in levels] for levels in objectness(maps, layers))
        proposals = propose(logits, deltas, [view.frame for view in seen], config)
    result: list[Regions | str] = []
    for i, (boxes, view) in enumerate(zip(given, seen, strict=True)):
        own = [feature_map[i] for feature_map in maps]
        if boxes is not None:
            result.append(_of_boxes(detector, own, boxes, view))
        else:
            result.append(_of_proposals(detector, own, proposals[i][0], view, max_regions))
    return result


def views(sizes: Sequence[tuple[int, ...]], mode: Mode, config: DetectorConfig) -> list[ResizedView]:
    """Say how the network sees photos of these widths and heights, which in ``faithful`` mode are one batch."""
    seen = []
    for width, height in sizes:
        scale = scale_of(width, height, config)
        size = resized_size(width, height, scale)
        canvas = (canvas_side(size[0]), canvas_side(size[1]))
        seen.append(ResizedView(width, height, scale, canvas, size, (scale, scale)))
    if mode == "correct":
        return seen
    wide, high = (max((view.canvas[axis] for view in seen), default=0) for axis in (0, 1))
    return [
        replace(view, canvas=(wide, high), frame=(wide, high), stretch=(wide / view.width, high / view.height))
        for view in seen
    ]


def canvas(photos: Sequence[Pixels], seen: Sequence[ResizedView], detector: Detector) -> Tensor:
    """Put photos of one canvas on it, at the top left: (B, 3, H, W)."""
    width, height = seen[0].canvas
    empty = torch.zeros(len(photos), 3, height, width, device=detector.device, dtype=detector.dtype)
    batch = empty.to(memory_format=torch.channels_last)
    for number, (photo, view) in enumerate(zip(photos, seen, strict=True)):
        pixels_3HW = network_input(torch.from_numpy(photo).to(detector.device), view.scale)
        batch[number, :, : pixels_3HW.shape[1], : pixels_3HW.shape[2]] = pixels_3HW
    return batch


def _groups(seen: Sequence[ResizedView], at_once: int) -> Iterator[list[int]]:
    """Put photos of one canvas together, ``at_once`` at most."""
    same: dict[tuple[int, int], list[int]] = {}
    for i, view in enumerate(seen):
        same.setdefault(view.canvas, []).append(i)
    for rows in same.values():
        for first in range(0, len(rows), at_once):
            yield rows[first : first + at_once]


def _of_boxes(detector: Detector, maps: Sequence[Tensor], boxes: BoxArray, view: ResizedView) -> Regions:
    x, y = view.stretch
    stretched = torch.tensor(boxes, device=detector.device) * torch.tensor([x, y, x, y], device=detector.device)
    features, logits = describe(pool(maps, stretched, detector.config), detector.layers)
    return Regions(boxes, features.cpu().numpy(), view.width, view.height, logits.softmax(-1).cpu().numpy())


def _of_proposals(
    detector: Detector, maps: Sequence[Tensor], proposals: Tensor, view: ResizedView, max_regions: int
) -> Regions | str:
    if not len(proposals):
        return "no box was found"
    features, logits = describe(pool(maps, proposals, detector.config), detector.layers)
    scores = logits.softmax(-1)
    # Overlap is that of the photo's own pixels, where the pixel that is added to a side is another share of it.
    boxes = proposals / view.scale
    places, _ = select(overlaps(boxes) > MOST_OVERLAP, scores, max_regions)
    kept = torch.from_numpy(places).to(detector.device)
    numbers = (tensor[kept].cpu().numpy() for tensor in (boxes, features, scores))
    return Regions(next(numbers), next(numbers), view.width, view.height, next(numbers))
