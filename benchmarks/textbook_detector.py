"""The paper's detector as its description reads, one plain step after another, to compare with.

Nothing is folded, transformed or vectorised over boxes and classes: batch norms stand behind their convolutions, NMS
is a loop over boxes and another over classes, RoIAlign a loop over boxes and samples. Only convolutions, linear
layers and pooling are PyTorch's.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vlmt_cli.features.vg_x152.config import DetectorConfig
from vlmt_cli.features.vg_x152.weights import shapes

Array = np.ndarray


def random_tensors(config: DetectorConfig, seed: int = 0) -> dict[str, Tensor]:
    """Draw weights under the authors' names, with which values stay of one size from layer to layer."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in shapes(config).items():
        if "cell_anchors" in name:
            level = int(name[-1])
            cell = anchors(config.anchor_strides[level], config.anchor_sizes[level], config.aspect_ratios, 1, 1)
            tensors[name] = torch.from_numpy(cell).float()
        elif name.endswith("running_var"):
            tensors[name] = torch.rand(shape, generator=generator) + 0.5
        elif len(shape) == 1:
            spread = torch.rand(shape, generator=generator)
            is_branch = name.endswith("bn3.weight")  # whose outputs add up over the blocks
            tensors[name] = (spread + 0.5) * (0.1 if is_branch else 1) if name.endswith("weight") else spread * 0.2
        else:
            sizes = {"stem": 1 / 60, "fpn": 0.5, "bbox_pred": 0.1, "cls_logits": 0.5, "cls_score": 0.3}
            size = next((size for part, size in sizes.items() if part in name), 1)
            tensors[name] = torch.randn(shape, generator=generator) * size * math.sqrt(2 / math.prod(shape[1:]))
    return tensors


class TextbookDetector:
    """The network of a config and of tensors under the authors' names."""

    def __init__(self, config: DetectorConfig, tensors: Mapping[str, Tensor]) -> None:
        self.config, self.tensors = config, tensors

    def maps(self, pixels_13HW: Tensor) -> list[Tensor]:
        """Return P2 to P6."""
        x = F.max_pool2d(self._conv_norm(pixels_13HW, "stem.conv1", "stem.bn1", 2, 3).relu(), 3, 2, 1)
        stages = []
        for stage, blocks in enumerate(self.config.blocks, 1):
            for block in range(blocks):
                x = self._bottleneck(x, f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1)
            stages.append(x)
        inner = [self._layer(one, f"backbone.fpn.fpn_inner{n}", 0) for n, one in enumerate(stages, 1)]
        for n in (2, 1, 0):
            inner[n] = inner[n] + inner[n + 1].repeat_interleave(2, 2).repeat_interleave(2, 3)
        maps = [self._layer(one, f"backbone.fpn.fpn_layer{n}", 1) for n, one in enumerate(inner, 1)]
        return [*maps, F.max_pool2d(maps[-1], 1, 2)]

    def proposals(self, maps: Sequence[Tensor], width: int, height: int) -> tuple[Array, Array]:
        """Return boxes and objectness, best first."""
        config, boxes, scores = self.config, [], []
        for one, stride, size in zip(maps, config.anchor_strides, config.anchor_sizes, strict=True):
            hidden = self._layer(one, "rpn.head.conv", 1).relu()
            logits = self._layer(hidden, "rpn.head.cls_logits", 0)[0]
            deltas = self._layer(hidden, "rpn.head.bbox_pred", 0)[0].numpy()
            kinds, rows, columns = logits.shape
            score = logits.sigmoid().numpy().transpose(1, 2, 0).ravel()
            delta = deltas.reshape(kinds, 4, rows, columns).transpose(2, 3, 0, 1).reshape(-1, 4)
            best = np.argsort(-score, kind="stable")[: config.before_nms]
            box = moved(anchors(stride, size, config.aspect_ratios, rows, columns)[best], delta[best])
            box = np.clip(box, 0, np.array([width - 1, height - 1] * 2)).astype(np.float32)
            is_large = (box[:, 2:] - box[:, :2] + 1 >= config.smallest).all(1)
            box, score = box[is_large], score[best][is_large]
            kept = nms(box, score, config.rpn_overlap)[: config.after_nms]
            boxes.append(box[kept])
            scores.append(score[kept])
        score = np.concatenate(scores)
        best = np.argsort(-score, kind="stable")[: config.proposals]
        return np.concatenate(boxes)[best], score[best]

    def pooled(self, maps: Sequence[Tensor], boxes: Array) -> Tensor:
        """Return (R, C, bins, bins)."""
        config = self.config
        first, last = (round(-math.log2(config.pool_scales[at])) for at in (0, -1))
        result = []
        for box in boxes:
            size = math.sqrt((box[2] - box[0] + 1) * (box[3] - box[1] + 1))
            level = min(max(math.floor(4 + math.log2(size / 224 + 1e-6)), first), last) - first
            one = maps[level][0].numpy()
            result.append(roi_align(one, box, config.pool_scales[level], config.pool_size, config.pool_samples))
        return torch.from_numpy(np.stack(result)).float()

    def describe(self, pooled: Tensor) -> tuple[Array, Array]:
        """Return features and class probabilities."""
        features = self._linear(pooled.flatten(1), "feature_extractor.fc6").relu()
        hidden = self._linear(features, "feature_extractor.fc7").relu()
        return features.numpy(), self._linear(hidden, "predictor.cls_score").softmax(1).numpy()

    def _bottleneck(self, x: Tensor, name: str, stride: int) -> Tensor:
        strides = (stride, 1) if self.config.stride_in_1x1 else (1, stride)
        y = self._conv_norm(x, f"{name}.conv1", f"{name}.bn1", strides[0], 0).relu()
        y = self._conv_norm(y, f"{name}.conv2", f"{name}.bn2", strides[1], 1, self.config.groups).relu()
        y = self._conv_norm(y, f"{name}.conv3", f"{name}.bn3", 1, 0)
        if f"backbone.body.{name}.downsample.0.weight" in self.tensors:
            x = self._conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride, 0)
        return (x + y).relu()

    def _conv_norm(self, x: Tensor, conv: str, norm: str, stride: int, padding: int, groups: int = 1) -> Tensor:
        x = F.conv2d(x, self.tensors[f"backbone.body.{conv}.weight"], None, stride, padding, 1, groups)
        weight, bias, mean, variance = (
            self.tensors[f"backbone.body.{norm}.{part}"].view(-1, 1, 1)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / variance.sqrt() * weight + bias

    def _layer(self, x: Tensor, name: str, padding: int) -> Tensor:
        return F.conv2d(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], 1, padding)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, *(self.tensors[f"roi_heads.box.{name}.{part}"] for part in ("weight", "bias")))


def anchors(stride: int, size: int, ratios: Sequence[float], rows: int, columns: int) -> Array:
    """Return (rows * columns * ratios, 4)."""
    found = []
    for y in range(rows):
        for x in range(columns):
            for ratio in ratios:
                width = round(stride / math.sqrt(ratio))
                half = np.array([width, round(width * ratio)]) * size / stride / 2 - 0.5
                centre = np.array([x, y]) * stride + (stride - 1) / 2
                found.append(np.concatenate([centre - half, centre + half]))
    return np.array(found)


def moved(boxes: Array, deltas: Array) -> Array:
    """Apply deltas to boxes."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    centre = boxes[:, :2] + sides / 2 + deltas[:, :2] * sides
    sides = np.exp(np.minimum(deltas[:, 2:], math.log(1000 / 16))) * sides
    return np.concatenate([centre - sides / 2, centre + sides / 2 - 1], 1)


def overlap(box: Array, boxes: Array) -> Array:
    """Return the IoU of a box with others."""
    shared = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]) + 1
    shared = np.maximum(shared, 0).prod(1)
    areas = [(some[:, 2:] - some[:, :2] + 1).prod(1) for some in (box[None], boxes)]
    return shared / (areas[0] + areas[1] - shared)


def nms(boxes: Array, scores: Array, most: float) -> Array:
    """Return the places of the survivors, rising."""
    waiting, kept = np.argsort(-scores, kind="stable"), []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        waiting = waiting[overlap(boxes[best], boxes[waiting]) <= most]
    return np.sort(np.array(kept, np.int64))


def select(boxes: Array, scores: Array, most: int, first_class: int = 1, threshold: float = 0) -> tuple[Array, Array]:
    """Return the places of the boxes that classes are surest of, and how sure."""
    sure = np.zeros(len(boxes), np.float32)
    for kind in range(first_class, scores.shape[1]):
        kept = nms(boxes, scores[:, kind], 0.5)
        kept = kept[scores[kept, kind] > threshold]
        sure[kept] = np.maximum(sure[kept], scores[kept, kind])
    best = np.argsort(-sure, kind="stable")[:most]
    return best, sure[best]


def roi_align(one: Array, box: Array, scale: float, bins: int, samples: int) -> Array:
    """Return (C, bins, bins)."""
    channels, height, width = one.shape
    x1, y1, x2, y2 = (float(value) * scale for value in box)
    step_x, step_y = max(x2 - x1, 1) / bins, max(y2 - y1, 1) / bins
    result = np.zeros((channels, bins, bins))
    for row in range(bins * samples):
        for column in range(bins * samples):
            y, x = y1 + (row + 0.5) / samples * step_y, x1 + (column + 0.5) / samples * step_x
            if -1 <= y <= height and -1 <= x <= width:
                value = bilinear(one, y, x)
                result[:, row // samples, column // samples] += value / samples**2
    return result


def bilinear(one: Array, y: float, x: float) -> Array:
    """Return a map's value between pixels, (C,)."""
    y, x = (min(max(at, 0), size - 1) for at, size in zip((y, x), one.shape[1:], strict=True))
    top, left = int(y), int(x)
    bottom, right = min(top + 1, one.shape[1] - 1), min(left + 1, one.shape[2] - 1)
    down, across = y - top, x - left
    upper = one[:, top, left] * (1 - across) + one[:, top, right] * across
    lower = one[:, bottom, left] * (1 - across) + one[:, bottom, right] * across
    return upper * (1 - down) + lower * down
