"""Pre-training heads (sections 3.1 and 8.2): masked words, masked regions, alignment.

A masked place's head runs on that place alone: with 15% masked that is a seventh of the work, and a seventh of
the memory of a (B, T, vocabulary) tensor. By default the two masked losses count aligned pairs only, as the paper
does: "we only perform the mask multi-modal modelling task on aligned image-caption pairs".

Shapes: N and M real rows of text and vision, K masked words, R masked regions, C region classes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlmt_cli.trunks.config import TrunkConfig
from vlmt_cli.trunks.encoded import Encoded, Trunk
from vlmt_cli.trunks.layers import EPSILON
from vlmt_cli.trunks.vilbert import initialise


@dataclass(frozen=True)
class PretrainingLabels:
    """What the masked places held.

    Attributes:
        words_BT: the token that was masked, -1 elsewhere; T counts no task token.
        regions_BV: whether the region was masked; IMG is never.
        region_classes_BVC: the detector's class distribution of each region.
        misaligned_B: whether the caption is another image's.
    """

    words_BT: Tensor
    regions_BV: Tensor
    region_classes_BVC: Tensor
    misaligned_B: Tensor

    def masked(self, aligned_only: bool = True) -> "Masked":
        """Keep what the losses ask for alone.

        Args:
            aligned_only: whether the masked losses leave out misaligned pairs (section 8.2).
        """
        is_asked = ~self.misaligned_B.bool()[:, None] | (not aligned_only)
        words = ((self.words_BT >= 0) & is_asked).flatten()
        regions = (self.regions_BV.bool() & is_asked).flatten()
        return Masked(
            words.nonzero().squeeze(1),
            self.words_BT.flatten()[words],
            regions.nonzero().squeeze(1),
            self.region_classes_BVC.flatten(0, 1)[regions],
            self.misaligned_B,
        )


class Masked:
    """The masked places of a batch alone: of 1,601 class scores a region, a fourteenth is left to be moved to a device.

    Not a dataclass: Fabric would turn its targets into the run's precision, or refuse it.

    Attributes:
        word_places_K: where in (B, T) a word was masked, counted through all rows.
        words_K: the token that was there.
        region_places_R: where in (B, V) a region was masked.
        region_classes_RC: the detector's class distribution of it, in the type in which it is stored.
        misaligned_B: whether the caption is another image's.
    """

    def __init__(
        self,
        word_places_K: Tensor,
        words_K: Tensor,
        region_places_R: Tensor,
        region_classes_RC: Tensor,
        misaligned_B: Tensor,
    ) -> None:
        self.word_places_K, self.words_K = word_places_K, words_K
        self.region_places_R, self.region_classes_RC = region_places_R, region_classes_RC
        self.misaligned_B = misaligned_B

    def each(self, change: Callable[[Tensor], Tensor]) -> "Masked":
        """Change all tensors."""
        return Masked(*map(change, vars(self).values()))


class PretrainingHeads(nn.Module):
    """The three heads; the word decoder is the trunk's word embedding."""

    def __init__(self, config: TrunkConfig) -> None:
        super().__init__()
        self.word_transform = nn.Linear(config.text_width, config.text_width)
        self.word_norm = nn.LayerNorm(config.text_width, EPSILON)
        self.word_bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.region_transform = nn.Linear(config.region_width, config.region_width)
        self.region_norm = nn.LayerNorm(config.region_width, EPSILON)
        self.region_classes = nn.Linear(config.region_width, config.region_classes)
        self.alignment = nn.Linear(config.pooled_width, 2)
        self.apply(lambda module: initialise(module, config.init_std))

    def words(self, text_KD: Tensor, trunk: Trunk) -> Tensor:
        """Return word logits, (K, vocabulary), of K text states."""
        hidden = self.word_norm(F.gelu(self.word_transform(text_KD)))
        return F.linear(hidden, trunk.word_embedding, self.word_bias)

    def regions(self, vision_KD: Tensor) -> Tensor:
        """Return class logits, (K, C), of K region states."""
        logits: Tensor = self.region_classes(self.region_norm(F.gelu(self.region_transform(vision_KD))))
        return logits

    def forward(
        self, trunk: Trunk, encoded: Encoded, labels: PretrainingLabels, aligned_only: bool = True
    ) -> dict[str, Tensor]:
        """Return the three losses of ``sums``, each by its count; a loss without a masked place is zero."""
        sums = self.sums(trunk, encoded, labels.masked(aligned_only))
        return {name: total / max(count, 1) for name, (total, count) in sums.items()}

    def sums(self, trunk: Trunk, encoded: Encoded, masked: Masked) -> dict[str, tuple[Tensor, int]]:
        """Compute the three losses, summed, so that parts of a batch can be added up.

        Args:
            trunk: it fuses, and its word embedding decodes.
            encoded: the masked batch, encoded without task token.
            masked: what was masked, on the same device.

        Returns:
            Of each the sum and the count. ``words``: cross-entropy over the masked words. ``regions``: KL divergence
            from the detector's distributions, over the masked regions. ``alignment``: cross-entropy over pairs, class
            0 aligned.
        """
        assert encoded.text is not None and encoded.vision is not None
        word_logits = self.words(encoded.text[encoded.text_rows.among(masked.word_places_K)], trunk)
        region_logits = self.regions(encoded.vision[encoded.vision_rows.among(masked.region_places_R)])
        logs, classes = region_logits.float().log_softmax(-1), masked.region_classes_RC.float()
        alignment = self.alignment(trunk.fuse(encoded))
        return {
            "words": (F.cross_entropy(word_logits, masked.words_K, reduction="sum"), len(word_logits)),
            "regions": (F.kl_div(logs, classes, reduction="sum"), len(region_logits)),
            "alignment": (
                F.cross_entropy(alignment, masked.misaligned_B.long(), reduction="sum"),
                len(alignment),
            ),
        }
