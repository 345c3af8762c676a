"""What the trunks on transformers' own models share: sizes, task tokens, masks, and one stream for words and regions.

They compute padded rows, as the library does. IMG is a region to them like any other.

Shapes: B batch, T tokens (task token included once it is inserted), V regions (IMG first), L = T + V, D width.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from pydantic import model_validator
from torch import Tensor, nn

from vlmt_cli.trunks.config import Rate, Size, TrunkConfig
from vlmt_cli.trunks.encoded import Encoded, Maps, Stream
from vlmt_cli.trunks.rows import Rows, rows_of

TINY: dict[str, Any] = {"width": 64, "heads": 4, "feedforward": 128, "vocabulary": 1000, "positions": 128}
TINY |= {"region_features": 64, "region_classes": 64}
"""The sizes of the tiny and mini presets, but for the layers."""


class LibraryConfig(TrunkConfig):
    """A trunk whose layers are all of BERT's form."""

    width: Size = 768
    heads: Size = 12
    feedforward: Size = 3072
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.1

    @model_validator(mode="after")
    def _divides(self) -> "LibraryConfig":
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} does not divide into {self.heads} heads")
        if self.segments < 2:
            raise ValueError("words and regions need a segment each: segments is 2 or more")
        return self

    @property
    def text_width(self) -> int:
        """That of all layers."""
        return self.width

    @property
    def region_width(self) -> int:
        """That of all layers."""
        return self.width

    @property
    def pooled_width(self) -> int:
        """That of all layers."""
        return self.width

    @property
    def region_dropout(self) -> Rate:
        """That of all layers."""
        return self.dropout

    def with_dropout(self, rate: Rate) -> "LibraryConfig":
        """Return the config with another rate of dropout in all layers."""
        return self.model_copy(update={"dropout": rate, "attention_dropout": rate})

    def in_library(self) -> dict[str, Any]:
        """Return the keys that transformers' configurations of these models share."""
        return {
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "num_attention_heads": self.heads,
            "intermediate_size": self.feedforward,
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.attention_dropout,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.segments,
            "initializer_range": self.init_std,
        }


class SingleStreamConfig(LibraryConfig):
    """A trunk of one stream."""

    layers: Size = 12

    def streams(self) -> list[tuple[str, int, int, int, int | None]]:
        """Return the stream."""
        return [("text and vision", self.layers, self.width, self.heads, self.feedforward)]


def single_stream_presets(kind: Callable[..., TrunkConfig]) -> dict[str, TrunkConfig]:
    """Return the published size of a trunk of one stream, and the small ones."""
    return {"base": kind(), "tiny": kind(**TINY, layers=2), "mini": kind(**TINY, layers=3, init_std=0.1)}


def make_task_embedding(config: TrunkConfig) -> nn.Embedding | None:
    """Make the task tokens, drawn as the library draws all embeddings."""
    if not config.task_tokens:
        return None
    task = nn.Embedding(config.task_tokens, config.text_width)
    nn.init.normal_(task.weight, std=config.init_std)
    return task


def embed_words(
    embeddings: Any,
    task: nn.Embedding | None,
    tokens_BT: Tensor,
    mask_BT: Tensor,
    task_B: Tensor | None,
    segments_BT: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Embed words by the modules of the library's embeddings.

    The task token stands after CLS, without position or segment, and shifts no other position (section 3.2).

    Returns:
        (B, T, D), and the mask, (B, T).
    """
    positions = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
    segments = torch.zeros_like(tokens_BT) if segments_BT is None else segments_BT
    x = embeddings.word_embeddings(tokens_BT) + embeddings.token_type_embeddings(segments)
    x = x + embeddings.position_embeddings(positions)
    if task is not None and task_B is not None:
        x = torch.cat([x[:, :1], task(task_B)[:, None], x[:, 1:]], dim=1)
        mask_BT = torch.cat([mask_BT[:, :1], mask_BT], dim=1)
    return embeddings.dropout(embeddings.LayerNorm(x)), mask_BT


def padded(x_BLD: Tensor, mask_BL: Tensor, maps: list[Tensor] | None = None) -> Stream:
    """Make a stream of padded states."""
    rows = rows_of(mask_BL, packed=False)
    return Stream(rows.pack(x_BLD), None, rows, maps)


def mask_of(rows: Rows) -> Tensor:
    """Return which of (B, L) rows are real."""
    assert rows.mask_BL is not None, "padded rows have a mask"
    return rows.mask_BL


def added(mask_BL: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what the library adds to the scores of attention: 0 at real rows, else the least number, (B, 1, 1, L)."""
    return (1.0 - mask_BL[:, None, None, :].to(dtype)) * torch.finfo(dtype).min


class LibraryTrunk(nn.Module):
    """A model of transformers whose pooled CLS, which has seen all regions, is the overall representation.

    Attributes:
        model: the library's, with ``embeddings`` of words and ``pooler``.
        task: the task tokens.
    """

    def __init__(self, config: LibraryConfig, model: Any) -> None:
        super().__init__()
        self.config, self.packed = config, False
        self.model = model
        self.task = make_task_embedding(config)

    def fuse(self, encoded: Encoded) -> Tensor:
        """Return the pooled CLS, (B, D)."""
        return encoded.pooled_text

    @property
    def word_embedding(self) -> Tensor:
        """Of all words, (vocabulary, D)."""
        weight: Tensor = self.model.embeddings.word_embeddings.weight
        return weight


class SingleStream(LibraryTrunk):
    """Words and regions in one sequence, words first. A trunk adds ``encode_image``."""

    parts: ClassVar[dict[str, tuple[str, ...]]] = {}

    def run_layers(self, x_BLD: Tensor, mask_BL: Tensor, keep_maps: bool) -> tuple[Tensor, list[Tensor]]:
        """Run the layers: from embeddings and their mask to final states, and maps (B, H, L, L) if requested."""
        encoded = self.model.encoder(x_BLD, added(mask_BL, x_BLD.dtype), output_attentions=keep_maps)
        return encoded.last_hidden_state, list(encoded.attentions or ())

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

    def join(self, text: Stream, image: Stream, pooled_only: bool = False, return_states: bool = False) -> Encoded:
        """Run the layers over both, and pool CLS."""
        assert not return_states, "a single stream has no co-attention layers"
        keep, tokens = text.maps is not None, text.rows.length
        x_BLD = torch.cat([text.rows.pad(text.x_ND), image.rows.pad(image.x_ND)], dim=1)
        mask_BL = torch.cat([mask_of(text.rows), mask_of(image.rows)], dim=1)
        states_BLD, layers = self.run_layers(x_BLD, mask_BL, keep)
        words, regions = states_BLD[:, :tokens], states_BLD[:, tokens:]
        maps = Maps(
            text_text=[layer[:, :, :tokens, :tokens] for layer in layers],
            image_image=[layer[:, :, tokens:, tokens:] for layer in layers],
            text_image=[layer[:, :, :tokens, tokens:] for layer in layers],
            image_text=[layer[:, :, tokens:, :tokens] for layer in layers],
        )
        return Encoded(
            pooled_text=self.model.pooler(states_BLD),
            pooled_vision=regions[:, 0],
            text=None if pooled_only else text.rows.pack(words),
            vision=None if pooled_only else image.rows.pack(regions),
            text_rows=text.rows,
            vision_rows=image.rows,
            maps=maps if keep else None,
        )

    def layers(self) -> Iterator[nn.Module]:
        """Go through the layers."""
        yield from self.model.encoder.layer
