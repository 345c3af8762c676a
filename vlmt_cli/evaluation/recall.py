"""Retrieval as it is officially scored: every caption against every image, in both directions (table 2, G2).

COCO's 5,000 test images have two protocols: all of them (5k), and five folds of a thousand (1k), of which the paper
and the authors' code take the first.

Shapes: C captions, I images.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.evaluation.judge import Judged, Measure, named
from vlmt_cli.evaluation.metrics import Ranks, fold_weights, folds_of, one_array, recall, retrieval_ranks
from vlmt_cli.evaluation.run import Place, Progress
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.tasks.examples import Examples
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.retrieval import score_matrix

KS = (1, 5, 10)
FOLDED, FOLD = 5000, 1000
"""A test set of so many images is also scored in folds of so many."""
PROTOCOL, WHOLE = "1k", "5k"
BEST = 10
_IMAGES_AT_ONCE = 16
_PAIRS_AT_ONCE = 256


def score_pairs(
    model: MultiTaskModel,
    examples: Examples,
    reader: RegionReader,
    token: int | None,
    batch_size: int,
    place: Place,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Score each of C captions against each of I images, (C, I), both in the order of the examples.

    ``progress`` counts pairs.
    """
    order = np.argsort(examples.lengths, kind="stable")
    cuts = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    keys: list[str] = examples.names.tolist()

    def captions(which: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor | None]:
        ids, mask = examples.tokens.batch(examples.rows[which])
        task = None if token is None else torch.full((len(ids),), token, device=place.device)
        return ids.to(place.device), mask.to(place.device), task

    def images() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for start in range(0, len(keys), _IMAGES_AT_ONCE):
            regions = reader.read(keys[start : start + _IMAGES_AT_ONCE])
            features = regions.features_BVF.to(place.device, torch.float32)
            yield features, regions.boxes_BV5.to(place.device), regions.mask_BV.to(place.device)
            if progress:
                done = min(start + _IMAGES_AT_ONCE, len(keys))
                progress(examples.task, done * len(examples), len(keys) * len(examples))

    model.eval()
    head = model.heads["retrieval"]
    matrix = score_matrix(model.trunk, head, [captions(which) for which in cuts], images(), _PAIRS_AT_ONCE)
    scores = np.empty(matrix.shape, np.float32)
    scores[order] = matrix.float().cpu().numpy()
    return scores


def first_fold(images: pa.ChunkedArray) -> NDArray[np.int64] | None:
    """Return the captions of the first thousand images, in the order of the file; None where there are no folds."""
    images = one_array(pc.list_element(one_array(images), 0)).dictionary_encode()
    if len(images.dictionary) != FOLDED:
        return None
    return np.flatnonzero(images.indices.to_numpy() < FOLD)


def judge_retrieval(
    split: str, table: pa.Table, examples: Examples, scores_CI: NDArray[np.float32], protocol: str = ""
) -> Judged:
    """Rank and score.

    Args:
        split: its name.
        table: the captions.
        examples: C captions of I images.
        scores_CI: ``score_pairs``.
        protocol: of examples that are one fold already.

    Returns:
        Recall@1 of image retrieval, of each caption; Recall@5 and 10, the median rank, and caption retrieval beside
        it. Of 5,000 images: that of the first fold, with all folds and all images beside it.
    """
    image_of_C = examples.codes.astype(np.int64)
    captions, pictures = scores_CI.shape
    whole = retrieval_ranks(scores_CI, image_of_C)
    best_CK = _best(scores_CI, min(BEST, pictures))
    columns = {
        **named(table),
        "score": pa.array(recall(whole.image_C, 1)),
        "rank": pa.array(whole.image_C),
        "caption_rank": pa.array(whole.caption_I[image_of_C]),
        "best": pa.array(examples.names[best_CK].tolist(), pa.list_(pa.string())),
    }
    if pictures != FOLDED:
        scores, extra = recall(whole.image_C, 1), _recalls(whole, image_of_C)
        return Judged(split, columns["images"], np.arange(captions), scores, extra, columns, protocol)
    folds_I = folds_of(pictures, FOLD)
    folded = retrieval_ranks(scores_CI, image_of_C, folds_I)
    fold_C = folds_I[image_of_C]
    columns |= {
        "score": pa.array(recall(folded.image_C, 1)),
        "fold": pa.array(fold_C),
        "fold_rank": pa.array(folded.image_C),
        "fold_caption_rank": pa.array(folded.caption_I[image_of_C]),
    }
    counted = np.flatnonzero(fold_C == 0)
    first = Ranks(folded.image_C[counted], folded.caption_I[folds_I == 0])
    extra = _recalls(first, image_of_C[counted])
    weights_C, weights_I = fold_weights(fold_C), fold_weights(folds_I)
    extra["Recall@1 of all folds"] = Measure(recall(folded.image_C, 1), image_of_C, weights_C)
    extra["caption Recall@1 of all folds"] = Measure(recall(folded.caption_I, 1), None, weights_I)
    everything = {"Recall@1": Measure(recall(whole.image_C, 1), image_of_C), **_recalls(whole, image_of_C)}
    extra |= {f"{WHOLE} {name}": measure for name, measure in everything.items()}
    scores = recall(first.image_C, 1)
    return Judged(split, columns["images"], counted, scores, extra, columns, PROTOCOL)


def _recalls(ranks: Ranks, image_of_C: NDArray[np.int64]) -> dict[str, Measure | float]:
    """Return all that is said of ranks beside Recall@1 of image retrieval."""
    extra: dict[str, Measure | float] = {f"Recall@{k}": Measure(recall(ranks.image_C, k), image_of_C) for k in KS[1:]}
    extra["median rank"] = float(np.median(ranks.image_C))
    extra |= {f"caption Recall@{k}": Measure(recall(ranks.caption_I, k)) for k in KS}
    return extra


def _best(scores_CI: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Return the places of each caption's k best images, the best first, (C, K)."""
    best = torch.topk(torch.from_numpy(scores_CI), k, dim=1).indices
    return cast(NDArray[np.int64], best.numpy())
