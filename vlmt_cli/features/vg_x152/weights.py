"""The released file of weights: read without running anything, and accepted only when complete.

The authors' own loader takes any file: tensors that the file lacks silently stay random. Here every tensor that
the config asks for must be there in its shape, and what is there besides must be of the attribute head, which takes
part in training only.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.features.tensor_files import (
    AGAIN,
    check_finite,
    only_tensors,
    read_safetensors,
    read_torch_file,
    some,
    unwrapped,
)
from vlmt_cli.features.vg_x152 import winograd
from vlmt_cli.features.vg_x152.config import BESIDE, DetectorConfig, read_config
from vlmt_cli.features.vg_x152.rpn import cell_anchors

BODY, FPN, RPN, BOX = "backbone.body.", "backbone.fpn.", "rpn.", "roi_heads.box."
ATTRIBUTE_HEAD = {
    f"{BOX}predictor.{name}"
    for name in ("cls_embed.weight", "attr_linear1.weight", "attr_linear1.bias", "attr_linear2.weight",
                 "attr_linear2.bias")
}  # fmt: skip
NORM = ("weight", "bias", "running_mean", "running_var")


class Layer(NamedTuple):
    """A convolution or linear layer, the frozen batch norm behind it folded into it."""

    weight: Tensor
    bias: Tensor


class Released(NamedTuple):
    """What the files hold.

    Attributes:
        file: of weights.
        config: from the YAML, or the values that are known.
        config_file: the YAML; None without one.
        tensors: all that the detector needs, by the authors' names.
        surplus: the names of the attribute head's tensors.
    """

    file: Path
    config: DetectorConfig
    config_file: Path | None
    tensors: dict[str, Tensor]
    surplus: tuple[str, ...]


def read_released(path: Path, config_file: Path | None = None) -> Released:
    """Read weights and config, and check that they belong together.

    Args:
        path: ``detectron_model.pth``, or the same tensors as ``.safetensors``.
        config_file: its YAML; else ``detectron_config.yaml`` beside it, else the values that are known.

    Raises:
        DataError: a file is missing, damaged, asks to import something, or is of something else.
    """
    beside = path.with_name(BESIDE)
    if config_file is None and beside.is_file():
        config_file = beside
    config = read_config(config_file) if config_file else DetectorConfig()
    content = read_safetensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    state = only_tensors(unwrapped(content), path)  # a checkpoint has an optimizer and more beside it
    if config.blocks is None:
        config = replace(config, blocks=_count_blocks(state))
    needed = shapes(config)
    _check(state, needed, path, config_file)
    tensors = {name: state[name].detach().float() for name in needed}
    _check_anchors(tensors, config, path, config_file)
    return Released(path, config, config_file, tensors, tuple(sorted(state.keys() & ATTRIBUTE_HEAD)))


def shapes(config: DetectorConfig) -> dict[str, tuple[int, ...]]:
    """Name all tensors that the authors' network has at inference, with their shapes."""
    return dict(_shapes(config))


def _shapes(config: DetectorConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    def norm(name: str, width: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        return ((f"{name}.{part}", (width,)) for part in NORM)

    def layer(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield f"{name}.weight", shape
        yield f"{name}.bias", shape[:1]

    assert config.blocks is not None
    before = config.stem_width
    yield f"{BODY}stem.conv1.weight", (before, 3, 7, 7)
    yield from norm(f"{BODY}stem.bn1", before)
    for stage, blocks in enumerate(config.blocks):
        inner, after = config.groups * config.group_width << stage, config.res2_width << stage
        for block in range(blocks):
            name = f"{BODY}layer{stage + 1}.{block}."
            if before != after:
                yield f"{name}downsample.0.weight", (after, before, 1, 1)
                yield from norm(f"{name}downsample.1", after)
            yield f"{name}conv1.weight", (inner, before, 1, 1)
            yield from norm(f"{name}bn1", inner)
            yield f"{name}conv2.weight", (inner, inner // config.groups, 3, 3)
            yield from norm(f"{name}bn2", inner)
            yield f"{name}conv3.weight", (after, inner, 1, 1)
            yield from norm(f"{name}bn3", after)
            before = after
        yield from layer(f"{FPN}fpn_inner{stage + 1}", config.fpn_width, after, 1, 1)
        yield from layer(f"{FPN}fpn_layer{stage + 1}", config.fpn_width, config.fpn_width, 3, 3)
    anchors = len(config.aspect_ratios)
    for level in range(len(config.anchor_sizes)):
        yield f"{RPN}anchor_generator.cell_anchors.{level}", (anchors, 4)
    yield from layer(f"{RPN}head.conv", config.fpn_width, config.fpn_width, 3, 3)
    yield from layer(f"{RPN}head.cls_logits", anchors, config.fpn_width, 1, 1)
    yield from layer(f"{RPN}head.bbox_pred", 4 * anchors, config.fpn_width, 1, 1)
    width = config.mlp_width
    yield from layer(f"{BOX}feature_extractor.fc6", width, config.fpn_width * config.pool_size**2)
    yield from layer(f"{BOX}feature_extractor.fc7", width, width)
    yield from layer(f"{BOX}predictor.cls_score", config.classes, width)
    yield from layer(f"{BOX}predictor.bbox_pred", 4 * config.classes, width)


def fold(released: Released, device: str, dtype: torch.dtype) -> dict[str, Layer]:
    """Make the layers that run, by the authors' names: convolutions with their norm in them, and no unused head.

    A frozen norm is y = x * k + (bias - mean * k), k = weight / sqrt(var), without an epsilon. All is copied: a view of
    the file would keep it in memory.

    Raises:
        DataError: a weight is NaN or infinite, or a norm divides by zero.
    """
    tensors = released.tensors
    layers = {}
    for name in [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]:
        weight = tensors[f"{name}.weight"]
        if name.startswith(BODY) and weight.ndim == 4:
            norm = name.replace("conv", "bn") if "conv" in name else name.removesuffix("0") + "1"
            scale, shift, mean, variance = (tensors[f"{norm}.{part}"] for part in NORM)
            factor = scale / variance.sqrt()
            layer = Layer(weight * factor[:, None, None, None], shift - mean * factor)
        elif name.endswith("fc6"):  # pooled features come as (bin, bin, C) here, and as (C, bin, bin) there
            by_place = weight.view(len(weight), released.config.fpn_width, -1).transpose(1, 2)
            layer = Layer(by_place.reshape(len(weight), -1), tensors[f"{name}.bias"].clone())
        elif not name.startswith(BODY) and name != f"{BOX}predictor.bbox_pred":
            layer = Layer(weight.clone(), tensors[f"{name}.bias"].clone())
        else:
            continue
        check_finite({f"{name}.{part}": getattr(layer, part) for part in layer._fields}, released.file)
        layers[name] = Layer(*(_placed(tensor, device, dtype) for tensor in layer))
    return layers


def with_winograd(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Give the 3x3 convolutions behind the body the form of ``winograd``, for float32 on a CPU."""
    return {
        name: Layer(winograd.transformed(weight), bias)
        if weight.shape[2:] == (3, 3) and not name.startswith(BODY)
        else Layer(weight, bias)
        for name, (weight, bias) in layers.items()
    }


def digest(tensors: Mapping[str, Tensor]) -> Any:
    """Hash tensors with their names; returns the hash object, to add to."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        hashed.update(f"{name} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.contiguous().numpy().data)
    return hashed


def _placed(tensor: Tensor, device: str, dtype: torch.dtype) -> Tensor:
    return tensor.to(device, dtype, memory_format=torch.channels_last if tensor.ndim == 4 else torch.contiguous_format)


def _check(
    tensors: Mapping[str, Tensor], needed: Mapping[str, tuple[int, ...]], path: Path, config_file: Path | None
) -> None:
    missing = [name for name in needed if name not in tensors]
    unknown = sorted(tensors.keys() - needed.keys() - ATTRIBUTE_HEAD)
    misshapen = [
        f"{name} {list(tensors[name].shape)}, not {list(shape)}"
        for name, shape in needed.items()
        if name in tensors and (tuple(tensors[name].shape) != shape or not tensors[name].is_floating_point())
    ]
    if not (missing or unknown or misshapen):
        return
    kinds = (("missing", missing), ("unknown", unknown), ("of another shape", misshapen))
    what = "; ".join(f"{len(names):,} {kind} ({some(names, 2)})" for kind, names in kinds if names)
    if len(missing) > len(needed) // 2:
        why = f"is not a weights file of this detector, which has {len(needed)} tensors"
        raise DataError(f"{why}: {what}", where=path, todo="give the released detectron_model.pth")
    todo = "give the config that the weights were trained with" if misshapen or unknown else AGAIN
    raise DataError(f"does not fit {config_file or 'the known config'}: {what}", where=path, todo=todo)


def _check_anchors(tensors: Mapping[str, Tensor], config: DetectorConfig, path: Path, config_file: Path | None) -> None:
    for level, (stride, size) in enumerate(zip(config.anchor_strides, config.anchor_sizes, strict=True)):
        wanted = cell_anchors(stride, size, config.aspect_ratios)
        if not torch.equal(tensors[f"{RPN}anchor_generator.cell_anchors.{level}"], wanted):
            what = f"its anchors of level {level} are others than those of {config_file or 'the known config'}"
            raise DataError(what, where=path, todo="give the config that the weights were trained with")


def _count_blocks(tensors: Mapping[str, Tensor]) -> tuple[int, ...]:
    names = [re.match(rf"{re.escape(BODY)}layer([1-4])\.(\d+)\.conv1\.weight$", name) for name in tensors]
    places = [(int(name[1]), int(name[2])) for name in names if name]
    return tuple(max((block + 1 for at, block in places if at == stage), default=1) for stage in (1, 2, 3, 4))
