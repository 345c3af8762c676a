"""What the detector is built with: the authors' YAML, or the known values."""

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmt_cli.base.documents import read_yaml
from vlmt_cli.base.errors import DataError

BESIDE = "detectron_config.yaml"
"""The name of the released config, looked for beside the weights."""

BODIES = {"R-50-FPN": (3, 4, 6, 3), "R-101-FPN": (3, 4, 23, 3), "R-152-FPN": (3, 8, 36, 3)}


@dataclass(frozen=True)
class DetectorConfig:
    """The detector's sizes; by default those of ``e2e_faster_rcnn_X-152-32x8d-FPN_1x_MLP_2048_FPN_512``.

    Attributes:
        blocks: bottlenecks of the four stages; None where they are counted in the weights.
        groups, group_width: of the first stage's 3x3 convolutions; the width doubles with every stage.
        stem_width, res2_width: channels of the stem, and of the first stage's output.
        stride_in_1x1: whether a bottleneck's stride sits in its first convolution instead of in its 3x3.
        fpn_width: channels of P2 to P6.
        anchor_strides, anchor_sizes: pixels, one for each of P2 to P6; aspect_ratios are height by width.
        before_nms, after_nms: proposals of a level; proposals of a photo.
        rpn_overlap: IoU above which the better of two proposals suppresses the other.
        smallest: pixels a side below which a proposal is dropped.
        pool_size, pool_scales, pool_samples: RoIAlign's bins a side, the scales of the maps that it takes, from P2
            on, and samples a side of a bin.
        mlp_width: features.
        classes: class 0, the background, included.
        shortest, longest: pixels that a photo's sides are resized to. Like the pixel means, these are of the authors'
            script, which does not read ``INPUT`` of the YAML.
    """

    blocks: tuple[int, ...] | None = BODIES["R-152-FPN"]
    groups: int = 32
    group_width: int = 8
    stem_width: int = 64
    res2_width: int = 256
    stride_in_1x1: bool = False
    fpn_width: int = 512
    anchor_strides: tuple[int, ...] = (4, 8, 16, 32, 64)
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    aspect_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    before_nms: int = 1000
    after_nms: int = 1000
    proposals: int = 1000
    rpn_overlap: float = 0.7
    smallest: float = 0
    pool_size: int = 7
    pool_scales: tuple[float, ...] = (1 / 4, 1 / 8, 1 / 16, 1 / 32)
    pool_samples: int = 2
    mlp_width: int = 2048
    classes: int = 1601
    shortest: int = 800
    longest: int = 1333


# A key of the YAML: what it is here, and what the authors' code takes where the YAML leaves it out.
KEYS: dict[str, tuple[str, Any]] = {
    "RESNETS.NUM_GROUPS": ("groups", 1),
    "RESNETS.WIDTH_PER_GROUP": ("group_width", 64),
    "RESNETS.STEM_OUT_CHANNELS": ("stem_width", 64),
    "RESNETS.RES2_OUT_CHANNELS": ("res2_width", 256),
    "RESNETS.STRIDE_IN_1X1": ("stride_in_1x1", True),
    "BACKBONE.OUT_CHANNELS": ("fpn_width", 1024),
    "RPN.ANCHOR_STRIDE": ("anchor_strides", (16,)),
    "RPN.ANCHOR_SIZES": ("anchor_sizes", (32, 64, 128, 256, 512)),
    "RPN.ASPECT_RATIOS": ("aspect_ratios", (0.5, 1.0, 2.0)),
    "RPN.PRE_NMS_TOP_N_TEST": ("before_nms", 6000),
    "RPN.POST_NMS_TOP_N_TEST": ("after_nms", 1000),
    "RPN.FPN_POST_NMS_TOP_N_TEST": ("proposals", 2000),
    "RPN.NMS_THRESH": ("rpn_overlap", 0.7),
    "RPN.MIN_SIZE": ("smallest", 0),
    "ROI_BOX_HEAD.POOLER_RESOLUTION": ("pool_size", 14),
    "ROI_BOX_HEAD.POOLER_SCALES": ("pool_scales", (1 / 16,)),
    "ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": ("pool_samples", 0),
    "ROI_BOX_HEAD.MLP_HEAD_DIM": ("mlp_width", 1024),
    "ROI_BOX_HEAD.NUM_CLASSES": ("classes", 81),
}

# What this detector is; the YAML of another one says something else, or leaves it to other defaults.
KIND: dict[str, tuple[Any, Any]] = {
    "META_ARCHITECTURE": ("GeneralizedRCNN", "GeneralizedRCNN"),
    "RPN.USE_FPN": (True, False),
    "ROI_HEADS.USE_FPN": (True, False),
    "ROI_BOX_HEAD.FEATURE_EXTRACTOR": ("FPN2MLPFeatureExtractor", "ResNet50Conv5ROIFeatureExtractor"),
    "ROI_BOX_HEAD.PREDICTOR": ("FPNPredictor", "FastRCNNPredictor"),
    "RPN.RPN_HEAD": ("SingleConvRPNHead", "SingleConvRPNHead"),
    "RPN_ONLY": (False, False),
    "MASK_ON": (False, False),
}


def read_config(path: Path) -> DetectorConfig:
    """Read the authors' YAML. What it leaves out has the value that their code gives it.

    Raises:
        DataError: it cannot be read, is of another detector, or holds a value of another kind.
    """
    try:
        content = read_yaml(path)
    except FileNotFoundError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error
    model = content.get("MODEL") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise DataError("has no section MODEL, as a config of maskrcnn-benchmark has", where=path)
    for key, (wanted, default) in KIND.items():
        if (value := _value(model, key, default)) != wanted:
            raise DataError(f"MODEL.{key} is {value}; this detector has {wanted}", where=path)
    body = str(_value(model, "BACKBONE.CONV_BODY", "R-50-C4"))
    if not body.endswith("-FPN"):
        raise DataError(f"MODEL.BACKBONE.CONV_BODY is {body}; this detector has R-152-FPN", where=path)
    values = {
        name: _as_kind(_value(model, key, default), default, f"MODEL.{key}", path)
        for key, (name, default) in KEYS.items()
    }
    config = DetectorConfig(blocks=BODIES.get(body), **values)
    if wrong := _problem(config):
        raise DataError(wrong, where=path)
    return config


def _value(model: Mapping[str, Any], key: str, default: Any) -> Any:
    """Look a key up; ``(4, 8)`` is text for YAML, and a tuple for the authors' code."""
    value: Any = model
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    if isinstance(value, str):
        try:
            return ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            return value
    return value


def _as_kind(value: Any, default: Any, key: str, path: Path) -> Any:
    if isinstance(default, tuple):
        values = value if isinstance(value, list | tuple) else ()
        if values and all(_is_number(value) and value > 0 for value in values):
            return tuple(values)
        raise DataError(f"{key} is {value!r}, not positive numbers such as {default}", where=path)
    is_right = isinstance(value, bool) if isinstance(default, bool) else _is_number(value) and value >= 0
    if not is_right or (type(default) is int and type(value) is not int):
        raise DataError(f"{key} is {value!r}, not of the kind of {default}", where=path)
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _problem(config: DetectorConfig) -> str | None:
    """Say which values cannot go together, or None."""
    if len(config.anchor_strides) != 5 or len(config.anchor_sizes) != 5:
        return "RPN.ANCHOR_STRIDE and ANCHOR_SIZES must name one number for each of P2 to P6"
    if len(config.pool_scales) > 5 or any(not math.log2(scale).is_integer() for scale in config.pool_scales):
        return "ROI_BOX_HEAD.POOLER_SCALES must be powers of two, for maps from P2 on"
    for key, (name, default) in KEYS.items():
        if type(default) is int and name != "smallest" and getattr(config, name) < 1:
            return f"MODEL.{key} is {getattr(config, name)}, and must be at least 1"
    return None
