"""GQA: compositional questions about Visual Genome images, one answer each.

train_balanced_questions.json (val and testdev alike; test_balanced_questions.json has no answers)
    {"05451384": {"imageId": "2382986", "question": "Are there blankets under the brown cat?", "answer": "no",
                  "fullAnswer": "...", "isBalanced": true, "types": {...}, "groups": {...}, "semantic": [...],
                  "annotations": {...}, "entailed": [...], "equivalent": [...], "semanticStr": "..."}, ...}

From https://cs.stanford.edu/people/dorarad/gqa/download.html. 943,000 train, 132,062 val and 12,578 testdev questions.
The paper trains on balanced train and val less the last 3,000 questions by id: 1,072,062 (table 8), with a vocabulary
of 1,533 answers. It scores on testdev, and counts the images of test, whose answers are secret (table 7: 2,987): test
joins where its file is there. So do the images that only other test files name: challenge's, those of the questions
that balancing left out, and the submission's, which holds all questions of val, testdev, test and challenge.

Traps: the file is one dict whose keys are the question ids; answers are compared as they are ("t-shirt"), not
normalised as VQA's; ``imageId`` is a string, a Visual Genome id in train and val, and "n161313" for images that are
from elsewhere.
"""

from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import image_keys
from vlmt_cli.base.words import quoted
from vlmt_cli.datasets import answers
from vlmt_cli.datasets.options import Options, held_out
from vlmt_cli.datasets.pieces import read_columns
from vlmt_cli.datasets.source import Int64, find, read_json
from vlmt_cli.datasets.tables import VQA, Examples, check_unique, example_table, lists

FILE = "{}_balanced_questions.json"
MORE_TESTS = {
    "testdev-all": "testdev_all_questions.json",
    "test-all": "test_all_questions.json",
    "test-challenge": "challenge_balanced_questions.json",
    "test-challenge-all": "challenge_all_questions.json",
    "test-submission": "submission_all_questions.json",
}
"""Official test files by split, which holds the questions about images that no file before it names."""
WHOLE = ("train_balanced", "val_balanced")
"""Official sets with answers that the splits are cut from."""


class Image(msgspec.Struct, gc=False):
    imageId: str | Int64


class Question(Image, gc=False):
    question: str
    answer: str | None = None


def read(raw: Path, options: Options) -> Examples:
    """Read GQA's balanced questions; the vocabulary holds the most frequent answers of train and val."""
    names = ("train", "val", "testdev", "test")
    notes: dict[str, int] = {}
    tables = {name: _read(path, notes) for name in names if (path := find(raw, FILE.format(name)))}
    splits, known = {}, None
    if labelled := [tables[name] for name in ("train", "val") if name in tables]:
        table = pa.concat_tables(labelled).combine_chunks()  # of one chunk rows are taken several times as fast
        check_unique(table["example_id"], raw)
        table = table.take(pc.sort_indices(_numbers(table["example_id"], raw)))
        train = len(table) - held_out(options.gqa.minval, len(table))
        splits["train"], splits["val"] = table.slice(0, train), table.slice(train)
        right = pc.list_flatten(table["answers"].combine_chunks()).dictionary_encode()
        known = answers.vocabulary(right, at_most=options.gqa.vocabulary)
    splits |= {name: tables[name] for name in ("testdev", "test") if name in tables}
    seen = {image for name in ("testdev", "test") if name in tables for image in _images_of(tables[name])}
    for name, file in MORE_TESTS.items():
        if (path := find(raw, file)) and (more := _about_others(path, seen, name == "test-submission", notes)):
            splits[name] = more
            seen.update(_images_of(more))
    return Examples(splits, answers=known, notes=notes)


def read_whole(raw: Path, part: str) -> pa.Table:
    """Read all questions of an official set, one of ``WHOLE``.

    Raises:
        DataError: its file is missing or damaged.
    """
    name = f"{part}_questions.json"
    if (path := find(raw, name)) is None:
        raise DataError(f"there is no {name}", where=raw, todo="put it there; vlmt data status has its address")
    return _read(path, {})


def _numbers(ids: pa.ChunkedArray, raw: Path) -> pa.ChunkedArray:
    """Turn question ids into numbers, by which they are in order. Raises a DataError that names an id that is none."""
    wrong = ids.filter(pc.invert(pc.match_substring_regex(ids, r"^[0-9]{1,18}\z")))
    if len(wrong):
        what = f"{quoted(wrong[0])} is not a question id of train or val, which is a number"
        raise DataError(what, where=raw, todo="correct or remove that record")
    return ids.cast(pa.int64())


def _images_of(table: pa.Table) -> list[str]:
    keys: list[str] = pc.list_flatten(table["images"]).unique().to_pylist()
    return keys


def _about_others(path: Path, seen: set[str], has_val: bool, notes: dict[str, int]) -> pa.Table | None:
    """Read a test file's questions about images that are not among ``seen``; None where there is none.

    Args:
        path: the file.
        seen: image keys.
        has_val: whether val's questions are in it, too. These are about Visual Genome's images, and the test sets'
            about images with ids of GQA's own.
        notes: what is odd is counted here.
    """
    ids = pa.array(sorted({str(question.imageId) for question in read_json(path, dict[str, Image]).values()}))
    new = _new(_image_keys(ids, path), seen, has_val)
    if not pc.any(new, min_count=0).as_py():
        return None
    table = _read(path, notes)
    return table.filter(_new(pc.list_element(table["images"], 0), seen, has_val))


def _new(keys: pa.Array | pa.ChunkedArray, seen: set[str], has_val: bool) -> pa.Array | pa.ChunkedArray:
    new = pc.invert(pc.is_in(keys, value_set=pa.array(sorted(seen), pa.string())))
    return pc.and_(new, pc.starts_with(keys, "gqa:")) if has_val else new


def _read(path: Path, notes: dict[str, int]) -> pa.Table:
    once = lambda read: {"imageId": len(read)}  # noqa: E731
    read = read_columns(path, dict[str, Question], _columns, notes=notes, once=once)
    return example_table(
        VQA,
        path,
        example_id=read["id"],
        images=_image_keys(read["image"], path),
        text=read["question"],
        **_answers(read["answer"]),
    )


def _columns(questions: dict[str, Question]) -> dict[str, pa.Array]:
    return {
        "id": pa.array(list(questions), pa.string()),
        "image": pa.array([str(each.imageId) for each in questions.values()], pa.string()),
        "question": pa.array([each.question for each in questions.values()], pa.string()),
        "answer": pa.array([each.answer for each in questions.values()], pa.string()),
    }


def _answers(right: pa.Array) -> dict[str, pa.Array]:
    if right.null_count == 0:
        distinct, counts = answers.single_answers(right.dictionary_encode())
        return {"answers": distinct, "counts": counts}
    known = right.is_valid().cast(pa.int32())
    distinct, counts = answers.single_answers(right.drop_null().dictionary_encode())
    lengths = known.to_numpy()
    return {"answers": lists(lengths, distinct.values), "counts": lists(lengths, counts.values)}


def _image_keys(ids: pa.Array, path: Path) -> pa.Array:
    """Name numeric images after Visual Genome, the others ("n161313") after GQA."""
    ours = pc.starts_with(ids, "n")
    if not pc.any(ours, min_count=0).as_py():
        return image_keys("vg", ids, path)
    elsewhere = image_keys("gqa", pc.if_else(ours, ids, "n0"), path)
    return pc.if_else(ours, elsewhere, image_keys("vg", pc.if_else(ours, "0", ids), path))


def submission(ids: list[str], answers: pa.Array, path: Path) -> bytes:
    """Encode answers as GQA's eval.py takes them: ``[{"questionId": "05451384", "prediction": "yes"}, ...]``."""
    rows = zip(ids, answers.to_pylist(), strict=True)
    return msgspec.json.encode([{"questionId": name, "prediction": answer} for name, answer in rows])
