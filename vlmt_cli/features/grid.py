"""Regions without a detector: the cells of a grid over the photo, or a backbone's own patches.

Grid features serve VQA about as well as a detector's regions, where the backbone is good (Jiang et al., 2020, "In
Defense of Grid Features for Visual Question Answering"). A cell of a backbone's map is the mean of the patches in it,
and a patch on the border of cells counts for each by its share.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.features import backbone as backbones
from vlmt_cli.features.extractor import Extractor, Photo
from vlmt_cli.features.networks import Network, run_network
from vlmt_cli.features.pixels import Picture, pixels_extractor
from vlmt_cli.features.record import Regions

PATCHES = 0
"""In place of a grid's side: that of the backbone's own map."""


def cells(width: int, height: int, side: int) -> BoxArray:
    """Cut a photo into ``side`` x ``side`` equal cells, row by row: (side^2, 4), ``[x1, y1, x2, y2]`` in pixels."""
    x, y = (np.arange(side + 1) * length / side for length in (width, height))
    row, column = np.divmod(np.arange(side * side), side)
    return np.stack([x[column], y[row], x[column + 1], y[row + 1]], axis=1).astype(np.float32)


def cell_means(map_FHW: Tensor, side: int) -> Tensor:
    """Average a map over the cells of a grid, row by row: (side^2, F)."""
    _, height, width = map_FHW.shape
    rows_SH, columns_SW = (_parts(patches, side).to(map_FHW) for patches in (height, width))
    return (rows_SH @ map_FHW @ columns_SW.T).flatten(1).T.contiguous()


def _parts(patches: int, side: int) -> Tensor:
    """Return the part that each of P patches in a row has in the mean of each of S cells, (S, P)."""
    cell, patch = torch.arange(side)[:, None], torch.arange(patches)
    # In units of a patch's S-th part, which is a cell's P-th part: whole numbers.
    end = torch.minimum((cell + 1) * patches, (patch + 1) * side)
    return (end - torch.maximum(cell * patches, patch * side)).clamp(min=0) / patches


def backbone_grid(device: str, backbone: str = backbones.DEFAULT, side: int = PATCHES, batch: int = 1) -> Extractor:
    """Load a backbone, whose map is cut into cells.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        backbone: hub id or folder.
        side: cells a row and column; ``PATCHES`` for the backbone's own.
        batch: photos at once on a GPU; a CPU takes one by one.

    Raises:
        DataError: the backbone cannot be had, or gives no map of patches.
    """
    network = backbones.load_backbone(backbone, device)
    together = 1 if network.device.type == "cpu" else batch
    pixels = backbones.side(network)
    black = _maps(network, 1, [np.zeros((3, pixels, pixels), np.uint8)])[0]
    return Extractor(
        name=f"{_named(side)}+{network.name}",
        hash=f"{network.hash}-{_named(side)}",
        feature_width=black.shape[0],
        classes=0,
        prepare=partial(_prepare, network.processor, pixels),
        regions=partial(_regions, network, together, side or black.shape[1]),
        cells=side or black.shape[1],
    )


def pixels_grid(clusters: NDArray[np.float32], side: int, device: str = "cpu") -> Extractor:
    """Make the ``pixels`` extractor with the cells of a grid in place of its proposals."""
    extractor = pixels_extractor(clusters, device)

    def regions(pictures: Sequence[Picture], given: Sequence[BoxArray | None]) -> list[Regions | str]:
        return extractor.regions(pictures, [cells(mask.shape[1], mask.shape[0], side) for _, mask in pictures])

    return replace(
        extractor,
        name=f"{extractor.name}-{_named(side)}",
        hash=f"{extractor.hash}.{_named(side)}",
        regions=regions,
        cells=side,
    )


def side_of(name: str) -> int | None:
    """Read the grid's side from the name of an extractor; None where it finds or takes boxes."""
    if name.startswith("patches+"):
        return PATCHES
    found = re.match(r"(?:pixels-)?grid:(\d+)(?:\+|$)", name)
    return int(found[1]) if found else None


def _named(side: int) -> str:
    return f"grid:{side}" if side else "patches"


def _prepare(processor: Any, pixels: int, image: Image.Image) -> Photo:
    return Photo(image.size, None, backbones.squeeze(processor, pixels, image))


def _maps(network: Network, together: int, pixels: Sequence[Any]) -> list[Tensor]:
    return run_network(network, pixels, together, lambda pixels_B3SS: backbones.patch_maps(network, pixels_B3SS))


def _regions(
    network: Network, together: int, side: int, photos: Sequence[Photo], given: Sequence[BoxArray | None]
) -> list[Regions | str]:
    maps = _maps(network, together, [photo.for_backbone for photo in photos])
    return [
        Regions(cells(*photo.size, side), cell_means(map_FHW, side).cpu().numpy(), *photo.size)
        for photo, map_FHW in zip(photos, maps, strict=True)
    ]
