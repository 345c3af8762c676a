"""Referring expressions by the ids of the refer toolkit: of sentences, of references and of objects.

A row is a sentence. A reference, and the object that it means, has some: a box by their ids answers each of their
sentences, or the one that stands beside it, or in the file's order where the file has a box a sentence.

The three kinds are numbers that overlap. Which of them ids are, their field says, unless the image, the expression or
the right box beside them contradict it; ids of a field that does not say it are of the kind that these agree with, and
without any of these of the only kind that they fit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.evaluation.answers.keys import AGREE, NEARLY, first_line, keys_of_all, without_zeros
from vlmt_cli.evaluation.answers.predicted import Predicted

_FEW = 20
_OTHER = "question id"
"""Ids whose kind a benchmark's file does not say."""


@dataclass(frozen=True)
class Led:
    """The rows that a column of ids leads to, where it is read as one kind.

    Attributes:
        by: the kind, and how several sentences of an id are told apart, in words.
        at, to: (M,) predictions and their rows; a prediction may have several.
        with_row: how many predictions have a row; ``has_all``, whether all do.
        fits: whether enough do (``NEARLY``).
        agrees, checked: as ``Sides.agree`` says; None where nothing compares.
        covers: the share of the rows' ids of the kind that predictions have.
        stated: the kind that the field says; empty where it says none.
        is_stated: whether it is this one.
        is_contradicted: whether the file's other ids lead elsewhere.
    """

    by: str
    at: NDArray[np.int64]
    to: NDArray[np.int64]
    with_row: int
    has_all: bool
    fits: bool
    agrees: NDArray[np.bool_] | None
    checked: str
    covers: float
    stated: str
    is_stated: bool
    is_contradicted: bool


def columns_of(predicted: Predicted) -> dict[str, pa.Array]:
    """Return the columns of ids that predictions have, by the kind that their field states; empty for one that says
    nothing of it. Numbers that count sentences within each reference are not ids."""
    if predicted.form == "vlmt" and predicted.ids is not None:
        return {"sent_id": predicted.ids}
    named = dict(predicted.refer_ids)
    if predicted.ids is not None and not any(predicted.ids.equals(each) for each in named.values()):
        named[""] = predicted.ids
    for kind in named.keys() & {"ref_id", "ann_id"}:
        if "sent_id" in named:
            together = keys_of_all(named["sent_id"], named[kind])
            if pc.count_distinct(together).as_py() > pc.count_distinct(named["sent_id"]).as_py():
                del named["sent_id"]
    return named


def leads(
    predicted: Predicted, name: str, ids: Mapping[str, pa.Array], row_ids: pa.Array, row_texts: pa.Array, agree: Any
) -> Iterator[Led | str]:
    """Yield the rows that each column of ids leads to as each kind, or a sentence that says why it leads to none.

    Args:
        predicted: N predictions.
        name: of the benchmark.
        ids: of the M rows, by kind.
        row_ids: of the M rows where their kind is not known.
        row_texts: M first lines.
        agree: ``Sides.agree``.
    """
    columns = {kind: without_zeros(each) for kind, each in columns_of(predicted).items()}
    ids, row_ids = {kind: without_zeros(each) for kind, each in ids.items()}, without_zeros(row_ids)
    texts = None if predicted.texts is None else first_line(predicted.texts)
    theirs = dict(ids) if "sent_id" in ids else {_OTHER: row_ids, **ids}
    for stated, ours in columns.items():
        if stated and stated not in ids:
            yield f"which {stated}s {name} has is not known without its official files"
        for kind, keys in theirs.items():
            if stated and kind == _OTHER:
                continue
            at, to, how = _pairs(ours, keys, texts, row_texts)
            with_row = len(np.unique(at))
            if not with_row:
                yield f"no {stated or 'id'} is {'an' if kind == 'ann_id' else 'a'} {kind} of {name}"
                continue
            agrees, checked = agree(at, to, kind)
            kinds = pc.count_distinct(keys).as_py()
            yield Led(
                by=kind + how,
                at=at,
                to=to,
                with_row=with_row,
                has_all=with_row == len(predicted),
                fits=with_row >= NEARLY * min(len(predicted), kinds),
                agrees=agrees,
                checked=checked,
                covers=pc.count_distinct(keys.take(pa.array(to))).as_py() / kinds,
                stated=stated,
                is_stated=stated == kind,
                is_contradicted=_differ(columns, ids, stated, at, to),
            )


def choose(led: list[Led], boxes: pa.Array | None) -> tuple[Led | None, list[Led], list[str]]:
    """Choose by which ids predictions are joined.

    Args:
        led: where they lead.
        boxes: the right boxes of all rows; None where they are not known.

    Returns:
        What joins them; what joins but few; and the kinds that would do as well with other answers, where nothing tells
        which is right.
    """
    agreeing = [each for each in led if each.agrees is None or each.agrees.mean() >= AGREE]
    proven = [each for each in agreeing if each.agrees is not None]
    stated = [each for each in agreeing if each.is_stated and (each.agrees is not None or not each.is_contradicted)]
    if chosen := next((each for each in stated if each.fits), None):
        better = [each for each in agreeing if each.stated == chosen.stated and _fits_whole(each)]
        if chosen.agrees is None and chosen.covers < AGREE and better:
            return None, [], [chosen.by, *(each.by for each in better)]
        return chosen, [], []
    usable = [each for each in proven if each.fits]
    if not usable:  # ids of a field that says another kind need proof
        unsaid = [each for each in agreeing if not each.stated and each.agrees is None and not each.is_contradicted]
        most = max((each.with_row for each in unsaid if each.fits), default=None)
        usable = [each for each in unsaid if most is not None and each.with_row >= NEARLY * most]
    usable = sorted(usable, key=lambda each: (not each.fits, -each.with_row))
    if not usable:
        return None, [*stated, *(each for each in proven if not each.is_stated)], []
    differing = [each.by for each in usable if not _have_same_answers(each, usable[0], boxes)]
    return (None, [], [usable[0].by, *differing]) if differing else (usable[0], [], [])


def _fits_whole(led: Led) -> bool:
    """Whether the ids of a field that states another kind are all ids of this kind, which chance does not make."""
    return not led.is_stated and led.covers == 1 and led.has_all and len(led.at) > _FEW


def _pairs(
    ours: pa.Array, keys: pa.Array, texts: pa.Array | None, row_texts: pa.Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Pair N predictions with the rows of their ids.

    Returns:
        (M,) predictions, (M,) rows, and in words how several rows of an id are told apart.
    """
    encoded = keys.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy()
    known = pc.index_in(ours, value_set=encoded.dictionary, skip_nulls=True).fill_null(-1).to_numpy().astype(np.int64)
    at = np.flatnonzero(known >= 0)
    mine = known[at]
    counts = np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary))
    in_order = np.argsort(codes, kind="stable")
    starts = int((codes < 0).sum()) + np.cumsum(counts) - counts
    several = (counts > 1) & (np.bincount(mine, minlength=len(counts)) > 0)
    if not several.any():
        return at, in_order[starts[mine]], ""
    if texts is not None:
        said, asked = texts.take(pa.array(at)).to_pylist(), row_texts.to_pylist()
        return at, _by_text(mine, said, asked, [in_order[start : start + n] for start, n in zip(
            starts.tolist(), counts.tolist(), strict=True)]), " and expression"  # fmt: skip
    answered = np.bincount(mine, minlength=len(counts))
    if (answered[several] > 1).mean() >= NEARLY:
        order = np.argsort(mine, kind="stable")
        before = np.empty(len(mine), np.int64)
        before[order] = np.arange(len(mine)) - np.repeat(np.cumsum(answered) - answered, answered)
        fit = before < counts[mine]
        return at[fit], in_order[(starts[mine] + before)[fit]], ", and within each by order"
    sizes = counts[mine]
    offsets = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return (
        np.repeat(at, sizes),
        in_order[np.repeat(starts[mine], sizes) + offsets],
        ", a box for all of its expressions",
    )


def _by_text(
    mine: NDArray[np.int64], said: list[str | None], asked: list[str | None], rows: list[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Choose the row of each prediction among those of its id: of the same text, of one in it, or of none of them."""
    used: set[int] = set()
    to = np.empty(len(mine), np.int64)
    for number, (code, text) in enumerate(zip(mine.tolist(), said, strict=True)):
        options = rows[code].tolist()
        fits = [row for row in options if text is not None and asked[row] == text]
        if not fits and text is not None:
            fits = [row for row in options if asked[row] and str(asked[row]) in text]
            longest = max((len(str(asked[row])) for row in fits), default=0)
            fits = [row for row in fits if len(str(asked[row])) == longest]
        fits = fits or options
        to[number] = next((row for row in fits if row not in used), fits[0])
        used.add(int(to[number]))
    return to


def _differ(
    columns: Mapping[str, pa.Array],
    ids: Mapping[str, pa.Array],
    stated: str,
    at: NDArray[np.int64],
    to: NDArray[np.int64],
) -> bool:
    """Whether another column of ids, which says its kind, is of other rows."""
    for kind in columns.keys() & ids.keys() - {stated}:
        same = pc.equal(columns[kind].take(pa.array(at)), ids[kind].take(pa.array(to)))
        if same.null_count < len(same) and pc.mean(same).as_py() < AGREE:
            return True
    return False


def _have_same_answers(led: Led, other: Led, boxes: pa.Array | None) -> bool:
    """Whether both lead to rows with the same right box, for the predictions that both lead anywhere."""
    common, first, second = np.intersect1d(led.at, other.at, return_indices=True)
    rows = led.to[first], other.to[second]
    if boxes is None or not len(common):
        return bool(np.array_equal(*rows))
    ours, theirs = (boxes.take(pa.array(each)).to_pylist() for each in rows)
    return bool(ours == theirs)
