"""Pre-training heads (sections 3.1 and 8.2): masked words, masked regions, alignment.

A masked place's head runs on that place alone: with 15% masked that is a seventh of the work, and a seventh of
the memory of a (B, T, vocabulary) tensor. By default the two masked losses count aligned pairs only, as the paper
does: "we only perform the mask multi-modal modelling task on aligned image-caption pairs".

Shapes: N and M real rows of text and vision, K masked places, C region classes.
"""

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
        sums = self.sums(trunk, encoded, labels, aligned_only)
        return {name: total / count.clamp(min=1) for name, (total, count) in sums.items()}

    def sums(
        self, trunk: Trunk, encoded: Encoded, labels: PretrainingLabels, aligned_only: bool = True
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Compute the three losses, summed, so that parts of a batch can be added up.

        Args:
            trunk: it fuses, and its word embedding decodes.
            encoded: the masked batch, encoded without task token.
            labels: what was masked.
            aligned_only: whether the masked losses leave out misaligned pairs (section 8.2).

        Returns:
            Of each the sum and the count. ``words``: cross-entropy over the masked words. ``regions``: KL divergence
            from the detector's distributions, over the masked regions. ``alignment``: cross-entropy over pairs, class
            0 aligned.
        """
        assert encoded.text is not None and encoded.vision is not None
        aligned = (
            ~labels.misaligned_B.bool()[:, None]
            if aligned_only
            else torch.ones_like(labels.misaligned_B[:, None]).bool()
        )
        words = encoded.text_rows.pack((labels.words_BT * aligned + ~aligned * -1).unsqueeze(-1)).squeeze(-1)
        masked_words = words >= 0
        word_logits = self.words(encoded.text[masked_words], trunk)
        regions = encoded.vision_rows.pack((labels.regions_BV.bool() & aligned).unsqueeze(-1)).squeeze(-1)
        classes = encoded.vision_rows.pack(labels.region_classes_BVC)[regions]
        region_logits = self.regions(encoded.vision[regions])
        alignment = self.alignment(trunk.fuse(encoded))
        return {
            "words": (F.cross_entropy(word_logits, words[masked_words], reduction="sum"), masked_words.sum()),
            "regions": (F.kl_div(region_logits.log_softmax(-1), classes, reduction="sum"), regions.sum()),
            "alignment": (
                F.cross_entropy(alignment, labels.misaligned_B.long(), reduction="sum"),
                torch.tensor(len(alignment), device=alignment.device),
            ),
        }
