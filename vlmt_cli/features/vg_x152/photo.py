"""A photo as the network takes it: BGR less the mean, resized as OpenCV does it."""

import torch
from torch import Tensor

from vlmt_cli.features.vg_x152.config import DetectorConfig

MEAN_BGR = (102.9801, 115.9465, 122.7717)
STEP = 32
"""The network's input is a multiple of it a side."""


def scale_of(width: int, height: int, config: DetectorConfig) -> float:
    """Return the factor of a photo's sides: to 800 pixels of the shorter one, but no more than 1,333 of the longer."""
    shorter, longer = sorted((width, height))
    scale = config.shortest / shorter
    return config.longest / longer if round(scale * longer) > config.longest else scale


def resized_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return width and height at a scale, rounded to the nearest, halves to even."""
    # A photo that is a hundred times as long as wide would end with no pixel across.
    return max(1, round(width * scale)), max(1, round(height * scale))


def canvas_side(pixels: int) -> int:
    """Round a side up to what the network takes."""
    return -(-pixels // STEP) * STEP


def network_input(pixels_HW3: Tensor, scale: float) -> Tensor:
    """Resize a photo.

    Where a pixel's value is taken from follows from the factor that was asked for, not from the one that rounding the
    sides left; on sharp edges that makes a difference of tens of grey levels.

    Args:
        pixels_HW3: RGB bytes.
        scale: from ``scale_of``.

    Returns:
        (3, H, W) float32.
    """
    height, width, _ = pixels_HW3.shape
    new_width, new_height = resized_size(width, height, scale)
    top, bottom, down = _taps(height, new_height, scale, pixels_HW3.device)
    left, right, across = _taps(width, new_width, scale, pixels_HW3.device)
    mean = torch.tensor(MEAN_BGR, dtype=torch.float64, device=pixels_HW3.device)

    def row(taps: Tensor) -> Tensor:
        # Bytes are gathered and only then become numbers: a photo may be far larger than what is left of it.
        taken = pixels_HW3.index_select(0, taps)
        near, far = ((taken.index_select(1, columns).flip(-1) - mean).float() for columns in (left, right))
        return near * (1 - across[:, None]) + far * across[:, None]

    resized_HW3 = row(top) * (1 - down[:, None, None]) + row(bottom) * down[:, None, None]
    return resized_HW3.permute(2, 0, 1)


def _taps(size: int, new_size: int, scale: float, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the two pixels of an axis that each new one lies between, and how far it is from the first."""
    at = (torch.arange(new_size, dtype=torch.float64) + 0.5) / scale - 0.5
    at = at.clamp(0, size - 1)
    low = at.floor()
    share = (at - low).float()
    near = low.to(torch.int64)
    return near.to(device), (near + 1).clamp(max=size - 1).to(device), share.to(device)
