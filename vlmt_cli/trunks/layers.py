"""The layers of ViLBERT: attention, the transformer layer (TRM), the co-attention layer (Co-TRM).

Shapes: B batch, L places of a sequence, N real rows of a batch (see ``rows``), D width, H heads.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlmt_cli.trunks.config import StreamConfig, ViLBERTConfig
from vlmt_cli.trunks.rows import Rows

EPSILON = 1e-12  # of every layer norm, as in BERT


def attend(
    q_ND: Tensor, kv_M2D: Tensor, queries: Rows, keys: Rows, heads: int, dropout: float, keep_map: bool
) -> tuple[Tensor, Tensor | None]:
    """Let the rows of one stream attend to those of another, or of the same.

    Args:
        q_ND: queries.
        kv_M2D: keys and values, side by side.
        queries, keys: where both stand.
        heads: H.
        dropout: of the attention probabilities.
        keep_map: whether to return the probabilities, (B, H, Lq, Lk), which costs time and memory.

    Returns:
        The contexts, (N, D), and the map or None.
    """
    batch, width = queries.batch, q_ND.shape[-1]
    q = queries.pad(q_ND).view(batch, queries.length, heads, -1).transpose(1, 2)
    k, v = keys.pad(kv_M2D).view(batch, keys.length, 2, heads, -1).permute(2, 0, 3, 1, 4)
    mask = None if keys.mask_BL is None else keys.mask_BL[:, None, None, :]
    probabilities = None
    if keep_map:
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        probabilities = scores.softmax(-1)
        context = F.dropout(probabilities, dropout) @ v
    else:
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return queries.pack(context.transpose(1, 2).reshape(batch, queries.length, width)), probabilities


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, a residual connection and a layer norm."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.outer = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_ND: Tensor) -> Tensor:
        hidden = self.outer(F.gelu(self.inner(x_ND)))
        normed: Tensor = self.norm(x_ND + self.dropout(hidden))
        return normed


class TransformerLayer(nn.Module):
    """TRM: self-attention and feed-forward, each with residual connection and layer norm after it (as BERT)."""

    def __init__(self, config: StreamConfig) -> None:
        super().__init__()
        self.heads, self.attention_dropout = config.heads, config.attention_dropout
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm = nn.LayerNorm(config.width, EPSILON)
        self.dropout = nn.Dropout(config.dropout)
        self.feedforward = FeedForward(config.width, config.feedforward, config.dropout)

    def forward(
        self, x_ND: Tensor, rows: Rows, first_only: bool = False, keep_map: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Run the layer; with ``first_only`` only each sequence's first row comes out, (B, D)."""
        width = x_ND.shape[-1]
        if first_only:
            x_first = rows.first(x_ND)
            q = F.linear(x_first, self.qkv.weight[:width], self.qkv.bias[:width])
            kv = F.linear(x_ND, self.qkv.weight[width:], self.qkv.bias[width:])
            x_ND, queries = x_first, rows.firsts()
        else:
            q, kv = torch.split(self.qkv(x_ND), [width, 2 * width], dim=-1)
            queries = rows
        dropout = self.attention_dropout if self.training else 0.0
        context, attention_map = attend(q, kv, queries, rows, self.heads, dropout, keep_map)
        x = self.norm(x_ND + self.dropout(self.out(context)))
        return self.feedforward(x), attention_map


class CoAttentionLayer(nn.Module):
    """Co-TRM: each stream attends to the other's state before this layer, then a feed-forward a stream.

    Text queries meet image keys and values, and image queries meet text's (section 3.1, and Lu et al. 2019).
    """

    def __init__(self, config: ViLBERTConfig) -> None:
        super().__init__()
        text, vision, width = config.text, config.vision, config.co_width
        self.heads = config.co_heads
        self.text_dropout, self.vision_dropout = text.attention_dropout, vision.attention_dropout
        self.text_qkv = nn.Linear(text.width, 3 * width)
        self.vision_qkv = nn.Linear(vision.width, 3 * width)
        self.text_out = nn.Linear(width, text.width)
        self.vision_out = nn.Linear(width, vision.width)
        self.text_norm = nn.LayerNorm(text.width, EPSILON)
        self.vision_norm = nn.LayerNorm(vision.width, EPSILON)
        self.text_drop, self.vision_drop = nn.Dropout(text.dropout), nn.Dropout(vision.dropout)
        self.text_feedforward = FeedForward(text.width, text.feedforward, text.dropout)
        self.vision_feedforward = FeedForward(vision.width, vision.feedforward, vision.dropout)

    def forward(
        self,
        text_ND: Tensor,
        vision_MD: Tensor,
        text_qkv: Tensor,
        vision_qkv: Tensor,
        text_rows: Rows,
        vision_rows: Rows,
        keep_map: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Run the layer.

        Args:
            text_ND, vision_MD: states.
            text_qkv, vision_qkv: their projections, which depend on one stream alone and may be at hand.
            text_rows, vision_rows: where the states stand.
            keep_map: whether to return the maps.

        Returns:
            Text, vision, and the maps text-image (B, H, T, V) and image-text (B, H, V, T).
        """
        width = text_qkv.shape[-1] // 3
        text_q, text_kv = torch.split(text_qkv, [width, 2 * width], dim=-1)
        vision_q, vision_kv = torch.split(vision_qkv, [width, 2 * width], dim=-1)
        # Each direction's dropout is that of the stream whose keys it meets.
        of_vision, of_text = (rate if self.training else 0.0 for rate in (self.vision_dropout, self.text_dropout))
        to_text, text_image = attend(text_q, vision_kv, text_rows, vision_rows, self.heads, of_vision, keep_map)
        to_vision, image_text = attend(vision_q, text_kv, vision_rows, text_rows, self.heads, of_text, keep_map)
        text = self.text_norm(text_ND + self.text_drop(self.text_out(to_text)))
        vision = self.vision_norm(vision_MD + self.vision_drop(self.vision_out(to_vision)))
        return self.text_feedforward(text), self.vision_feedforward(vision), text_image, image_text


class Classifier(nn.Module):
    """The two-layer MLP of equations 1 and 4: linear, GELU, layer norm, linear."""

    def __init__(self, width: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden, EPSILON)
        self.outer = nn.Linear(hidden, classes)

    def forward(self, x_BD: Tensor) -> Tensor:
        logits: Tensor = self.outer(self.norm(F.gelu(self.inner(x_BD))))
        return logits
