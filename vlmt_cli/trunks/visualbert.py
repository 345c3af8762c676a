"""VisualBERT (Li et al. 2019), on transformers' ``VisualBertModel``: words and regions in one stream of BERT's layers.

Notable:
- a region is its feature alone: VisualBERT reads no boxes, so that two boxes of like looks are alike to it;
- regions have segment 1 and position 0 of embeddings of their own;
- the overall representation is the pooled CLS.

Shapes: B batch, T tokens (task token included once it is inserted), V regions (IMG first), F region features, D width.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from transformers import VisualBertConfig, VisualBertModel

from vlmt_cli.trunks.encoded import Stream
from vlmt_cli.trunks.library import SingleStream, SingleStreamConfig, padded, single_stream_presets


class Config(SingleStreamConfig):
    """A VisualBERT."""

    kind: Literal["visualbert"] = "visualbert"


PRESETS = single_stream_presets(Config)


class Trunk(SingleStream):
    """The library's model, with task tokens."""

    in_bert: ClassVar[dict[str, str]] = {
        "model.embeddings.visual_token_type_embeddings.": "bert.embeddings.token_type_embeddings.",
        "model.embeddings.visual_position_embeddings.": "bert.embeddings.position_embeddings.",
        "model.": "bert.",
    }

    def __init__(self, config: Config) -> None:
        sizes = {"visual_embedding_dim": config.region_features, "num_hidden_layers": config.layers}
        super().__init__(config, VisualBertModel(VisualBertConfig(**config.in_library(), **sizes)))

    def encode_image(self, features_BVF: Tensor, boxes_BV5: Tensor, mask_BV: Tensor, keep_maps: bool = False) -> Stream:
        """Embed regions."""
        embeddings, first = self.model.embeddings, torch.zeros_like(mask_BV, dtype=torch.long)
        y = embeddings.visual_projection(features_BVF) + embeddings.visual_position_embeddings(first)
        y = embeddings.dropout(embeddings.LayerNorm(y + embeddings.visual_token_type_embeddings(first + 1)))
        return padded(y, mask_BV, [] if keep_maps else None)
