"""The layers of ViLBERT: attention, the transformer layer (TRM), the co-attention layer (Co-TRM).

Shapes: B batch, L places of a sequence, N real rows of a batch (see ``rows``), D width, H heads.
"""

import contextlib
import importlib
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlmt_cli.trunks.config import StreamConfig, ViLBERTConfig
from vlmt_cli.trunks.rows import Rows

varlen_attn: Any = None
"""Torch's attention of packed rows, once ``takes_packed`` has found a place for it."""
EPSILON = 1e-12  # of every layer norm, as in BERT


def attend(
    q_BHLd: Tensor, k_BHLd: Tensor, v_BHLd: Tensor, queries: Rows, keys: Rows, dropout: float, keep_map: bool
) -> tuple[Tensor, Tensor | None]:
    """Let the rows of one stream attend to those of another, or of the same.

    Of two back ends it takes ``varlen_attn`` where rows come packed (``Rows.offsets``), a kernel of GPUs that knows
    neither padding nor dropout, and padded attention elsewhere.

    Args:
        q_BHLd, k_BHLd, v_BHLd: queries, keys and values (``project``); of packed rows each is (N, H, d).
        queries, keys: where both stand.
        dropout: of the attention probabilities.
        keep_map: whether to return the probabilities, (B, H, Lq, Lk), which costs time and memory.

    Returns:
        The contexts, (N, D), and the map or None.
    """
    if queries.offsets is not None and keys.offsets is not None:
        assert not (keep_map or dropout), "packed attention has neither maps nor dropout"
        ends, sizes = (queries.offsets, keys.offsets), (queries.length, keys.length)
        context_NHd: Tensor = varlen_attn(q_BHLd, k_BHLd, v_BHLd, *ends, *sizes)
        return context_NHd.flatten(1), None
    mask = None if keys.mask_BL is None else keys.mask_BL[:, None, None, :]
    probabilities = None
    if keep_map:
        scores = q_BHLd @ k_BHLd.transpose(-1, -2) / math.sqrt(q_BHLd.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        probabilities = scores.softmax(-1)
        context = F.dropout(probabilities, dropout) @ v_BHLd
    else:
        context = F.scaled_dot_product_attention(q_BHLd, k_BHLd, v_BHLd, attn_mask=mask, dropout_p=dropout)
    return queries.pack(context.transpose(1, 2).flatten(2)), probabilities


def takes_packed(device: torch.device, dropout: float) -> bool:
    """Whether attention of packed rows can run: bf16 or fp16 on a GPU from Ampere on, torch 2.13, and no dropout."""
    if dropout or device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
        return False
    is_half = torch.get_autocast_dtype("cuda") in (torch.float16, torch.bfloat16)
    return is_half and torch.cuda.get_device_capability(device) >= (8, 0) and _import_varlen_attn()


def _import_varlen_attn() -> bool:
    """Import attention of packed rows, and torch's compiler with it, which takes seconds; whether torch has it."""
    global varlen_attn
    if varlen_attn is None:
        with contextlib.suppress(ImportError):  # before torch 2.13
            varlen_attn = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    return varlen_attn is not None


class Projected(NamedTuple):
    """The queries, keys and values of a stream, each (B, H, L, D / H), and where its queries stand.

    Of rows that come packed to attention each is (N, H, D / H).
    """

    q_BHLd: Tensor
    k_BHLd: Tensor
    v_BHLd: Tensor
    queries: Rows


def project(
    qkv: nn.Linear, x_ND: Tensor, rows: Rows, heads: int, first_only: bool = False, qkv_N3D: Tensor | None = None
) -> Projected:
    """Project a stream's states.

    Args:
        qkv: queries, keys and values side by side.
        x_ND: states.
        rows: where they stand.
        heads: H.
        first_only: whether each sequence's first row alone asks.
        qkv_N3D: the projections, where they are at hand.
    """
    if not first_only:
        q, k, v = _heads(qkv(x_ND) if qkv_N3D is None else qkv_N3D, rows, heads, 3)
        return Projected(q, k, v, rows)
    width, firsts = qkv.out_features // 3, rows.firsts()
    if qkv_N3D is None:
        first = F.linear(rows.first(x_ND), qkv.weight[:width], qkv.bias[:width])
        others = F.linear(x_ND, qkv.weight[width:], qkv.bias[width:])
    else:
        first, others = rows.first(qkv_N3D)[:, :width], qkv_N3D[:, width:]
    (q,), (k, v) = _heads(first, firsts, heads, 1), _heads(others, rows, heads, 2)
    return Projected(q, k, v, firsts)


def _heads(x_NKD: Tensor, rows: Rows, heads: int, kinds: int) -> tuple[Tensor, ...]:
    """Split ``kinds`` of rows that stand side by side into (B, H, L, D / H) each, zero where no row is."""
    if rows.offsets is not None:
        return x_NKD.view(len(x_NKD), kinds, heads, -1).unbind(1)
    # Unbound where they stand, so that the backward pass puts gradients side by side in one copy.
    each = rows.pad(x_NKD).view(rows.batch, rows.length, kinds, heads, -1).unbind(2)
    return tuple(x_BLHd.transpose(1, 2) for x_BLHd in each)


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
        q, k, v, queries = project(self.qkv, x_ND, rows, self.heads, first_only)
        dropout = self.attention_dropout if self.training else 0.0
        context, attention_map = attend(q, k, v, queries, rows, dropout, keep_map)
        x_ND = rows.first(x_ND) if first_only else x_ND
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
        text_qkv: Tensor | None,
        vision_qkv: Tensor | None,
        text_rows: Rows,
        vision_rows: Rows,
        first_only: bool = False,
        keep_map: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Run the layer; with ``first_only`` only each sequence's first row comes out, (B, D).

        Args:
            text_ND, vision_MD: states.
            text_qkv, vision_qkv: their projections, which depend on one stream alone and may be at hand.
            text_rows, vision_rows: where the states stand.
            first_only: whether to leave out all other rows.
            keep_map: whether to return the maps.

        Returns:
            Text, vision, and the maps text-image (B, H, T, V) and image-text (B, H, V, T).
        """
        text = project(self.text_qkv, text_ND, text_rows, self.heads, first_only, text_qkv)
        vision = project(self.vision_qkv, vision_MD, vision_rows, self.heads, first_only, vision_qkv)
        # Each direction's dropout is that of the stream whose keys it meets.
        of_vision, of_text = (rate if self.training else 0.0 for rate in (self.vision_dropout, self.text_dropout))
        to_text, text_image = attend(
            text.q_BHLd, vision.k_BHLd, vision.v_BHLd, text.queries, vision_rows, of_vision, keep_map
        )
        to_vision, image_text = attend(
            vision.q_BHLd, text.k_BHLd, text.v_BHLd, vision.queries, text_rows, of_text, keep_map
        )
        if first_only:
            text_ND, vision_MD = text_rows.first(text_ND), vision_rows.first(vision_MD)
        new_text = self.text_norm(text_ND + self.text_drop(self.text_out(to_text)))
        new_vision = self.vision_norm(vision_MD + self.vision_drop(self.vision_out(to_vision)))
        return self.text_feedforward(new_text), self.vision_feedforward(new_vision), text_image, image_text


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
