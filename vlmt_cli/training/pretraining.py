"""Pre-training on captions (sections 3.1 and 8.2): masked words, masked regions, alignment with random captions."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vlmt_cli.evaluation.run import ahead, evaluating, gathered, own_batches
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.runs.recipe import PRETRAINING
from vlmt_cli.runs.recipe_sections import MaskingChoices
from vlmt_cli.tasks.batch import on_device, pin
from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.load import CAPTION_TOKENS
from vlmt_cli.tasks.process import Process
from vlmt_cli.tasks.text import TextEncoder
from vlmt_cli.training.masking import img_feature, mask_regions, mask_words, masked_shares
from vlmt_cli.trunks.pretraining import Masked, PretrainingLabels

MISALIGNED = 0.5
"""The share of captions that are another image's (section 8.2)."""


@dataclass
class MaskedBatch:
    """A masked batch of captions and images.

    Attributes:
        examples: the captions' images, (B,).
        inputs: tokens, mask, features, boxes, mask: the model's arguments.
        masked: what the losses ask for.
        shares: of regions, which were sampled and which masked.
    """

    examples: NDArray[np.int64]
    inputs: tuple[Tensor, ...]
    masked: Masked
    shares: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.examples)

    def to(self, device: torch.device, features: torch.dtype | None = None) -> "MaskedBatch":
        """Bring all tensors to a device."""
        if device.type == "cpu":
            return self
        return self._each(lambda tensor: on_device(tensor, device))

    def pinned(self) -> "MaskedBatch":
        """Bring all tensors into memory from which copies to a GPU need not wait."""
        return self._each(pin)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "MaskedBatch":
        return replace(self, inputs=tuple(map(change, self.inputs)), masked=self.masked.each(change))


@dataclass(frozen=True)
class Captions:
    """Captions and their images, to be masked."""

    examples: Examples
    reader: RegionReader
    encoder: TextEncoder
    masking: MaskingChoices

    def masked(self, whole: NDArray[np.int64], part: NDArray[np.int64], rng: np.random.Generator) -> MaskedBatch:
        """Mask a part of a batch.

        Everything is drawn for the whole batch, so that it does not depend on how many processes share it.

        Args:
            whole: the examples of the batch, (W,).
            part: the places in it of the B that are wanted.
            rng: what draws.
        """
        examples, encoder, choices = self.examples, self.encoder, self.masking
        widest = max(self.reader.max_regions, CAPTION_TOKENS)

        def uniform(shape: torch.Size) -> Tensor:
            drawn = rng.random((len(whole), widest), np.float32)[part, : shape[1]]
            return torch.from_numpy(np.ascontiguousarray(drawn))

        misaligned = rng.random(len(whole)) < MISALIGNED
        others = (whole + 1 + rng.integers(max(len(examples) - 1, 1), size=len(whole))) % len(examples)
        captions = np.where(misaligned, others, whole)[part]
        which = whole[part]
        tokens, is_real = examples.tokens.batch(examples.rows[captions])
        maskable = is_real & (tokens != encoder.cls) & (tokens != encoder.sep)
        vocabulary = encoder.tokenizer.get_vocab_size()
        words, labels = mask_words(tokens, maskable, encoder.mask, vocabulary, uniform, choices.share)
        regions = self.reader.read(examples.images(which), scores=True)
        present = regions.mask_BV[:, 1:]
        masked = mask_regions(
            regions.pixels_BV4[:, 1:], present, uniform, choices.share, choices.overlap, choices.neighbours
        )
        features = regions.features_BVF
        features[:, 1:].masked_fill_(masked.zeroed_BV[..., None], 0)
        features[:, 0] = img_feature(features[:, 1:], masked.visible_BV)
        assert regions.scores_BVC is not None
        sampled = torch.zeros_like(regions.mask_BV)
        sampled[:, 1:] = masked.sampled_BV
        return MaskedBatch(
            which,
            (words, is_real, features, regions.boxes_BV5, regions.mask_BV),
            PretrainingLabels(labels, sampled, regions.scores_BVC, torch.from_numpy(misaligned[part])).masked(
                choices.aligned_only
            ),
            masked_shares(masked, present),
        )


def count_masked(parts: list[MaskedBatch]) -> dict[str, float]:
    """Count what each of the three losses is divided by."""
    return {
        "words": float(sum(len(part.masked.words_K) for part in parts)),
        "regions": float(sum(len(part.masked.region_places_R) for part in parts)),
        "alignment": float(sum(map(len, parts))),
    }


def pretraining_sums(model: nn.Module, batch: MaskedBatch) -> dict[str, tuple[Tensor, int]]:
    """Return the three losses of a masked batch, each a sum and its count."""
    sums: dict[str, tuple[Tensor, int]] = model(PRETRAINING, *batch.inputs, masked=batch.masked)
    return sums


def validate_pretraining(
    model: nn.Module, captions: Captions, only: NDArray[np.int64], batch_size: int, process: Process
) -> float:
    """Return minus the sum of the three losses on captions that are always masked alike: the higher the better."""
    totals = np.zeros((3, 2))

    def made() -> Iterator[tuple[MaskedBatch, bool]]:
        for number, which, is_own in own_batches(only, batch_size, process):
            yield captions.masked(which, np.arange(len(which)), np.random.default_rng(number)), is_own

    with evaluating(model):
        for batch, is_own in ahead(made()):
            sums = pretraining_sums(model, batch.to(process.device))
            if is_own:
                totals += np.array([[float(total), float(count)] for total, count in sums.values()])
    totals = gathered(totals, process)
    return -float((totals[:, 0] / np.maximum(totals[:, 1], 1)).sum())
