"""A trunk without layers: mean words and mean regions, each through one linear map."""

from typing import ClassVar, Literal

import torch
from torch import nn

from vlmt_cli.trunks.config import TrunkConfig
from vlmt_cli.trunks.encoded import Encoded, Stream
from vlmt_cli.trunks.rows import rows_of


class Config(TrunkConfig):
    kind: Literal["linear"] = "linear"
    width: int = 16
    text_width = region_width = pooled_width = property(lambda self: self.width)
    region_dropout = property(lambda self: 0.0)

    def with_dropout(self, rate):
        return self

    def streams(self):
        return [("text and vision", 1, self.width, 1, None)]


PRESETS = {"base": Config(), "tiny": Config(), "mini": Config()}


class Trunk(nn.Module):
    parts: ClassVar[dict] = {}
    in_bert: ClassVar[dict] = {}

    def __init__(self, config):
        super().__init__()
        self.config, self.packed = config, False
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.task = nn.Embedding(config.task_tokens, config.width)
        self.regions = nn.Linear(config.region_features + 5, config.width)

    def encode_text(self, tokens, mask, task=None, segments=None, keep_maps=False):
        x = self.words(tokens)
        if task is not None:
            x = x + self.task(task)[:, None]
        rows = rows_of(mask, packed=False)
        return Stream(rows.pack(x), None, rows)

    def encode_image(self, features, boxes, mask, keep_maps=False):
        rows = rows_of(mask, packed=False)
        return Stream(rows.pack(self.regions(torch.cat([features, boxes], -1))), None, rows)

    def join(self, text, image, pooled_only=False, return_states=False):
        means = []
        for stream in (text, image):
            real = stream.rows.mask_BL[..., None]
            means.append((stream.rows.pad(stream.x_ND) * real).sum(1) / real.sum(1))
        vision = image.rows.pad(image.x_ND) * means[0][:, None]
        return Encoded(*means, text.x_ND, image.rows.pack(vision), text.rows, image.rows)

    def fuse(self, encoded):
        return encoded.pooled_text * encoded.pooled_vision

    @property
    def word_embedding(self):
        return self.words.weight

    def layers(self):
        return []
