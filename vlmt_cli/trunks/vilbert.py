"""ViLBERT (section 3.1): two streams of transformer layers, over words and image regions, joined by co-attention.

Notable:
- padding is not computed (``rows``), attention is PyTorch's own, and only the rows that a head reads come out of
  the last layers;
- box embedding from five numbers: x1, y1, x2, y2, each by the image's size, and the share of its area;
- the task token stands after CLS, without position or segment, and shifts no other position (section 3.2);
- pooled IMG and CLS are fused by product, as in equations 1, 2 and 4, or by sum.

Shapes: B batch, T tokens (task token included once it is inserted), V regions (IMG first), F region features,
D width, N and M real rows of text and vision.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlmt_cli.trunks.config import PRESETS, ViLBERTConfig
from vlmt_cli.trunks.encoded import Encoded, Maps, Stream, encode
from vlmt_cli.trunks.layers import EPSILON, CoAttentionLayer, TransformerLayer, takes_packed
from vlmt_cli.trunks.rows import Rows, rows_of

Packing = tuple[bool, bool]
"""Whether padding is left out, and of attention as well (``rows_of``)."""


class TextEmbedding(nn.Module):
    """Word, position and segment, and the task token after CLS."""

    def __init__(self, config: ViLBERTConfig) -> None:
        super().__init__()
        width = config.text.width
        self.word = nn.Embedding(config.vocabulary, width)
        self.position = nn.Embedding(config.positions, width)
        self.segment = nn.Embedding(config.segments, width)
        self.task = nn.Embedding(config.task_tokens, width) if config.task_tokens else None
        self.norm = nn.LayerNorm(width, EPSILON)
        self.dropout = nn.Dropout(config.text.dropout)

    def forward(
        self, tokens_BT: Tensor, mask_BT: Tensor, task_B: Tensor | None, segments_BT: Tensor | None, packed: Packing
    ) -> tuple[Tensor, Rows]:
        """Embed tokens, (N, D), where the task token is one of the rows."""
        x = self.word(tokens_BT) + self.position.weight[: tokens_BT.shape[1]]
        x = x + (self.segment.weight[0] if segments_BT is None else self.segment(segments_BT))
        if self.task is not None and task_B is not None:
            x = torch.cat([x[:, :1], self.task(task_B)[:, None], x[:, 1:]], dim=1)
            mask_BT = torch.cat([mask_BT[:, :1], mask_BT], dim=1)
        rows = rows_of(mask_BT, *packed)
        return self.dropout(self.norm(rows.pack(x))), rows


class RegionEmbedding(nn.Module):
    """Region feature and box."""

    def __init__(self, config: ViLBERTConfig) -> None:
        super().__init__()
        self.feature = nn.Linear(config.region_features, config.vision.width)
        self.box = nn.Linear(5, config.vision.width)
        self.norm = nn.LayerNorm(config.vision.width, EPSILON)
        self.dropout = nn.Dropout(config.text.dropout)  # the authors take the text's rate

    def forward(self, features_BVF: Tensor, boxes_BV5: Tensor, mask_BV: Tensor, packed: Packing) -> tuple[Tensor, Rows]:
        """Embed regions, (M, D)."""
        rows = rows_of(mask_BV, *packed)
        x = self.feature(rows.pack(features_BVF)) + self.box(rows.pack(boxes_BV5))
        return self.dropout(self.norm(x)), rows


class ViLBERT(nn.Module):
    """The trunk that all tasks share.

    ``packed`` decides whether padding is left out of the computation: on a CPU that is
    faster; on a GPU batches of like lengths are, and packing waits for it. None means so.
    Where it can, attention on a GPU takes packed rows as they are (``takes_packed``).
    """

    parts: ClassVar[dict[str, tuple[str, ...]]] = {
        "text": ("text_embedding.", "text_layers."),
        "vision": ("region_embedding.", "vision_layers."),
    }
    in_bert: ClassVar[dict[str, str]] = {}  # ``authors`` knows the names of its text stream

    def __init__(self, config: ViLBERTConfig) -> None:
        super().__init__()
        self.config = config
        self.packed: bool | None = None
        self.text_embedding = TextEmbedding(config)
        self.region_embedding = RegionEmbedding(config)
        self.text_layers = nn.ModuleList(TransformerLayer(config.text) for _ in range(config.text.layers))
        self.vision_layers = nn.ModuleList(TransformerLayer(config.vision) for _ in range(config.vision.layers))
        self.co_layers = nn.ModuleList(CoAttentionLayer(config) for _ in config.text_placement)
        self.text_pooler = nn.Linear(config.text.width, config.co_width)
        self.vision_pooler = nn.Linear(config.vision.width, config.co_width)
        self.fusion_dropout = nn.Dropout(config.fusion_dropout)
        self.apply(lambda module: initialise(module, config.init_std))

    forward = encode

    def encode_text(
        self,
        tokens_BT: Tensor,
        mask_BT: Tensor,
        task_B: Tensor | None = None,
        segments_BT: Tensor | None = None,
        keep_maps: bool = False,
    ) -> Stream:
        """Run the text stream as far as it does not depend on the image."""
        packing = self._packs(tokens_BT, keep_maps)
        x, rows = self.text_embedding(tokens_BT, mask_BT, task_B, segments_BT, packing)
        return self._alone("text", x, rows, keep_maps)

    def encode_image(self, features_BVF: Tensor, boxes_BV5: Tensor, mask_BV: Tensor, keep_maps: bool = False) -> Stream:
        """Run the vision stream as far as it does not depend on the text."""
        x, rows = self.region_embedding(features_BVF, boxes_BV5, mask_BV, self._packs(features_BVF, keep_maps))
        return self._alone("vision", x, rows, keep_maps)

    def join(self, text: Stream, image: Stream, pooled_only: bool = False, return_states: bool = False) -> Encoded:
        """Run both streams from the first co-attention layer on, and pool. The arguments are ``forward``'s."""
        keep = text.maps is not None
        maps = Maps(list(text.maps or ()), list(image.maps or ()))
        x, y, text_rows, vision_rows = text.x_ND, image.x_ND, text.rows, image.rows
        after_co: list[tuple[Tensor, Tensor]] = []
        steps = self.config.order()[self._joined_from() :]
        last = {kind: step for step, (kind, _) in enumerate(steps)}
        # A stream's last layer is read in its first row alone; that is co-attention's where no other follows it.
        shortened = {kind for kind in ("text", "vision") if pooled_only and last.get(kind, -1) > last.get("co", -1)}
        if pooled_only and not (shortened or keep or return_states) and last.get("co") == len(steps) - 1:
            shortened = {"co"}
        for step, (kind, number) in enumerate(steps):
            first_only = kind in shortened and step == last[kind]
            if kind == "text":
                x, text_text = self.text_layers[number](x, text_rows, first_only, keep)
                maps.text_text.append(text_text)
            elif kind == "vision":
                y, image_image = self.vision_layers[number](y, vision_rows, first_only, keep)
                maps.image_image.append(image_image)
            else:
                at_hand = (text.qkv_N3D, image.qkv_N3D) if step == 0 else (None, None)
                x, y, text_image, image_text = self.co_layers[number](
                    x, y, *at_hand, text_rows, vision_rows, first_only, keep
                )
                maps.text_image.append(text_image)
                maps.image_text.append(image_text)
                after_co.append((x, y))
        first_text = x if shortened & {"text", "co"} else text_rows.first(x)
        first_image = y if shortened & {"vision", "co"} else vision_rows.first(y)
        return Encoded(
            pooled_text=F.relu(self.text_pooler(first_text)),
            pooled_vision=F.relu(self.vision_pooler(first_image)),
            text=None if pooled_only else x,
            vision=None if pooled_only else y,
            text_rows=text_rows,
            vision_rows=vision_rows,
            maps=maps if keep else None,
            after_co=after_co if return_states else None,
        )

    def _packs(self, batch: Tensor, keep_maps: bool) -> Packing:
        packed = self.packed if self.packed is not None else batch.device.type == "cpu"
        streams = (self.config.text, self.config.vision)
        dropout = max(stream.attention_dropout for stream in streams) if self.training else 0.0
        return packed, packed and not keep_maps and takes_packed(batch.device, dropout)

    def _joined_from(self) -> int:
        """The step of the first co-attention layer; 0 when there is none."""
        kinds = [kind for kind, _ in self.config.order()]
        return kinds.index("co") if "co" in kinds else 0

    def _alone(self, stream: str, x: Tensor, rows: Rows, keep_maps: bool) -> Stream:
        layers = self.text_layers if stream == "text" else self.vision_layers
        maps: list[Tensor] = []
        for kind, number in self.config.order()[: self._joined_from()]:
            if kind == stream:
                layer = layers[number]
                x, attention_map = layer(x, rows, keep_map=keep_maps)
                maps.append(attention_map)
        project = self.co_layers[0].get_submodule(f"{stream}_qkv") if len(self.co_layers) else None
        return Stream(x, None if project is None else project(x), rows, maps if keep_maps else None)

    @property
    def word_embedding(self) -> Tensor:
        """Of all words, (vocabulary, D)."""
        return self.text_embedding.word.weight

    def layers(self) -> Iterator[nn.Module]:
        """Go through the modules that are compiled, each by itself.

        Of co-attention only the feed-forwards are: compiled as a whole it would give its text half zeros for gradients
        where a head reads the regions alone, and momentum would move what has no gradient.
        """
        yield from (*self.text_layers, *self.vision_layers)
        for layer in self.co_layers:
            yield cast(nn.Module, layer.text_feedforward)
            yield cast(nn.Module, layer.vision_feedforward)

    def fuse(self, encoded: Encoded) -> Tensor:
        """Return the overall representation of image and text, h_IMG * h_CLS (equation 1) or their sum, (B, D)."""
        text, vision = encoded.pooled_text, encoded.pooled_vision
        fused: Tensor = self.fusion_dropout(vision * text if self.config.fusion == "product" else vision + text)
        return fused


def compile_layers(trunk: Any) -> None:
    """Compile a trunk's layers, in place: they are alike, so that a few forms serve all heads and sizes of batches."""
    # A form each for text and vision, with and without gradients, packed rows or not, all of them or the first.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    for part in trunk.layers():
        part.compile(dynamic=True)


def checkpoint_layers(trunk: Any) -> None:
    """Let a trunk's layers keep what comes in alone, and compute the rest again in the backward pass, in place.

    Dropout draws the same numbers again. Of ViLBERT's co-attention a whole layer is one.
    """
    whole: list[nn.Module] = list(getattr(trunk, "co_layers", ()))
    inner = {module for layer in whole for module in layer.modules()}
    for layer in [*whole, *(layer for layer in trunk.layers() if layer not in inner)]:
        layer.forward = functools.partial(_checkpointed, layer, layer.forward)


def _checkpointed(layer: nn.Module, forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    if not (layer.training and torch.is_grad_enabled()):
        return forward(*inputs, **options)
    return checkpoint(forward, *inputs, use_reentrant=False, **options)


def initialise(module: nn.Module, std: float) -> None:
    """Initialise a module as BERT does: weights from N(0, std), biases zero, layer norms one."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


Config, Trunk = ViLBERTConfig, ViLBERT
__all__ = ["PRESETS", "Config", "Trunk", "ViLBERT", "checkpoint_layers", "compile_layers", "initialise"]
