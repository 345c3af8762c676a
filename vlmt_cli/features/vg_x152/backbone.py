"""ResNeXt-152 32x8d (Xie et al., 2017) with a feature pyramid (Lin et al., 2017), and the maps that proposals need."""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor

from vlmt_cli.features.vg_x152 import winograd
from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.weights import BODY, FPN, RPN, Layer

Layers = Mapping[str, Layer]


def body(pixels_B3HW: Tensor, layers: Layers, config: DetectorConfig) -> list[Tensor]:
    """Return the outputs of the four stages, of 1/4, 1/8, 1/16 and 1/32 of the input's sides."""
    assert config.blocks is not None
    x = F.conv2d(pixels_B3HW, *layers[f"{BODY}stem.conv1"], stride=2, padding=3).relu_()
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    outputs = []
    for stage, blocks in enumerate(config.blocks, 1):
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _bottleneck(x, layers, f"{BODY}layer{stage}.{block}.", stride, config)
        outputs.append(x)
    return outputs


def pyramid(stages: Sequence[Tensor], layers: Layers) -> list[Tensor]:
    """Return the maps P2 to P6, all of ``fpn_width`` channels."""
    maps: list[Tensor] = []
    top: Tensor | None = None
    for number, stage in reversed(list(enumerate(stages, 1))):
        inner = F.conv2d(stage, *layers[f"{FPN}fpn_inner{number}"])
        if top is not None:
            inner += F.interpolate(top, scale_factor=2, mode="nearest")
        top = inner
        maps.insert(0, _conv3x3(inner, layers[f"{FPN}fpn_layer{number}"]))
    return [*maps, maps[-1][:, :, ::2, ::2]]


def objectness(maps: Sequence[Tensor], layers: Layers) -> tuple[list[Tensor], list[Tensor]]:
    """Return for each map the logits that an anchor holds an object, (B, A, H, W), and its deltas, (B, 4 * A, H, W)."""
    logits, deltas = [], []
    for feature_map in maps:
        hidden = _conv3x3(feature_map, layers[f"{RPN}head.conv"]).relu_()
        logits.append(F.conv2d(hidden, *layers[f"{RPN}head.cls_logits"]))
        deltas.append(F.conv2d(hidden, *layers[f"{RPN}head.bbox_pred"]))
    return logits, deltas


def _conv3x3(x: Tensor, layer: Layer) -> Tensor:
    is_transformed = layer.weight.ndim == 3
    return winograd.convolve(x, *layer) if is_transformed else F.conv2d(x, *layer, padding=1)


def _bottleneck(x: Tensor, layers: Layers, name: str, stride: int, config: DetectorConfig) -> Tensor:
    first, second = (stride, 1) if config.stride_in_1x1 else (1, stride)
    y = F.conv2d(x, *layers[f"{name}conv1"], stride=first).relu_()
    y = F.conv2d(y, *layers[f"{name}conv2"], stride=second, padding=1, groups=config.groups).relu_()
    y = F.conv2d(y, *layers[f"{name}conv3"])
    if f"{name}downsample.0" in layers:
        x = F.conv2d(x, *layers[f"{name}downsample.0"], stride=stride)
    y += x
    return y.relu_()
