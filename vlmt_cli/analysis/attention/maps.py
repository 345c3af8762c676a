"""Attention between words and regions (section 8.10, figures 10 to 13): every attention map of one text and one image.

A map is (queries, keys): each of its rows is a distribution over the keys. Four kinds, by what asks and what it
asks: within the text, from text to image, from image to text, within the image. Layers and heads count from 0, as in
figure 11 and in the names of the weights.

Shapes: T tokens, CLS first and the task token after it; V regions, IMG first; F region features.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.features.reader import relative
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.referring import head as referring
from vlmt_cli.trunks.config import TrunkConfig
from vlmt_cli.trunks.encoded import Maps, encode

Floats = NDArray[np.float32]

KINDS = ("text-text", "text-image", "image-text", "image-image")
IMG = "[IMG]"
_SPECIAL = re.compile(r"\[.+\]")  # BERT's tokenizer parts brackets from words, so that no word looks like this


@dataclass(frozen=True)
class Attention:
    """All attention maps of one text and one image.

    Attributes:
        tokens: T names, such as ``[CLS]``, ``[TASK vqa]``, ``dog``, ``##s``, ``[SEP]``.
        regions: V names, ``[IMG]`` first.
        boxes_V4: [x1, y1, x2, y2] in pixels; IMG's is the whole image.
        width, height: of the image, in pixels.
        maps: by kind, (layers, heads, queries, keys), over real places alone; every row sums to one. Where words and
            regions are a single stream, a row is the shares among the words, or among the regions, alone.
        referred: the region that the referring head would choose, a row of ``boxes_V4``; None without that head.
        single_stream: the name of a trunk without co-attention; None of others.
    """

    tokens: tuple[str, ...]
    regions: tuple[str, ...]
    boxes_V4: Floats
    width: int
    height: int
    maps: dict[str, Floats]
    referred: int | None = None
    single_stream: str | None = None

    def names(self, stream: str) -> tuple[str, ...]:
        """Return what stands at the places of ``text`` or ``image``."""
        return self.tokens if stream == "text" else self.regions

    def map(self, kind: str, layer: int | None = None, head: int | None = None) -> Floats:
        """Return one map, (queries, keys), averaged over layers, heads or both where none is named.

        A negative number counts from the last, which differs between kinds.

        Raises:
            UsageError: there is no such kind, layer or head.
        """
        if kind not in self.maps:
            raise UsageError(f"there are no maps {kind!r}", todo=f"choose one of {', '.join(self.maps)}")
        maps = self.maps[kind]
        if not len(maps):
            raise UsageError(f"the model has no {kind} attention")
        for name, number, count in (("layer", layer, maps.shape[0]), ("head", head, maps.shape[1])):
            if number is not None and not -count <= number < count:
                raise UsageError(f"{kind} attention has no {name} {number}", todo=f"choose 0 to {count - 1}")
        chosen = maps if layer is None else maps[layer][None]
        chosen = chosen if head is None else chosen[:, head][:, None]
        mean: Floats = chosen.mean((0, 1), dtype=np.float64).astype(np.float32)
        return mean


def attention_of(
    model: MultiTaskModel,
    *,
    tokens: Sequence[str],
    ids: Sequence[int],
    task: tuple[str, int] | None,
    features_VF: Tensor,
    pixels_V4: Tensor,
    labels: Sequence[str] | None = None,
) -> Attention:
    """Run a model on one text and one image, and keep its attention maps.

    Args:
        model: in evaluation mode, on any device.
        tokens, ids: the text's tokens and their numbers, CLS and SEP included, without task token and padding.
        task: the name and number of the task token after CLS; None for none, as in pre-training. A model without
            task tokens leaves it out.
        features_VF, pixels_V4: regions and their boxes as ``RegionReader`` gives them, without padding: IMG first,
            whose box is the image.
        labels: names of the regions after IMG; ``region 1`` and so on by default.

    Raises:
        UsageError: the text is longer than the model takes, or the trunk has no attention.
        DataError: features or boxes do not fit the model or each other, or a token is none that it knows.
    """
    assert not model.training, "dropout would blur the maps"
    assert len(tokens) == len(ids), "every token has a number"
    labels = [f"region {n}" for n in range(1, len(pixels_V4))] if labels is None else labels
    assert len(labels) == len(pixels_V4) - 1, "every region has a label"
    _check(model.config.trunk, ids, task, features_VF, pixels_V4)

    device = next(model.parameters()).device
    tokens_BT = torch.tensor([list(ids)], device=device)
    pixels_BV4 = pixels_V4[None].to(device, torch.float32)
    with torch.inference_mode():
        encoded = encode(
            model.trunk,
            tokens_BT,
            torch.ones_like(tokens_BT),
            features_VF[None].to(device, torch.float32),
            relative(pixels_BV4, pixels_BV4[:, 0, 2:]),
            torch.ones(1, len(pixels_V4), dtype=torch.bool, device=device),
            None if task is None else torch.tensor([task[1]], device=device),
            return_attention=True,
        )
        referred = None
        if "referring" in model.heads and labels:
            referred = int(referring.options(model.read("referring", encoded), {}).argmax())

    names = list(tokens)
    if task is not None and model.config.trunk.task_tokens:
        names.insert(1, f"[TASK {task[0]}]")
    if encoded.maps is None:
        raise UsageError(f"{model.config.trunk.kind} has no attention maps", todo="look at a run of another trunk")
    maps, is_single = cut(encoded.maps, 0, len(names), len(pixels_V4)), not model.trunk.parts
    if is_single:
        maps = {kind: shares / shares.sum(-1, keepdims=True) for kind, shares in maps.items()}
    return Attention(
        tokens=tuple(names),
        regions=(IMG, *labels),
        boxes_V4=pixels_BV4[0].cpu().numpy(),
        width=round(float(pixels_V4[0, 2])),
        height=round(float(pixels_V4[0, 3])),
        maps=maps,
        referred=referred,
        single_stream=model.config.trunk.kind if is_single else None,
    )


def cut(maps: Maps, row: int, tokens: int, regions: int) -> dict[str, Floats]:
    """Take one example's maps, without its padding, out of those of a batch.

    Args:
        maps: of a batch.
        row: which example.
        tokens, regions: how many of its places are real, T and V.

    Returns:
        By kind, (layers, heads, queries, keys).
    """
    lengths = {"text": tokens, "image": regions}
    cuts = {}
    for kind in KINDS:
        queries, keys = (lengths[stream] for stream in kind.split("-"))
        layers = [layer[row, :, :queries, :keys] for layer in getattr(maps, kind.replace("-", "_"))]
        empty = torch.zeros(0, 0, queries, keys)
        cuts[kind] = (torch.stack(layers) if layers else empty).float().cpu().numpy()
    return cuts


class TextWord(NamedTuple):
    """A word of the text: what it is, and the places of its pieces among the tokens."""

    text: str
    places: tuple[int, ...]


class RegionWord(NamedTuple):
    """The word that a region attends to most, a place in ``text_words``, and the share of its attention."""

    word: int
    share: float


def text_words(tokens: Sequence[str]) -> list[TextWord]:
    """Put the pieces of words together again; special tokens and punctuation are not words."""
    words: list[TextWord] = []
    for position, token in enumerate(tokens):
        if token.startswith("##") and words and words[-1].places[-1] == position - 1:
            words[-1] = TextWord(words[-1].text + token[2:], (*words[-1].places, position))
        elif not is_special(token) and any(map(str.isalnum, token)):
            words.append(TextWord(token, (position,)))
    return words


def is_special(token: str) -> bool:
    """Return whether a token stands for no part of the text: CLS, SEP, a task token."""
    return _SPECIAL.fullmatch(token) is not None


def most_attended_words(
    attention: Attention, layer: int | None = None, head: int | None = None, beyond_average: bool = False
) -> list[RegionWord | None]:
    """Return the word that stands for each region, as in figure 10.

    It is the one that gets most of the region's image-to-text co-attention, over all layers and heads where none is
    named. A word of several pieces gets what its most-attended piece gets: their sum would favour long words.

    Args:
        attention: the maps.
        layer, head: which map; their mean where None.
        beyond_average: whether to take the word that gets most more than the average region gives it. Where all
            regions look at one word, such as an article, this tells them apart; the paper does not do it.

    Returns:
        V of them, IMG's first; None where the text has no word.

    Raises:
        UsageError: the model has no such layer or head, or no co-attention.
    """
    if attention.single_stream is not None:
        what = f"{attention.single_stream} has no co-attention maps: words and regions are a single stream"
        raise UsageError(what, todo="look at the page or at --maps, which show how that stream attends to itself")
    words = text_words(attention.tokens)
    map_VT = attention.map("image-text", layer, head)
    if not words:
        return [None] * len(map_VT)
    shares_VW = np.stack([map_VT[:, word.places].max(1) for word in words], 1)
    best_V = (shares_VW - shares_VW.mean(0) if beyond_average else shares_VW).argmax(1)
    return [RegionWord(int(word), float(row[word])) for word, row in zip(best_V, shares_VW, strict=True)]


def _check(
    config: TrunkConfig, ids: Sequence[int], task: tuple[str, int] | None, features_VF: Tensor, pixels_V4: Tensor
) -> None:
    if len(ids) > config.positions:
        what = f"the text has {len(ids):,} tokens, and the model takes {config.positions:,}"
        raise UsageError(what, todo="shorten the text")
    if max(ids) >= config.vocabulary:
        what = f"the text has token {max(ids):,}, and the model knows {config.vocabulary:,}"
        raise DataError(what, todo="take the tokenizer that the model was trained with")
    if task is not None and 0 < config.task_tokens <= task[1]:
        raise DataError(f"the model has {config.task_tokens} task tokens, and {task[0]} is number {task[1]}")
    if features_VF.shape[-1] != config.region_features:
        what = f"features of width {features_VF.shape[-1]}, and the model takes {config.region_features}"
        raise DataError(what, todo="take the features that the model was trained on")
    if len(features_VF) != len(pixels_V4):
        raise DataError(f"{len(features_VF)} rows of features for {len(pixels_V4)} boxes")
    if not (features_VF.isfinite().all() and pixels_V4.isfinite().all()):
        raise DataError("features or boxes hold values that are NaN or infinite")
