"""Files for the servers and scripts that keep a test set's answers.

=======  ==================================================================
vqa      ``[{"question_id": 262148000, "answer": "yes"}, ...]``
gqa      ``[{"questionId": "05451384", "prediction": "yes"}, ...]``
nlvr2    a line a pair, no header: ``test1-0-0-0,True``
snli_ve  a JSON line a pair: ``{"pairID": "3416050480.jpg#4r1c", "label": "neutral"}``
=======  ==================================================================

The forms of VQA (visualqa.org/evaluation), GQA (its eval.py) and NLVR2 (its eval/metrics.py) are the official ones.
SNLI-VE's test labels are public and no server asks for them; its form keeps the dataset's name for a pair.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import write_bytes
from vlmt_cli.datasets import nlvr2, snli_ve
from vlmt_cli.datasets.tables import check_unique
from vlmt_cli.evaluation.metrics import Column, one_array

_INT64 = 1 << 63


def write_submission(task: str, path: Path, ids: Column, predicted: Column) -> None:
    """Write what a model answered to N test examples, whole or not at all.

    The servers refuse a file that lacks a question: give all examples of the test set.

    Args:
        task: ``vqa``, ``gqa``, ``nlvr2`` or ``snli_ve``.
        path: ``.json``, ``.csv`` for NLVR2, ``.jsonl`` for SNLI-VE.
        ids: N example ids, as the example table has them.
        predicted: N answers, or labels by their names.

    Raises:
        UsageError: the task has no such file.
        DataError: an id occurs twice or is none of the dataset's, an answer is missing or no label.
    """
    if task not in FORMS:
        raise UsageError(f"{task} has no submission file", todo=f"choose one of {', '.join(FORMS)}")
    names, answers = one_array(ids).cast(pa.string()), one_array(predicted).cast(pa.string())
    if len(names) != len(answers):
        raise DataError(f"{len(names):,} examples have {len(answers):,} predictions", where=path)
    if names.null_count or answers.null_count:
        raise DataError(f"{names.null_count or answers.null_count:,} examples lack their id or prediction", where=path)
    check_unique(names, path)
    write_bytes(path, FORMS[task](names.to_pylist(), answers, path))


def _vqa(ids: list[str], answers: pa.Array, path: Path) -> bytes:
    for name in ids:
        if not (name.isascii() and name.isdigit() and int(name) < _INT64):
            raise DataError(f"{name!r} is no question id of VQA, which is a number", where=path)
    rows = zip(ids, answers.to_pylist(), strict=True)
    return msgspec.json.encode([{"question_id": int(name), "answer": answer} for name, answer in rows])


def _gqa(ids: list[str], answers: pa.Array, path: Path) -> bytes:
    rows = zip(ids, answers.to_pylist(), strict=True)
    return msgspec.json.encode([{"questionId": name, "prediction": answer} for name, answer in rows])


def _nlvr2(ids: list[str], labels: pa.Array, path: Path) -> bytes:
    _check_labels(labels, nlvr2.LABELS, path)
    for name in ids:
        if not name or set(name) & set(',"\r\n'):
            raise DataError(f"{name!r} is no identifier of NLVR2", where=path)
    return "".join(f"{name},{label}\n" for name, label in zip(ids, labels.to_pylist(), strict=True)).encode()


def _snli_ve(ids: list[str], labels: pa.Array, path: Path) -> bytes:
    _check_labels(labels, snli_ve.LABELS, path)
    rows = zip(ids, labels.to_pylist(), strict=True)
    return msgspec.json.Encoder().encode_lines([{"pairID": name, "label": label} for name, label in rows])


def _check_labels(labels: pa.Array, known: tuple[str, ...], path: Path) -> None:
    wrong = labels.filter(pc.invert(pc.is_in(labels, value_set=pa.array(known))))
    if len(wrong):
        raise DataError(f"{wrong[0].as_py()!r} is no label", where=path, todo=f"write {', '.join(known)}")


FORMS: dict[str, Callable[[list[str], pa.Array, Path], bytes]] = {
    "vqa": _vqa,
    "gqa": _gqa,
    "nlvr2": _nlvr2,
    "snli_ve": _snli_ve,
}
SUFFIXES = {"vqa": ".json", "gqa": ".json", "nlvr2": ".csv", "snli_ve": ".jsonl"}
