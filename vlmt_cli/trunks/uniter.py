"""UNITER (Chen et al. 2020), on the layers of transformers' ``BertModel``: words and regions in one stream.

Notable:
- boxes are seven numbers: x1, y1, x2, y2, width and height by the image's size, and the product of the last two;
- feature and box have a layer norm each; their sum with segment 1, which the words' embeddings hold, has another;
- the overall representation is the pooled CLS.

Shapes: B batch, T tokens (task token included once it is inserted), V regions (IMG first), F region features, D width.
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from vlmt_cli.trunks.encoded import Stream
from vlmt_cli.trunks.layers import EPSILON
from vlmt_cli.trunks.library import SingleStream, SingleStreamConfig, added, padded, single_stream_presets
from vlmt_cli.trunks.vilbert import initialise


class Config(SingleStreamConfig):
    """A UNITER."""

    kind: Literal["uniter"] = "uniter"


PRESETS = single_stream_presets(Config)


class Regions(nn.Module):
    """Embeds regions; the names of its parts are those of the released weights."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.img_linear = nn.Linear(config.region_features, config.width)
        self.img_layer_norm = nn.LayerNorm(config.width, EPSILON)
        self.pos_linear = nn.Linear(7, config.width)
        self.pos_layer_norm = nn.LayerNorm(config.width, EPSILON)
        self.LayerNorm = nn.LayerNorm(config.width, EPSILON)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(lambda module: initialise(module, config.init_std))

    def forward(self, features_BVF: Tensor, boxes_BV5: Tensor, segment_D: Tensor) -> Tensor:
        """Embed regions, (B, V, D)."""
        features = self.img_layer_norm(self.img_linear(features_BVF))
        boxes = self.pos_layer_norm(self.pos_linear(seven_numbers(boxes_BV5)))
        embedded: Tensor = self.dropout(self.LayerNorm(features + boxes + segment_D))
        return embedded


def seven_numbers(boxes_BV5: Tensor) -> Tensor:
    """Return corners, width, height, and their product, of corners and a share of the area: (B, V, 7)."""
    sides = boxes_BV5[..., 2:4] - boxes_BV5[..., :2]
    return torch.cat([boxes_BV5[..., :4], sides, sides.prod(-1, keepdim=True)], dim=-1)


class Trunk(SingleStream):
    """The library's BERT, with embeddings of regions and task tokens."""

    in_bert: ClassVar[dict[str, str]] = {"model.": "bert."}

    def __init__(self, config: Config) -> None:
        super().__init__(config, BertModel(BertConfig(**config.in_library(), num_hidden_layers=config.layers)))
        self.regions = Regions(config)

    def encode_image(self, features_BVF: Tensor, boxes_BV5: Tensor, mask_BV: Tensor, keep_maps: bool = False) -> Stream:
        """Embed regions."""
        y = self.regions(features_BVF, boxes_BV5, self.model.embeddings.token_type_embeddings.weight[1])
        return padded(y, mask_BV, [] if keep_maps else None)

    def run_layers(self, x_BLD: Tensor, mask_BL: Tensor, keep_maps: bool) -> tuple[Tensor, list[Tensor]]:
        """Run the layers; see ``SingleStream.run_layers``."""
        maps: list[Tensor] = []
        attention = self.model.config._attn_implementation
        # The library's fast attention gives no maps, and its layers do not hand them on.
        self.model.config._attn_implementation = "eager" if keep_maps else "sdpa"
        hooks = [
            layer.attention.self.register_forward_hook(lambda _module, _inputs, output: maps.append(output[1]))
            for layer in (self.model.encoder.layer if keep_maps else ())
        ]
        try:
            mask = added(mask_BL, x_BLD.dtype) if keep_maps else mask_BL.bool()[:, None, None, :]
            return self.model.encoder(x_BLD, attention_mask=mask).last_hidden_state, maps
        finally:
            self.model.config._attn_implementation = attention
            for hook in hooks:
                hook.remove()
