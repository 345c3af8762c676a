"""3x3 convolutions with a quarter of the multiplications, for a CPU (Winograd, 1980; Lavin and Gray, 2016).

Two fifths of the detector's work is 3x3 convolutions of 512 to 512 channels, and a CPU does them no faster than its
multipliers allow. F(4x4, 3x3) computes tiles of 4x4 outputs from tiles of 6x6 inputs with 36 multiplications a channel
instead of 144. The rounding error is about twice that of the plain sum, some 1e-6 of the values. Every step is a
product of matrices: of tiles by a fixed matrix, of channels by weights, of products by a fixed matrix.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_INPUT = torch.tensor([
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
], dtype=torch.float64)  # fmt: skip
_KERNEL = torch.tensor([
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
], dtype=torch.float64)  # fmt: skip
_OUTPUT = torch.tensor([
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
], dtype=torch.float64)  # fmt: skip
# Of a whole tile, rows and columns at once.
_INPUT_TILE, _KERNEL_TILE, _OUTPUT_TILE = (torch.kron(one, one) for one in (_INPUT, _KERNEL, _OUTPUT))
_SIDE, _STEP = 6, 4
_TILES = 256  # at a time, so that what is between the products stays in the cache


def transformed(weight_OI33: Tensor) -> Tensor:
    """Transform a convolution's weights, (36, I, O)."""
    kernels_K9 = weight_OI33.double().flatten(2).flatten(0, 1)
    return (_KERNEL_TILE @ kernels_K9.T).view(-1, *weight_OI33.shape[:2]).transpose(1, 2).float().contiguous()


def convolve(x_BIHW: Tensor, weight_PIO: Tensor, bias_O: Tensor) -> Tensor:
    """Convolve with stride 1 and one pixel of padding, as ``conv2d(x, weight, bias, padding=1)`` does.

    Args:
        x_BIHW: float32 on the CPU; best where it lies in memory as (B, H, W, I).
        weight_PIO: from ``transformed``.
        bias_O: the bias.

    Returns:
        (B, O, H, W), which lies in memory as (B, H, W, O).
    """
    batch, _, height, width = x_BIHW.shape
    down, across = -(-height // _STEP), -(-width // _STEP)
    tiles_BHTWTO = x_BIHW.new_empty(batch, down, _STEP, across, _STEP, len(bias_O))
    for x_HWI, tiles_HTWTO in zip(x_BIHW.permute(0, 2, 3, 1), tiles_BHTWTO, strict=True):
        _convolve_one(x_HWI, weight_PIO, tiles_HTWTO)
    whole = tiles_BHTWTO.add_(bias_O).view(batch, down * _STEP, across * _STEP, len(bias_O))
    return whole[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def _convolve_one(x_HWI: Tensor, weight_PIO: Tensor, tiles_HTWTO: Tensor) -> None:
    """Write whole tiles, of which the last ones reach beyond the map."""
    height, width, channels = x_HWI.shape
    down, _, across, _, _ = tiles_HTWTO.shape
    at_once = max(1, _TILES // across)
    for first in range(0, down, at_once):
        rows = min(at_once, down - first)
        begin, end = first * _STEP - 1, (first + rows) * _STEP + 1
        beyond = (0, 0, 1, across * _STEP + 1 - width, max(0, -begin), max(0, end - height))
        strip = F.pad(x_HWI[max(0, begin) : end], beyond)
        inputs = strip.unfold(0, _SIDE, _STEP).unfold(1, _SIDE, _STEP).permute(3, 4, 0, 1, 2)
        points = _INPUT_TILE.float() @ inputs.reshape(_SIDE**2, -1)
        products = torch.bmm(points.view(_SIDE**2, -1, channels), weight_PIO)
        outputs = _OUTPUT_TILE.float() @ products.view(_SIDE**2, -1)
        tiles_HTWTO[first : first + rows] = outputs.view(_STEP, _STEP, rows, across, -1).permute(2, 0, 3, 1, 4)
