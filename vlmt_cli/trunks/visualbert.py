"""VisualBERT (Li et al. 2019), on transformers' ``VisualBertModel``: words and regions in one stream of BERT's layers.

Notable:
- a region is its feature alone: VisualBERT reads no boxes, so that two boxes of like looks are alike to it;
- regions have segment 1 and position 0 of embeddings of their own;
- the overall representation is the pooled CLS.

Shapes: B batch, T tokens (task token included once it is inserted), V regions (IMG first), F region features, D width.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import VisualBertConfig, VisualBertModel

from vlmt_cli.trunks.config import Size
from vlmt_cli.trunks.encoded import Encoded, Stream
from vlmt_cli.trunks.library import (
    TINY,
    LibraryConfig,
    SingleStream,
    added,
    embed_words,
    make_task_embedding,
    padded,
)


class Config(LibraryConfig):
    """A VisualBERT."""

    kind: Literal["visualbert"] = "visualbert"
    layers: Size = 12

    def streams(self) -> list[tuple[str, int, int, int, int | None]]:
        """Return the stream."""
        return [("text and vision", self.layers, self.width, self.heads, self.feedforward)]


PRESETS = {
    "base": Config(),
    "tiny": Config(**TINY, layers=2),
    "mini": Config(**TINY, layers=3, init_std=0.1),
}


class Trunk(SingleStream):
    """The library's model, with task tokens."""

    in_bert: ClassVar[dict[str, str]] = {
        "model.embeddings.visual_token_type_embeddings.": "bert.embeddings.token_type_embeddings.",
        "model.embeddings.visual_position_embeddings.": "bert.embeddings.position_embeddings.",
        "model.": "bert.",
    }

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.packed = config, False
        sizes = {"visual_embedding_dim": config.region_features, "num_hidden_layers": config.layers}
        self.model: Any = VisualBertModel(VisualBertConfig(**config.in_library(), **sizes))
        self.task = make_task_embedding(config)

    def encode_text(
        self,
        tokens_BT: Tensor,
        mask_BT: Tensor,
        task_B: Tensor | None = None,
        segments_BT: Tensor | None = None,
        keep_maps: bool = False,
    ) -> Stream:
        """Embed words."""
        x, mask = embed_words(self.model.embeddings, self.task, tokens_BT, mask_BT, task_B, segments_BT)
        return padded(x, mask, [] if keep_maps else None)

    def encode_image(self, features_BVF: Tensor, boxes_BV5: Tensor, mask_BV: Tensor, keep_maps: bool = False) -> Stream:
        """Embed regions."""
        embeddings, first = self.model.embeddings, torch.zeros_like(mask_BV, dtype=torch.long)
        y = embeddings.visual_projection(features_BVF) + embeddings.visual_position_embeddings(first)
        y = embeddings.dropout(embeddings.LayerNorm(y + embeddings.visual_token_type_embeddings(first + 1)))
        return padded(y, mask_BV, [] if keep_maps else None)

    def join(self, text: Stream, image: Stream, pooled_only: bool = False, return_states: bool = False) -> Encoded:
        """Run all layers, and pool."""
        return self.join_by(self._encode, self.model.pooler, text, image, pooled_only, return_states)

    def _encode(self, x_BLD: Tensor, mask_BL: Tensor, keep_maps: bool) -> tuple[Tensor, list[Tensor]]:
        encoded = self.model.encoder(x_BLD, added(mask_BL, x_BLD.dtype), output_attentions=keep_maps)
        return encoded.last_hidden_state, list(encoded.attentions or ())

    @property
    def word_embedding(self) -> Tensor:
        """Of all words, (vocabulary, D)."""
        weight: Tensor = self.model.embeddings.word_embeddings.weight
        return weight

    def layers(self) -> Iterator[nn.Module]:
        """Go through the layers."""
        yield from self.model.encoder.layer
