"""Ids of referring expressions: of sentences, references or objects, and never of a kind that something contradicts."""

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.forms import form_of, read_predictions
from vlmt_cli.evaluation.answers.join import join
from vlmt_cli.evaluation.answers.joined import in_words
from vlmt_cli.evaluation.answers.other_splits import other_set
from vlmt_cli.evaluation.answers.row_files import rows_of_files
from vlmt_cli.evaluation.answers.rows import Rows

SENTENCES = [
    {"sent_id": 2 * ref + n, "ref_id": ref, "ann_id": 900 + 7 * ref, "image": f"COCO_train2014_{ref // 2:012d}.jpg",
     "sent": f"man {ref}" if n else "the man", "bbox": [ref, 2, ref + 30, 40 + ref]}
    for ref in range(40) for n in range(2)
]  # fmt: skip
"""Sentence ids are 0 to 79, and reference ids, 0 to 39, are half of them."""
SHUFFLED = [(7 * number) % 80 for number in range(80)]


def rows(tmp_path, records=SENTENCES):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({**each, "height": 480, "width": 640}) + "\n" for each in records))
    return rows_of_files([path], "refcoco:testA")


def predictions(tmp_path, records):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(records))
    return read_predictions(path)


def said(which, *fields, **renamed):
    return [{**{name: SENTENCES[n][name] for name in (*fields, "bbox")},
             **{name: SENTENCES[n][field] for name, field in renamed.items()}} for n in which]  # fmt: skip


def meant(predicted, joined):
    """Whether each prediction's box, which is right, is that of its row."""
    return all(
        predicted.boxes[at].tolist() == SENTENCES[to]["bbox"]
        for at, to in zip(joined.predicted.tolist(), joined.rows.tolist(), strict=True)
    )


@pytest.mark.parametrize("kind", ["ref_id", "ann_id"])
def test_a_box_of_an_object_is_for_all_of_its_expressions(tmp_path, kind):
    given = predictions(tmp_path, said(range(0, 80, 2), kind))
    joined = join(given, rows(tmp_path))
    assert meant(given, joined) and (len(joined.rows), joined.missing, joined.unjoined) == (80, 0, 0)
    words = f"40 of 40 predictions joined with x (80 rows) by {kind}, a box for all of its expressions."
    assert in_words(joined, 40, "x")[0] == words
    given = predictions(tmp_path, said(SHUFFLED, kind))
    joined = join(given, rows(tmp_path))
    assert meant(given, joined) and joined.by == f"{kind}, and within each by order" and len(joined.rows) == 80
    given = predictions(tmp_path, said(SHUFFLED, kind, expression="sent"))
    joined = join(given, rows(tmp_path))
    assert joined.rows.tolist() == SHUFFLED and joined.by == f"{kind} and expression"


def test_boxes_of_an_object_that_differ_are_conflicts(tmp_path):
    again = [{**each, "bbox": [0, 0, 9, 9]} for each in said([0, 2], "ref_id")]
    given = predictions(tmp_path, [*said(range(0, 80, 2), "ref_id"), *again, *said([4], "ref_id")])
    joined = join(given, rows(tmp_path))
    assert (joined.doubled, joined.conflicts) == (6, 4)


def test_ids_of_a_field_that_does_not_say_the_kind(tmp_path):
    with pytest.raises(DataError, match=r"fit .* as sent_id and ref_id, with different answers.*name their field"):
        join(predictions(tmp_path, said(range(0, 80, 2), id="ref_id")), rows(tmp_path))
    given = predictions(tmp_path, said(range(0, 80, 2), "image", id="ref_id"))
    joined = join(given, rows(tmp_path))
    assert meant(given, joined) and joined.by.startswith("ref_id") and joined.checked == "image"
    joined = join(predictions(tmp_path, said(SHUFFLED, id="ann_id")), rows(tmp_path))
    assert joined.by.startswith("ann_id") and len(joined.rows) == 80


def test_a_field_that_says_another_kind_than_its_ids_are_of(tmp_path):
    given = predictions(tmp_path, said(SHUFFLED, "image", "sent", sent_id="ref_id"))
    joined = join(given, rows(tmp_path))
    assert joined.rows.tolist() == SHUFFLED and joined.by == "ref_id and expression"
    numbers = [{**each, "sent_id": n % 2} for n, each in enumerate(said(range(80), "ref_id"))]
    joined = join(predictions(tmp_path, numbers), rows(tmp_path))  # sentences are counted within each reference
    assert joined.by == "ref_id, and within each by order" and joined.rows.tolist() == list(range(80))
    turned = [{**each, "expression": SENTENCES[n - 2]["sent"]} for n, each in enumerate(said(range(80), "sent_id"))]
    with pytest.raises(DataError, match="another order than refcoco:testA"):
        join(predictions(tmp_path, turned), rows(tmp_path))
    with pytest.raises(DataError, match="fit refcoco:testA as sent_id and ref_id, with different answers"):
        join(predictions(tmp_path, said(range(0, 80, 2), sent_id="ref_id")), rows(tmp_path))
    assert join(predictions(tmp_path, said(range(50), "sent_id")), rows(tmp_path)).by == "sent_id"  # a part of them
    with pytest.raises(DataError, match="no ann_id is an ann_id of refcoco:testA"):
        join(predictions(tmp_path, said(range(0, 80, 2), ann_id="ref_id")), rows(tmp_path))


def test_an_expression_joins_where_it_means_one_object(tmp_path):
    joined = join(predictions(tmp_path, said(SHUFFLED, expression="sent")), rows(tmp_path))
    assert joined.by == "question text, where that means one object"
    assert joined.rows.tolist() == [n for n in SHUFFLED if n % 2] and joined.missing == 40
    assert join(predictions(tmp_path, said(range(80), expression="sent")), rows(tmp_path)).by == "order"
    others = [{**each, "expression": f"x {n}"} if n % 8 == 1 else each
              for n, each in enumerate(said(SHUFFLED, expression="sent"))]  # fmt: skip
    with pytest.raises(
        DataError, match=r"another order than refcoco:testA, or .* or name image or sent_id in each record"
    ):
        join(predictions(tmp_path, others), rows(tmp_path))


def test_the_official_files_say_which_references_rows_are_of_and_which_split_has_them(tmp_path):
    refs = [{"ref_id": ref, "ann_id": 900 + 7 * ref, "image_id": ref // 2, "split": "testA" if ref < 20 else "val",
             "sentences": [{"sent_id": 2 * ref + n, "sent": "x"} for n in range(2)]}
            for ref in range(40)]  # fmt: skip
    (raw := tmp_path / "raw/refcoco").mkdir(parents=True)
    (raw / "refs(unc).p").write_bytes(pickle.dumps(refs, 2))
    (folder := tmp_path / "examples/refcoco").mkdir(parents=True)
    tables = {}
    for split, part in (("testA", range(40)), ("val", range(40, 80))):
        columns = {"example_id": [str(n) for n in part], "images": [[f"coco:{n // 4}"] for n in part],
                   "text": ["x"] * 40, "box": [[n // 2, 2, n // 2 + 30, 40 + n // 2] for n in part]}  # fmt: skip
        tables[split] = pa.table(columns)
        pq.write_table(tables[split], folder / f"{split}.parquet")
    test = Rows("refcoco:testA", "refcoco", "testA", "referring", tables["testA"], "x", raw=raw)
    given = predictions(tmp_path, said(range(0, 40, 2), "ref_id"))
    joined = join(given, test)
    assert meant(given, joined) and len(joined.rows) == 40 and other_set(given, test, tmp_path) is None
    others = predictions(tmp_path, said(range(40, 80, 2), "ref_id"))
    with pytest.raises(DataError, match="no ref_id is a ref_id of refcoco:testA"):
        join(others, test)
    found = other_set(others, test, tmp_path)
    assert (found.name, found.ids, found.held) == ("refcoco:val", "ref_ids", 20)


def test_the_smallest_set_with_all_ids_is_named(tmp_path):
    questions = [{"question_id": 1000 + n, "image_id": 1, "question": "?"} for n in range(8)]
    answers = [{"question_id": 1000 + n, "image_id": 1, "question_type": "x", "answer_type": "other",
                "multiple_choice_answer": "a", "answers": [{"answer": "a", "answer_id": 1, "answer_confidence": "yes"}]}
               for n in range(8)]  # fmt: skip
    (raw := tmp_path / "raw/vqa").mkdir(parents=True)
    (raw / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(json.dumps({"questions": questions}))
    (raw / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": answers}))
    (folder := tmp_path / "examples/vqa").mkdir(parents=True)
    for split, part in (("train", [*range(1000, 1007), *range(50)]), ("test", range(60, 80))):
        pq.write_table(pa.table({"example_id": [str(n) for n in part]}), folder / f"{split}.parquet")
    test = Rows("vqa:test", "vqa", "test", "vqa", pa.table({"example_id": ["60"]}), "x")
    given = predictions(tmp_path, [{"question_id": 1000 + n, "answer": "a"} for n in range(8)])
    assert other_set(given, test, tmp_path).name == "vqa:val2014"


@pytest.mark.parametrize("box", [None, [1, 2, 3], [], "[1, 2, 3, 4]"])
def test_a_first_box_that_is_none_leaves_the_form_as_it_is(tmp_path, box):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([{"sent_id": 0, "bbox": box}, {"sent_id": 1, "bbox": [1, 2, 3, 4]}]))
    assert form_of(path) == "boxes" and read_predictions(path).boxes[1].tolist() == [1, 2, 3, 4]
