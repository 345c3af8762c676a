"""Sequences of unequal length without their padding.

A batch of B sequences comes padded to the longest, (B, L, D). What each row is turned
into by itself (projections, feed-forward, layer norm) is computed on the N real rows
alone, (N, D); only attention, where rows meet, sees the padded form again, or, where a
kernel takes it, the N rows with the offset of each sequence. With regions and captions as
they come this saves almost half of the work.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """Where the rows of a packed stream stand in its padded form.

    Attributes:
        batch: B.
        length: L.
        mask_BL: which places are real; None where all are.
        index_N: the real places among B * L, in order; None where rows are not packed.
        first_B: the packed row of each sequence's first place; None where it is its only one.
        offsets: where in the N rows each sequence begins, and the end, (B + 1,) int32; None where attention sees the
            padded form.
    """

    batch: int
    length: int
    mask_BL: Tensor | None
    index_N: Tensor | None
    first_B: Tensor | None
    offsets: Tensor | None = None

    def pad(self, x_ND: Tensor) -> Tensor:
        """Put N rows into their places: (B, L, D), zero elsewhere."""
        if self.index_N is None:
            return x_ND.view(self.batch, self.length, -1)
        empty = x_ND.new_zeros(self.batch * self.length, x_ND.shape[-1])
        return empty.index_copy_(0, self.index_N, x_ND).view(self.batch, self.length, -1)

    def pack(self, x_BLD: Tensor) -> Tensor:
        """Take the N real rows out of (B, L, D)."""
        x = x_BLD.reshape(self.batch * self.length, -1)
        return x if self.index_N is None else x.index_select(0, self.index_N)

    def among(self, places_K: Tensor) -> Tensor:
        """Say which of the N rows stand at real places of (B, L), counted through all rows."""
        return places_K if self.index_N is None else torch.searchsorted(self.index_N, places_K)

    def first(self, x_ND: Tensor) -> Tensor:
        """Take each sequence's first row: (B, D)."""
        return x_ND if self.first_B is None else x_ND.index_select(0, self.first_B)

    def repeat(self, which_P: Tensor) -> tuple[Tensor, "Rows"]:
        """Repeat sequences: which packed rows make up sequences ``which_P``, and where these then stand."""
        if self.index_N is None:
            index = (which_P[:, None] * self.length + torch.arange(self.length, device=which_P.device)).flatten()
            mask = None if self.mask_BL is None else self.mask_BL[which_P]
            first = None if self.first_B is None else torch.arange(len(which_P), device=which_P.device) * self.length
            return index, Rows(len(which_P), self.length, mask, None, first)
        assert self.mask_BL is not None and self.first_B is not None
        rows = rows_of(self.mask_BL[which_P], packed=True, to_attention=self.offsets is not None)
        lengths = self.mask_BL.sum(1)[which_P]
        assert rows.first_B is not None
        shift = (self.first_B[which_P] - rows.first_B).repeat_interleave(lengths)
        return shift + torch.arange(len(shift), device=shift.device), rows

    def firsts(self) -> "Rows":
        """Return the rows of a stream that consists of the first rows only."""
        ends = None if self.offsets is None else torch.arange(self.batch + 1, device=self.offsets.device).int()
        return Rows(self.batch, 1, None, None, None, ends)


def rows_of(mask_BL: Tensor, packed: bool, to_attention: bool = False) -> Rows:
    """Describe a batch by its mask of real places; the first place of every sequence must be real.

    Args:
        mask_BL: which places are real.
        packed: whether to leave out the others.
        to_attention: of packed rows, whether attention sees them so.
    """
    batch, length = mask_BL.shape
    mask = mask_BL.bool()
    if not packed:
        first = torch.arange(batch, device=mask.device) * length
        return Rows(batch, length, mask, None, first)
    lengths = mask.sum(1)
    first = lengths.cumsum(0) - lengths
    index = mask.flatten().nonzero().squeeze(1)
    offsets = torch.cat([first, lengths.sum(0, keepdim=True)]).int() if to_attention else None
    if len(index) == batch * length and not to_attention:
        return Rows(batch, length, None, None, first)
    return Rows(batch, length, mask, index, first, offsets)
