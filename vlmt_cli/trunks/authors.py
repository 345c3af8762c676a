"""The authors' tensor names, and ours.

Their released files hold three projections where we hold one, the tied word decoder twice, and tensors that their
code never reads: ``biOutput.q_dense*`` (11,020,800 numbers in the base model), ``linguisic_logit``, and the heads of
tasks beyond the twelve. Reading sorts them out; writing puts them back.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from vlmt_cli.base.errors import DataError
from vlmt_cli.trunks.config import ViLBERTConfig

QKV = ("query", "key", "value")


def _names() -> dict[str, str]:
    """Our modules by theirs; {i} is a layer's number, {qkv} their query, key and value, which we hold as one."""
    names = {
        "trunk.text_embedding.word": "bert.embeddings.word_embeddings",
        "trunk.text_embedding.position": "bert.embeddings.position_embeddings",
        "trunk.text_embedding.segment": "bert.embeddings.token_type_embeddings",
        "trunk.text_embedding.task": "bert.embeddings.task_embeddings",
        "trunk.text_embedding.norm": "bert.embeddings.LayerNorm",
        "trunk.region_embedding.feature": "bert.v_embeddings.image_embeddings",
        "trunk.region_embedding.box": "bert.v_embeddings.image_location_embeddings",
        "trunk.region_embedding.norm": "bert.v_embeddings.LayerNorm",
        "trunk.text_pooler": "bert.t_pooler.dense",
        "trunk.vision_pooler": "bert.v_pooler.dense",
        "pretraining.word_transform": "cls.predictions.transform.dense",
        "pretraining.word_norm": "cls.predictions.transform.LayerNorm",
        "pretraining.region_transform": "cls.imagePredictions.transform.dense",
        "pretraining.region_norm": "cls.imagePredictions.transform.LayerNorm",
        "pretraining.region_classes": "cls.imagePredictions.decoder",
        "pretraining.alignment": "cls.bi_seq_relationship",
        "heads.retrieval": "vil_logit",
        "heads.referring.weight": "vision_logit",
        "heads.snli_ve": "vil_tri_prediction",
    }
    for ours, authors in (("vqa", "vil_prediction"), ("gqa", "vil_prediction_gqa"), ("nlvr2", "vil_binary_prediction")):
        names[f"heads.{ours}.inner"] = f"{authors}.logit_fc.0"
        names[f"heads.{ours}.norm"] = f"{authors}.logit_fc.2"
        names[f"heads.{ours}.outer"] = f"{authors}.logit_fc.3"
    for ours, authors in (("text", "layer"), ("vision", "v_layer")):
        layer, their_layer = f"trunk.{ours}_layers.{{i}}", f"bert.encoder.{authors}.{{i}}"
        names[f"{layer}.qkv"] = f"{their_layer}.attention.self.{{qkv}}"
        names[f"{layer}.out"] = f"{their_layer}.attention.output.dense"
        names[f"{layer}.norm"] = f"{their_layer}.attention.output.LayerNorm"
        names[f"{layer}.feedforward.inner"] = f"{their_layer}.intermediate.dense"
        names[f"{layer}.feedforward.outer"] = f"{their_layer}.output.dense"
        names[f"{layer}.feedforward.norm"] = f"{their_layer}.output.LayerNorm"
    for ours, letter, number in (("vision", "v", 1), ("text", "t", 2)):
        layer, their_layer = f"trunk.co_layers.{{i}}.{ours}", "bert.encoder.c_layer.{i}"
        names[f"{layer}_qkv"] = f"{their_layer}.biattention.{{qkv}}{number}"
        names[f"{layer}_out"] = f"{their_layer}.biOutput.dense{number}"
        names[f"{layer}_norm"] = f"{their_layer}.biOutput.LayerNorm{number}"
        names[f"{layer}_feedforward.inner"] = f"{their_layer}.{letter}_intermediate.dense"
        names[f"{layer}_feedforward.outer"] = f"{their_layer}.{letter}_output.dense"
        names[f"{layer}_feedforward.norm"] = f"{their_layer}.{letter}_output.LayerNorm"
    return names


NAMES = _names()
WORD_BIAS = ("pretraining.word_bias", "cls.predictions.bias")
TIED = ("trunk.text_embedding.word.weight", "cls.predictions.decoder.weight")
# Read by nothing in the authors' code, or by tasks beyond the twelve.
UNREAD = re.compile(r"bert\.encoder\.c_layer\.\d+\.biOutput\.q_dense[12]\..*|linguisic_logit\..*")


def authors_names(ours: str) -> list[str]:
    """Return the authors' name of one of our tensors, or their three names for query, key and value in that order.

    Raises:
        KeyError: they have no such tensor.
    """
    if ours == WORD_BIAS[0]:
        return [WORD_BIAS[1]]
    module, _, kind = ours.rpartition(".")
    number = re.search(r"\.(\d+)\.", module)
    authors_name = NAMES[module if number is None else module.replace(number[0], ".{i}.", 1)]
    authors_name = authors_name.replace("{i}", number[1] if number else "")
    return (
        [f"{authors_name.replace('{qkv}', name)}.{kind}" for name in QKV]
        if "{qkv}" in authors_name
        else [f"{authors_name}.{kind}"]
    )


def from_authors(names: Iterable[str], state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], set[str], set[str]]:
    """Translate the authors' tensors.

    Args:
        names: of our tensors that are wanted.
        state: their state dict, in any of the forms in which it was published (see ``tidy``).

    Returns:
        Our state dict, as far as they have it; the names of theirs that are missing; and of theirs that are left over.
    """
    ours, missing, used = {}, set(), {TIED[1]}
    for name in names:
        parts = authors_names(name)
        used |= set(parts)
        if absent := set(parts) - state.keys():
            missing |= absent
        else:
            ours[name] = torch.cat([state[part] for part in parts]) if len(parts) > 1 else state[parts[0]]
    return ours, missing, set(state) - used


def to_authors(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate our tensors back; the word decoder, which is the word embedding, is named twice as in their files."""
    state: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        parts = authors_names(name)
        state |= dict(zip(parts, tensor.chunk(len(parts)), strict=True))
    if WORD_BIAS[0] in ours:
        state[TIED[1]] = ours[TIED[0]]
    return state


def authors_shapes(ours: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the authors' tensors that our tensors are made of, by their names."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in ours.items():
        parts = authors_names(name)
        shapes |= {part: (tensor.shape[0] // len(parts), *tensor.shape[1:]) for part in parts}
    return shapes


def unread_shapes(config: ViLBERTConfig, with_heads: bool) -> dict[str, tuple[int, ...]]:
    """Return the shapes of their tensors that nothing reads, by their names.

    Args:
        config: the sizes.
        with_heads: whether the model has task heads, among which theirs has one for words.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(len(config.text_placement)):
        for number, width in ((1, config.vision.width), (2, config.text.width)):
            name = f"bert.encoder.c_layer.{layer}.biOutput.q_dense{number}"
            shapes |= {f"{name}.weight": (width, config.co_width), f"{name}.bias": (width,)}
    if with_heads:
        shapes |= {"linguisic_logit.weight": (1, config.text.width), "linguisic_logit.bias": (1,)}
    return shapes


def tidy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo what differs between published files: a ``module.`` before every name, ``gamma`` and ``beta``."""
    renamed = {}
    for name, tensor in state.items():
        while name.startswith("module."):
            name = name.removeprefix("module.")
        name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))
        if name in renamed:
            raise DataError(f"the tensor {name} is there twice, under two names")
        renamed[name] = tensor
    return renamed
