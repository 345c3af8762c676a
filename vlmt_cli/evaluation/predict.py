"""Any task on anyone's photos and texts, from one model: regions and texts to typed answers (figures 3, 8 and 9).

What comes out is what ``run.predict_examples`` says of an example that is made of the same photo and text.

Shapes: B photos, T texts, V rows of regions (IMG first), C candidates, P pairs of a text and a photo.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.progress import Progress
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.evaluation.predictions import (
    Answer,
    Answers,
    Box,
    Boxes,
    Photos,
    Prediction,
    RankedPhoto,
    RankedText,
    Texts,
)
from vlmt_cli.evaluation.question import check_question
from vlmt_cli.evaluation.setup import LoadedModel
from vlmt_cli.features.reader import Given, RegionBatch, assemble
from vlmt_cli.features.record import Regions
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.tasks.groups import head_of, rules_of
from vlmt_cli.tasks.process import ALONE, Process
from vlmt_cli.tasks.text import TextEncoder, encode_column

Each = TypeVar("Each")

TOP = 5
_TEXTS, _PHOTOS = 32, 8  # that meet in the model at once


@dataclass(frozen=True)
class Photo:
    """A photo as the model sees it.

    Attributes:
        name: its file or image key.
        regions: detected ones, as a feature store holds them.
        candidates: given boxes to choose among; None where the detected ones are.
    """

    name: str
    regions: Regions
    candidates: Regions | None = None


class _Model(NamedTuple):
    """What answers: a model, and as which task."""

    loaded: LoadedModel
    task: str

    @property
    def max_regions(self) -> int:
        """Detected regions a photo that it sees."""
        return self.loaded.features.regions


def predict(
    loaded: LoadedModel,
    task: str,
    photos: Sequence[Photo],
    texts: Sequence[str],
    *,
    top: int = TOP,
    process: Process = ALONE,
    progress: Progress | None = None,
) -> list[Prediction]:
    """Ask a model about photos.

    Args:
        loaded: the model, on any device.
        task: which.
        photos: those of this process's ``share``; all, where it is alone. NLVR2 takes two together; retrieval ranks
            several for each text, or the texts for one; all others go one by one.
        texts: questions, phrases, dialogues, captions or statements, as the task has them; each goes with each photo.
        top: how many answers, boxes, photos or texts to return of each; of the classes of NLVR2 and SNLI-VE all.
        process: this one, among those that share the photos.
        progress: called with how many photos were ranked, of how many.

    Returns:
        In others than the first process, nothing.
        For each photo (or NLVR2's pair) each text's answers or boxes. Of retrieval, for each text the photos; for a
        single photo the texts.

    Raises:
        UsageError: as ``check_question_fits``.
        DataError: the checkpoint has no tokenizer or no answers for the task, or regions are of another width than it
            takes.
    """
    checkpoint = loaded.checkpoint
    everything = process.from_first(sum(process.to_first(len(photos))))
    check_question_fits(checkpoint, task, everything, texts)
    width = checkpoint.config.trunk.region_features
    for photo in photos:
        if (found_width := photo.regions.features.shape[1]) != width:
            what = f"the model takes features of width {width}, and the photo's have {found_width}"
            raise DataError(what, where=photo.name, todo="name the store that it was trained on with --features")
    model = _Model(loaded, task)
    with torch.inference_mode():
        predicts, together = rules_of(task).PREDICTS, TASKS[task].images
        if predicts == "ranking":
            own = [(photo.name, scores_T) for photo, scores_T in _scored(model, photos, texts, progress)]
            ranked = in_order(process.to_first(own), everything)
            return _ranked([name for name, _ in ranked], [scores for _, scores in ranked], texts, top)
        if predicts == "boxes":
            said = [_located(model, photo, texts, top) for photo in photos]
        else:
            shown = [photos[start : start + together] for start in range(0, len(photos), together)]
            said = [_answered(model, group, texts, top) for group in shown]
    return [prediction for each in in_order(process.to_first(said), everything) for prediction in each]


def share(photos: int, process: Process) -> list[int]:
    """Say which of some photos are a process's: some together, dealt round, so that these do not depend on the others.

    Two photos, as NLVR2 compares them, stay together.
    """
    return [
        number
        for first in range(process.rank * _PHOTOS, photos, process.world * _PHOTOS)
        for number in range(first, min(first + _PHOTOS, photos))
    ]


def in_order(parts: Sequence[Sequence[Each]], photos: int) -> list[Each]:
    """Put what processes have of their photos, each of its ``share``, into the photos' order."""
    shares = [share(photos, Process(rank=rank, world=len(parts))) for rank in range(len(parts))]
    numbered = [pair for own, part in zip(shares, parts, strict=True) for pair in zip(own, part, strict=False)]
    return [each for _, each in sorted(numbered, key=lambda pair: pair[0])]


def check_question_fits(checkpoint: Checkpoint, task: str, photos: int, texts: Sequence[str]) -> None:
    """Find out early whether a question can be asked.

    Raises:
        UsageError: the model has no head for the task, the task takes another number of photos or texts, or a text is
            empty.
        DataError: the checkpoint has no tokenizer, or no answers for the task.
    """
    check_question(task, photos, texts)
    head, heads = TASKS[task].head, checkpoint.config.heads
    if head not in heads:
        able = [name for name in TASKS if TASKS[name].head in heads]
        has = f"it has those of {', '.join(able)}" if able else "it was pre-trained only"
        raise UsageError(f"the model has no head for {task}; {has}")
    if checkpoint.tokenizer is None:
        raise DataError("the checkpoint has no tokenizer", todo="give one to vlmt convert with --tokenizer")
    if (TASKS[task].labels or TASKS[task].vocabulary) and head not in checkpoint.labels:
        todo = f"give them to vlmt convert with --answers {head}=FILE"
        raise DataError(f"the checkpoint does not say what its {head} answers are", todo=todo)


def remarks(checkpoint: Checkpoint, task: str, text: str) -> list[str]:
    """Say what of a text the model does not read: words that its tokenizer does not know, and what is cut off."""
    assert checkpoint.tokenizer is not None
    encoder, longest = TextEncoder(checkpoint.tokenizer), TASKS[task].max_tokens - 2
    encoded = encoder.tokenizer.encode(text, add_special_tokens=False)
    unknown = encoder.tokenizer.token_to_id("[UNK]")
    read = zip(encoded.ids[:longest], encoded.offsets, strict=False)
    said = []
    if words := dict.fromkeys(text[begin:end] for number, (begin, end) in read if number == unknown):
        said.append(f"the model does not know the word{'s' * (len(words) > 1)} {', '.join(map(repr, words))}")
    if len(encoded.ids) > longest:
        said.append(f"the model reads the first {longest} of the text's {len(encoded.ids)} tokens")
    return said


def stack(photos: Sequence[Photo], max_regions: int) -> RegionBatch:
    """Put photos' regions together as ``RegionReader.read`` does: IMG, detected regions, candidates.

    Args:
        photos: B of them, with features of one width.
        max_regions: detected regions of each, at most.
    """
    detected = torch.tensor([min(len(photo.regions.boxes), max_regions) for photo in photos])
    width = photos[0].regions.features.shape[1]
    nothing = Given(np.empty((0, 4), np.float32), np.empty((0, width), np.float16))
    given = [nothing if (own := photo.candidates) is None else Given(own.boxes, own.features) for photo in photos]
    rows = 1 + int(detected.max()) + max(len(boxes.boxes) for boxes in given)
    features, pixels = torch.zeros(len(photos), rows, width), torch.zeros(len(photos), rows, 4)
    for row, (photo, last) in enumerate(zip(photos, detected.tolist(), strict=True)):
        features[row, 1 : 1 + last] = torch.tensor(photo.regions.features[:last], dtype=torch.float32)
        pixels[row, 1 : 1 + last] = torch.tensor(photo.regions.boxes[:last])
    sizes = torch.tensor([[photo.regions.width, photo.regions.height] for photo in photos], dtype=torch.float32)
    return assemble(features, pixels, detected, sizes, given)


def _run(model: _Model, regions: RegionBatch, texts: Sequence[str]) -> Tensor:
    """Return the head's output for every text with every photo: pair t * B + b is text t with photo b."""
    inner = model.loaded.checkpoint.model
    device = next(inner.parameters()).device
    tokens = encode_column(pa.array(texts, pa.string()), model.loaded.encoder, TASKS[model.task].max_tokens)
    ids, mask = tokens.batch(np.arange(len(texts)))
    photos = len(regions.features_BVF)
    grid = torch.cartesian_prod(torch.arange(len(texts)), torch.arange(photos))
    token = model.loaded.token(model.task)
    task = None if token is None else torch.full((len(texts),), token)
    inputs: list[Any] = [ids, mask, regions.features_BVF, regions.boxes_BV5, regions.mask_BV, task]
    moved = [None if tensor is None else tensor.to(device) for tensor in inputs]
    pairs = (grid[:, 0].to(device), grid[:, 1].to(device))
    output: Tensor = inner(TASKS[model.task].head, *moved, pairs)
    return output.float().cpu()


def _outputs(model: _Model, regions: RegionBatch, texts: Sequence[str]) -> Iterator[tuple[list[str], Tensor]]:
    """Go through the texts some at a time, each part with the head's output."""
    for first in range(0, len(texts), _TEXTS):
        part = list(texts[first : first + _TEXTS])
        yield part, _run(model, regions, part)


def _answered(model: _Model, photos: Sequence[Photo], texts: Sequence[str], top: int) -> list[Prediction]:
    """Answer each text: of a vocabulary the ``top`` answers, each with its own probability; of few classes all."""
    own = bool(TASKS[model.task].vocabulary)
    labels = model.loaded.checkpoint.labels[TASKS[model.task].head]
    predictions: list[Prediction] = []
    for part, logits_TA in _outputs(model, stack(photos, model.max_regions), texts):
        probabilities = logits_TA.sigmoid() if own else logits_TA.softmax(1)
        best = probabilities.sort(dim=1, descending=True, stable=True)
        for text, shares, places in zip(part, best.values.tolist(), best.indices.tolist(), strict=True):
            first = top if own else len(places)
            answers = [
                Answer(labels[index], share) for index, share in zip(places[:first], shares[:first], strict=True)
            ]
            predictions.append(Answers(text, [photo.name for photo in photos], answers))
    return predictions


def _located(model: _Model, photo: Photo, texts: Sequence[str], top: int) -> list[Prediction]:
    """Find the regions of a photo that each text may mean: among its candidates where it has some."""
    regions = stack([photo], model.max_regions)
    among = photo.candidates is not None
    rows = regions.places_BC[0] if among else torch.arange(regions.pixels_BV4.shape[1])
    predictions: list[Prediction] = []
    for part, scores_TV in _outputs(model, regions, texts):
        places = {"rows": rows.expand(len(part), -1), "there": regions.candidates_BC.expand(len(part), -1)}
        chosen = head_of(model.task).options(scores_TV, places if among else {})
        shares = chosen.softmax(1)
        for text, scores, probabilities in zip(part, chosen, shares, strict=True):
            best = scores.sort(descending=True, stable=True).indices[: min(top, len(rows) - (not among))]
            boxes = [
                Box(
                    _corners(regions.pixels_BV4[0, rows[index]]),
                    float(probabilities[index]),
                    float(scores[index]),
                    int(index) - (not among),
                )
                for index in best
            ]
            predictions.append(Boxes(text, photo.name, boxes))
    return predictions


def _scored(
    model: _Model, photos: Sequence[Photo], texts: Sequence[str], progress: Progress | None
) -> Iterator[tuple[Photo, Tensor]]:
    """Go through the photos, each with the scores of all texts."""
    for first in range(0, len(photos), _PHOTOS):
        group = photos[first : first + _PHOTOS]
        regions = stack(group, model.max_regions)
        scores_TB = torch.cat([scores.view(len(part), -1) for part, scores in _outputs(model, regions, texts)])
        yield from zip(group, scores_TB.T, strict=True)
        if progress:
            progress("", min(first + _PHOTOS, len(photos)), len(photos))


def _ranked(names: Sequence[str], scores_BT: Sequence[Tensor], texts: Sequence[str], top: int) -> list[Prediction]:
    """Rank several photos for each text, or the texts for one photo; of no photos nothing."""
    if not names:
        return []
    scores_TB = torch.stack(list(scores_BT), 1)
    if len(names) == 1:
        best = _best(scores_TB[:, 0], top)
        return [Texts(names[0], [RankedText(texts[index], score, share) for index, score, share in best])]
    return [
        Photos(text, [RankedPhoto(names[index], score, share) for index, score, share in _best(scores_B, top)])
        for text, scores_B in zip(texts, scores_TB, strict=True)
    ]


def _best(scores_N: Tensor, top: int) -> list[tuple[int, float, float]]:
    """Return the places of the best, with their scores and their shares among all."""
    order = scores_N.sort(descending=True, stable=True)
    shares = order.values.softmax(0)
    return list(zip(order.indices[:top].tolist(), order.values[:top].tolist(), shares[:top].tolist(), strict=True))


def _corners(pixels_4: Tensor) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (round(side, 2) for side in pixels_4.tolist())
    return x1, y1, x2, y2
