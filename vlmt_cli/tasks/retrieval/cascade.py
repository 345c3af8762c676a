"""A shortlist scored by the model; see ``shortlist`` for the cheap score that makes it, and for what it loses."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.load import make_batch
from vlmt_cli.tasks.retrieval import rules
from vlmt_cli.tasks.retrieval.matrix import Block, Pairs, mean_state
from vlmt_cli.tasks.retrieval.shortlist import SAMPLE, CheapScore, Validation, choose_pairs, fill, fit, losses

_IMAGES_AT_ONCE = 128
"""More than where all pairs are scored: of a batch of captions and so many images, few are on a shortlist."""


@dataclass(frozen=True)
class Cascade:
    """A shortlist that was asked for.

    Attributes:
        k: images for each caption, and captions for each image.
        validation: captions, with other captions and images drawn for them, on which the cheap score is fitted.
    """

    k: int
    validation: Examples


@torch.inference_mode()
def rank_shortlist(pairs: Pairs, cascade: Cascade) -> dict[str, Any]:
    """Score a shortlist of captions and images with the model; the other pairs come behind, by the cheap score.

    Beside the shortlist all pairs of the first thousand of COCO's 5,000 images are scored, which the paper has, and all
    that a sample of images or their captions is in, to measure what the shortlist loses.

    Returns:
        ``scores_CI``; of COCO's 5,000 images ``fold_CI``, the first thousand with their captions, all scored; and
        ``shortlist``, how they were made: ``k``; of how many ``pairs`` how many were ``scored``; how many validation
        pairs the cheap score was ``fitted`` on; how many ``captions`` and ``images`` are in the sample; their ``loss``,
        of ``losses``. In others than the first process, nothing.
    """
    pairs = replace(pairs, at_once=_IMAGES_AT_ONCE)
    examples, process = pairs.examples, pairs.process
    pairs.model.eval()
    image_of_C, images = _images_of(examples), len(examples.names)
    in_fold = np.ix_(image_of_C < rules.FOLD, np.arange(images) < rules.FOLD) if images == rules.FOLDED else None
    fitted = process.to_first(list(_validation_parts(pairs, cascade.validation)))
    means = process.to_first([(block, mean_state(image)) for block, image in pairs.images()])
    needed = np.zeros((len(examples), images), bool)
    if process.is_first:
        known = _validation(cascade.validation, [part for parts in fitted for part in parts])
        cheap = _cheap_scores(pairs, fit(known), [block for blocks in means for block in blocks])
        chosen = choose_pairs(cheap, cascade.k)
        sample = np.sort(np.random.default_rng(0).permutation(images)[:SAMPLE])
        is_sampled_C = np.isin(image_of_C, sample)
        needed |= chosen | is_sampled_C[:, None]
        needed[:, sample] = True
        if in_fold:
            needed[in_fold] = True
    bits = process.from_first(np.packbits(needed))
    needed = np.unpackbits(bits, count=needed.size).view(bool).reshape(needed.shape)
    parts = process.to_first(list(pairs.scored(needed)))
    if not process.is_first:
        return {}
    scores = pairs.together(parts)
    filled = fill(scores, cheap, chosen)
    made = {
        "k": cascade.k,
        "pairs": needed.size,
        "scored": int(needed.sum()),
        "fitted": len(known.scores_P),
        "captions": int(is_sampled_C.sum()),
        "images": len(sample),
        "loss": losses(scores, filled, image_of_C, sample),
    }
    return {"scores_CI": filled, "shortlist": made} | ({"fold_CI": scores[in_fold]} if in_fold else {})


class _Part(NamedTuple):
    """A batch of validation: captions, their images, the means of both, and pairs with their scores."""

    captions_B: NDArray[np.int64]
    images_B: NDArray[np.int64]
    texts_BD: NDArray[np.float32]
    images_BE: NDArray[np.float32]
    captions_P: NDArray[np.int64]
    images_P: NDArray[np.int64]
    scores_P: NDArray[np.float32]


def _validation_parts(pairs: Pairs, examples: Examples) -> Iterator[_Part]:
    """Go through this process's batches of validation's captions, each with the four options that it is scored on."""
    model, process = pairs.model, pairs.process
    image_of_C = _images_of(examples)
    order = np.argsort(examples.lengths[:], kind="stable")
    cuts = np.split(order, range(pairs.batch_size, len(order), pairs.batch_size))
    for which in cuts[process.rank :: process.world]:
        batch = make_batch(examples, which, pairs.reader, pairs.token).to(process.device, torch.float32)
        _, tokens, token_mask, features, boxes, region_mask, task, which_pairs = batch.inputs()
        text = model.trunk.encode_text(tokens, token_mask, task)
        image = model.trunk.encode_image(features, boxes, region_mask)
        texts_P, images_P = which_pairs
        joined = model.trunk.join(text.repeat(texts_P), image.repeat(images_P), pooled_only=True)
        scores = model.heads["retrieval"](model.trunk.fuse(joined)).squeeze(1).float().cpu().numpy()
        random, other, hard = examples.columns["drawn"][:, which]
        captions = np.concatenate([which, random, hard])[texts_P.cpu().numpy()]
        shown = image_of_C[np.concatenate([which, other])[images_P.cpu().numpy()]]
        n = len(which)
        yield _Part(which, image_of_C[which], mean_state(text)[:n], mean_state(image)[:n], captions, shown, scores)


def _validation(examples: Examples, parts: list[_Part]) -> Validation:
    texts = np.empty((len(examples), parts[0].texts_BD.shape[1]), np.float32)
    images = np.empty((len(examples.names), parts[0].images_BE.shape[1]), np.float32)
    # Whichever process had a part, sums are over pairs in one order.
    parts = sorted(parts, key=lambda part: int(part.captions_B[0]))
    for part in parts:
        texts[part.captions_B], images[part.images_B] = part.texts_BD, part.images_BE
    pairs = ([getattr(part, name) for part in parts] for name in ("captions_P", "images_P", "scores_P"))
    return Validation(texts, images, _images_of(examples), *map(np.concatenate, pairs))


def _cheap_scores(pairs: Pairs, cheap: CheapScore, means: list[Block]) -> NDArray[np.float32]:
    texts = np.concatenate([mean_state(text) for text in pairs.texts])
    scores = np.empty((len(texts), len(pairs.examples.names)), np.float32)
    images = np.empty((scores.shape[1], means[0][1].shape[1]), np.float32)
    for block, part in means:
        images[block] = part
    scores[pairs.order] = cheap.of(texts, images)
    return scores


def _images_of(examples: Examples) -> NDArray[np.int64]:
    """Return the image of each caption."""
    return examples.codes[examples.offsets[:-1]].astype(np.int64)
