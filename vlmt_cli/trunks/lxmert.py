"""LXMERT (Tan and Bansal 2019), on transformers' ``LxmertModel``: two streams, joined by layers of cross-attention.

Notable:
- boxes are four numbers, x1, y1, x2, y2 by the image's size; feature and box have a layer norm each, and their mean
  is the region;
- the text and the vision stream run alone first, so that both are computed once for all pairs;
- the overall representation is the pooled CLS, which the library pools with a tanh.

Shapes: B batch, T tokens (task token included once it is inserted), V regions (IMG first), F region features, D width.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import Tensor, nn
from transformers import LxmertConfig, LxmertModel

from vlmt_cli.trunks.config import Size
from vlmt_cli.trunks.encoded import Encoded, Maps, Stream
from vlmt_cli.trunks.library import TINY, LibraryConfig, LibraryTrunk, added, embed_words, mask_of, padded


class Config(LibraryConfig):
    """An LXMERT."""

    kind: Literal["lxmert"] = "lxmert"
    text_layers: Size = 9
    vision_layers: Size = 5
    cross_layers: Size = 5

    def streams(self) -> list[tuple[str, int, int, int, int | None]]:
        """Return both streams and cross-attention."""
        named = (("text", self.text_layers), ("vision", self.vision_layers), ("cross-attention", self.cross_layers))
        return [(name, layers, self.width, self.heads, self.feedforward) for name, layers in named]


PRESETS = {
    "base": Config(),
    "tiny": Config(**TINY, text_layers=2, vision_layers=2, cross_layers=2),
    "mini": Config(**TINY, text_layers=1, vision_layers=1, cross_layers=1, init_std=0.1),
}


class Trunk(LibraryTrunk):
    """The library's model, with task tokens."""

    parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "text": ("model.embeddings.", "task.", "model.encoder.layer."),
        "vision": ("model.encoder.visn_fc.", "model.encoder.r_layers."),
    }
    in_bert: ClassVar[dict[str, str]] = {
        "model.embeddings.": "bert.embeddings.",
        "model.encoder.layer.": "bert.encoder.layer.",
        "model.pooler.": "bert.pooler.",
    }

    def __init__(self, config: Config) -> None:
        layers = {"l_layers": config.text_layers, "r_layers": config.vision_layers, "x_layers": config.cross_layers}
        sizes = {"visual_feat_dim": config.region_features, "visual_pos_dim": 4}
        super().__init__(config, LxmertModel(LxmertConfig(**config.in_library(), **layers, **sizes)))

    def encode_text(
        self,
        tokens_BT: Tensor,
        mask_BT: Tensor,
        task_B: Tensor | None = None,
        segments_BT: Tensor | None = None,
        keep_maps: bool = False,
    ) -> Stream:
        """Run the text stream."""
        x, mask = embed_words(self.model.embeddings, self.task, tokens_BT, mask_BT, task_B, segments_BT)
        return self._alone(self.model.encoder.layer, x, mask, keep_maps)

    def encode_image(self, features_BVF: Tensor, boxes_BV5: Tensor, mask_BV: Tensor, keep_maps: bool = False) -> Stream:
        """Run the vision stream."""
        y = self.model.encoder.visn_fc(features_BVF, boxes_BV5[..., :4])
        return self._alone(self.model.encoder.r_layers, y, mask_BV, keep_maps)

    def join(self, text: Stream, image: Stream, pooled_only: bool = False, return_states: bool = False) -> Encoded:
        """Run the layers of cross-attention, and pool. In each, both streams attend to the other, then to themselves.

        The library returns no map of regions that attend to words, so that its layers' parts are called one by one
        where maps are requested.
        """
        x, y = text.rows.pad(text.x_ND), image.rows.pad(image.x_ND)
        of_words, of_regions = added(mask_of(text.rows), x.dtype), added(mask_of(image.rows), y.dtype)
        maps = None if text.maps is None else Maps(list(text.maps), list(image.maps or ()))
        states = []
        for layer in self.model.encoder.x_layers:
            if maps is None:
                x, y = layer(x, of_words, y, of_regions)
            else:
                to_text, text_image = layer.visual_attention(x, y, of_regions, output_attentions=True)
                to_image, image_text = layer.visual_attention(y, x, of_words, output_attentions=True)
                to_text, text_text = layer.lang_self_att(to_text, of_words, output_attentions=True)
                to_image, image_image = layer.visn_self_att(to_image, of_regions, output_attentions=True)
                x, y = layer.output_fc(to_text, to_image)
                maps.text_image.append(text_image)
                maps.image_text.append(image_text)
                maps.text_text.append(text_text)
                maps.image_image.append(image_image)
            states.append((text.rows.pack(x), image.rows.pack(y)))
        return Encoded(
            pooled_text=self.model.pooler(x),
            pooled_vision=y[:, 0],
            text=None if pooled_only else text.rows.pack(x),
            vision=None if pooled_only else image.rows.pack(y),
            text_rows=text.rows,
            vision_rows=image.rows,
            maps=maps,
            after_co=states if return_states else None,
        )

    @property
    def co_layers(self) -> nn.ModuleList:
        """The layers of cross-attention, each of which is checkpointed as a whole."""
        layers: nn.ModuleList = self.model.encoder.x_layers
        return layers

    def layers(self) -> Iterator[nn.Module]:
        """Go through both streams' layers; cross-attention's leave a part without a gradient where it is not read."""
        yield from (*self.model.encoder.layer, *self.model.encoder.r_layers)

    @staticmethod
    def _alone(layers: nn.ModuleList, x_BLD: Tensor, mask_BL: Tensor, keep_maps: bool) -> Stream:
        maps: list[Tensor] = []
        real = added(mask_BL, x_BLD.dtype)
        for layer in layers:
            x_BLD, *shown = layer(x_BLD, real, output_attentions=keep_maps)
            maps += shown
        return padded(x_BLD, mask_BL, maps if keep_maps else None)
