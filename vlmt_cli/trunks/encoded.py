"""What a head may ask a trunk, whatever the trunk is made of.

A trunk is a module with the six things of ``Trunk``. Heads read pooled states and the states of words and regions;
what does not depend on a pair of text and image is computed once for all pairs (``encode_text``, ``encode_image``),
the rest in ``join``.

Shapes: B batch, P pairs, T tokens (task token included once it is inserted), V regions (IMG first), F region features,
D width, N and M rows of text and vision.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

from torch import Tensor, nn

from vlmt_cli.trunks.rows import Rows


@dataclass
class Maps:
    """Attention probabilities of every layer, in order; each (B, heads, queries, keys) (figures 10 to 13)."""

    text_text: list[Tensor] = field(default_factory=list)
    image_image: list[Tensor] = field(default_factory=list)
    text_image: list[Tensor] = field(default_factory=list)
    image_text: list[Tensor] = field(default_factory=list)


class Stream(NamedTuple):
    """One stream as far as it depends on nothing but itself.

    Attributes:
        x_ND: the states of its real rows before the first co-attention layer.
        qkv_N3D: that layer's projections of them; None when the model has no such layer.
        rows: where the rows stand.
        maps: the attention maps of the layers so far, when they were requested.
    """

    x_ND: Tensor
    qkv_N3D: Tensor | None
    rows: Rows
    maps: list[Tensor] | None = None

    def repeat(self, which_P: Tensor) -> "Stream":
        """Repeat sequences, so that the p-th is what the ``which_P[p]``-th was."""
        index, rows = self.rows.repeat(which_P)
        qkv = None if self.qkv_N3D is None else self.qkv_N3D.index_select(0, index)
        return Stream(self.x_ND.index_select(0, index), qkv, rows, self.maps)


@dataclass
class Encoded:
    """What the trunk makes of a batch.

    Attributes:
        pooled_text, pooled_vision: CLS and IMG, (B, D).
        text, vision: final states of the real rows, (N, D) and (M, D); None when only the pooled ones were requested.
        text_rows, vision_rows: where these stand.
        maps: attention maps, when they were requested.
        after_co: (text, vision) after each co-attention layer, when they were requested.
    """

    pooled_text: Tensor
    pooled_vision: Tensor
    text: Tensor | None
    vision: Tensor | None
    text_rows: Rows
    vision_rows: Rows
    maps: Maps | None = None
    after_co: list[tuple[Tensor, Tensor]] | None = None


class Trunk(Protocol):
    """What a trunk's module has.

    Attributes:
        config: what it was made of.
        packed: whether padding is left out of the computation; None where the trunk decides.
        parts: the beginnings of the names of what ``training.freeze`` calls ``text`` and ``vision``; empty where both
            share their layers.
        in_bert: beginnings of its tensors' names by those of a BERT, of what may start from a BERT's weights.
    """

    config: Any
    packed: bool | None
    parts: ClassVar[dict[str, tuple[str, ...]]]
    in_bert: ClassVar[dict[str, str]]

    def encode_text(
        self,
        tokens_BT: Tensor,
        mask_BT: Tensor,
        task_B: Tensor | None = None,
        segments_BT: Tensor | None = None,
        keep_maps: bool = False,
    ) -> Stream:
        """Encode texts as far as they do not depend on the image, the task token after CLS."""

    def encode_image(self, features_BVF: Tensor, boxes_BV5: Tensor, mask_BV: Tensor, keep_maps: bool = False) -> Stream:
        """Encode images as far as they do not depend on the text."""

    def join(self, text: Stream, image: Stream, pooled_only: bool = False, return_states: bool = False) -> Encoded:
        """Encode pairs, of which text i goes with image i."""

    def fuse(self, encoded: Encoded) -> Tensor:
        """Return the overall representation of image and text, (B, D)."""

    @property
    def word_embedding(self) -> Tensor:
        """Of all words, (vocabulary, D): the decoder of pre-training."""

    def layers(self) -> Iterable[nn.Module]:
        """Go through the modules that are compiled, each by itself."""


def encode(
    trunk: Trunk,
    tokens_BT: Tensor,
    token_mask_BT: Tensor,
    features_BVF: Tensor,
    boxes_BV5: Tensor,
    region_mask_BV: Tensor,
    task_B: Tensor | None = None,
    segments_BT: Tensor | None = None,
    pairs: tuple[Tensor, Tensor] | None = None,
    *,
    pooled_only: bool = False,
    return_attention: bool = False,
    return_states: bool = False,
) -> Encoded:
    """Encode a batch of image and text pairs with any trunk.

    Args:
        tokens_BT: token ids, CLS first.
        token_mask_BT, region_mask_BV: which places are real; the first always is.
        features_BVF, boxes_BV5: regions, IMG first (its box is 0, 0, 1, 1, 1).
        task_B: task tokens; None leaves them out.
        segments_BT: segment ids; None means zeros.
        pairs: which text and which image make up each of P pairs, when a text or an image is in several (NLVR2's
            two images, retrieval's four options): what does not depend on the pair is computed once.
        pooled_only: whether only CLS and IMG will be read, so that the last layers compute no other row.
        return_attention: whether to return every layer's attention maps.
        return_states: whether to return the states after each co-attention layer.
    """
    text = trunk.encode_text(tokens_BT, token_mask_BT, task_B, segments_BT, return_attention)
    image = trunk.encode_image(features_BVF, boxes_BV5, region_mask_BV, return_attention)
    if pairs is not None:
        assert not return_attention, "maps belong to texts and images, not to pairs"
        text, image = text.repeat(pairs[0]), image.repeat(pairs[1])
    return trunk.join(text, image, pooled_only, return_states)
