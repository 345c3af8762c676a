"""What every trunk's config says, and the shape of a ViLBERT: its two streams, and where co-attention joins them.

``base`` is the paper's model (sections 3.1 and 8.4): BERT base for text, six layers of width 1024 for
image regions, six co-attention layers.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.schema import parse

Rate = float
Size = Annotated[int, Field(gt=0, le=1 << 24)]
_MOST_LAYERS = 1_000


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TrunkConfig(_Model, ABC):
    """What a trunk is made for: the data that it reads. Each trunk's own config adds its layers.

    Attributes:
        kind: which trunk, as ``table.TRUNKS`` names it.
        vocabulary, positions, segments: of the words.
        task_tokens: how many there are; 0 for none.
        region_features: numbers a region.
        region_classes: classes of the detector, which pre-training predicts.
        init_std: of weights that are drawn.
    """

    kind: str
    vocabulary: Size = 30522
    positions: Size = 512
    segments: Size = 2
    task_tokens: Annotated[int, Field(ge=0, le=1 << 24)] = 20
    region_features: Size = 2048
    region_classes: Size = 1601
    init_std: float = 0.02

    @property
    @abstractmethod
    def text_width(self) -> int:
        """The width of a word's final state."""

    @property
    @abstractmethod
    def region_width(self) -> int:
        """The width of a region's final state."""

    @property
    @abstractmethod
    def pooled_width(self) -> int:
        """The width of the overall representation of image and text."""

    @property
    @abstractmethod
    def region_dropout(self) -> Rate:
        """The rate before a region's score."""

    @abstractmethod
    def with_dropout(self, rate: Rate) -> Self:
        """Return the config with another rate of dropout everywhere."""

    @abstractmethod
    def streams(self) -> list[tuple[str, int, int, int, int | None]]:
        """Return name, layers, width, heads and feed-forward width of each kind of layer, for people."""


class StreamConfig(_Model):
    """One stream of transformer (TRM) layers."""

    width: Size
    layers: Annotated[int, Field(ge=0, le=_MOST_LAYERS)]
    heads: Size
    feedforward: Size
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.1

    @model_validator(mode="after")
    def _divides(self) -> "StreamConfig":
        if self.width % self.heads:
            raise ValueError(f"a width of {self.width} does not divide into {self.heads} heads")
        return self


class ViLBERTConfig(TrunkConfig):
    """A ViLBERT.

    The k-th co-attention layer runs when ``text_placement[k]`` text layers and
    ``vision_placement[k]`` vision layers have run; the layers that are left run after
    the last one.
    """

    kind: Literal["vilbert"] = "vilbert"
    text: StreamConfig
    vision: StreamConfig
    co_width: Size
    co_heads: Size
    text_placement: Annotated[tuple[NonNegativeInt, ...], Field(max_length=_MOST_LAYERS)]
    vision_placement: Annotated[tuple[NonNegativeInt, ...], Field(max_length=_MOST_LAYERS)]
    fusion: Literal["product", "sum"] = "product"
    fusion_dropout: Rate = 0.1

    @model_validator(mode="after")
    def _is_possible(self) -> "ViLBERTConfig":
        if self.co_width % self.co_heads:
            raise ValueError(f"a co_width of {self.co_width} does not divide into {self.co_heads} co_heads")
        if len(self.text_placement) != len(self.vision_placement):
            raise ValueError(
                f"text_placement names {len(self.text_placement)} co-attention layers, vision_placement"
                f" {len(self.vision_placement)}"
            )
        for name, stream in (("text", self.text), ("vision", self.vision)):
            placement = getattr(self, f"{name}_placement")
            if list(placement) != sorted(placement):
                raise ValueError(f"{name}_placement {list(placement)} does not rise")
            if placement and placement[-1] > stream.layers:
                raise ValueError(
                    f"{name}_placement asks for {placement[-1]} layers before co-attention, of {stream.layers}"
                )
        return self

    @property
    def text_width(self) -> int:
        """That of the text stream."""
        return self.text.width

    @property
    def region_width(self) -> int:
        """That of the vision stream."""
        return self.vision.width

    @property
    def pooled_width(self) -> int:
        """That of co-attention."""
        return self.co_width

    @property
    def region_dropout(self) -> Rate:
        """That of the vision stream."""
        return self.vision.dropout

    def with_dropout(self, rate: Rate) -> "ViLBERTConfig":
        """Return the config with another rate of dropout in both streams and before the heads."""
        stream = {"dropout": rate, "attention_dropout": rate}
        text, vision = self.text.model_copy(update=stream), self.vision.model_copy(update=stream)
        return self.model_copy(update={"text": text, "vision": vision, "fusion_dropout": rate})

    def streams(self) -> list[tuple[str, int, int, int, int | None]]:
        """Return both streams and co-attention."""
        both = [
            (name, stream.layers, stream.width, stream.heads, stream.feedforward)
            for name, stream in (("text", self.text), ("vision", self.vision))
        ]
        return [*both, ("co-attention", len(self.text_placement), self.co_width, self.co_heads, None)]

    def order(self) -> list[tuple[str, int]]:
        """Return the layers as they run, each a kind (text, vision, co) and a number."""
        steps: list[tuple[str, int]] = []
        text = vision = 0
        for k, (text_end, vision_end) in enumerate(zip(self.text_placement, self.vision_placement, strict=True)):
            steps += [("text", i) for i in range(text, text_end)]
            steps += [("vision", i) for i in range(vision, vision_end)]
            steps.append(("co", k))
            text, vision = text_end, vision_end
        steps += [("text", i) for i in range(text, self.text.layers)]
        return steps + [("vision", i) for i in range(vision, self.vision.layers)]


PRESETS = {
    "base": ViLBERTConfig(
        text=StreamConfig(width=768, layers=12, heads=12, feedforward=3072),
        vision=StreamConfig(width=1024, layers=6, heads=8, feedforward=1024),
        co_width=1024,
        co_heads=8,
        text_placement=(6, 7, 8, 9, 10, 11),
        vision_placement=(0, 1, 2, 3, 4, 5),
    ),
    "tiny": ViLBERTConfig(
        text=StreamConfig(width=64, layers=2, heads=4, feedforward=128),
        vision=StreamConfig(width=64, layers=2, heads=4, feedforward=128),
        co_width=64,
        co_heads=4,
        text_placement=(1, 2),
        vision_placement=(0, 1),
        vocabulary=1000,
        positions=128,
        region_features=64,
        region_classes=64,
    ),
    "mini": ViLBERTConfig(
        text=StreamConfig(width=64, layers=1, heads=4, feedforward=128),
        vision=StreamConfig(width=64, layers=1, heads=4, feedforward=128),
        co_width=64,
        co_heads=4,
        text_placement=(0, 1),
        vision_placement=(0, 1),
        vocabulary=1000,
        positions=128,
        region_features=64,
        region_classes=64,
        init_std=0.1,
    ),
}


def make_config(preset: str = "base", **changes: Any) -> ViLBERTConfig:
    """Return a preset, with changes.

    Raises:
        UsageError: there is no such preset, or the changes make no possible model.
    """
    if preset not in PRESETS:
        raise UsageError(f"there is no model {preset!r}", todo=f"choose {' or '.join(PRESETS)}, or give a whole config")
    return parse_config(PRESETS[preset].model_dump() | changes, where=f"model {preset}")


def parse_config(values: dict[str, Any], where: object) -> ViLBERTConfig:
    """Check a config that was read from ``where``. Raises a UsageError that names the first key that is wrong."""
    return parse(ViLBERTConfig, values, where, UsageError, todo="correct the config")
