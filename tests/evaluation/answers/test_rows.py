"""Rows of benchmarks from the files in which people have them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.evaluation.answers.row_files import rows_of_files
from vlmt_cli.evaluation.answers.rows import rows_of_examples
from vlmt_cli.features.coverage import example_files


def test_lmms_lab_refcoco_has_a_row_a_sentence_and_boxes_of_width_and_height(tmp_path):
    records = [
        {"question_id": f"{n}", "image": {"bytes": b"x", "path": None}, "question": "Describe the region.",
         "answer": [f"man {n}", f"left man {n}"][: n + 1], "bbox": [10.0, 20.0, 5.0, 8.0],
         "file_name": f"COCO_train2014_{n:012d}_16.jpg"}
        for n in range(2)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "testA.parquet")
    rows = rows_of_files([tmp_path / "testA.parquet"], "refcoco:testA")
    assert rows.table["text"].to_pylist() == ["man 0", "man 1", "left man 1"]
    assert rows.table["images"].to_pylist() == [["coco:0"], ["coco:1"], ["coco:1"]]
    assert rows.table["box"].to_pylist() == [[10, 20, 15, 28]] * 3


def test_lmms_lab_vqa_has_all_annotators_and_unknown_answers_are_not_scored(tmp_path):
    answers = [{"answer": "Net", "answer_id": n} for n in range(7)] + [{"answer": "racket", "answer_id": 8}] * 3
    records = [{"question_id": 262148000, "image_id": 262148, "question": "What?", "answers": answers},
               {"question_id": 262148001, "image_id": 262148, "question": "Who?", "answers": None}]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "val.parquet")
    rows = rows_of_files([tmp_path / "val.parquet"], "vqa:val2014")
    assert rows.table["answers"].to_pylist() == [["net", "racket"], []]
    assert rows.table["counts"].to_pylist() == [[7, 3], []] and rows.known.tolist() == [True, False]


def test_corners_and_sizes_of_qwens_lines_and_right_boxes_that_are_no_corners(tmp_path):
    lines = [
        {"image": "a/COCO_train2014_000000000009.jpg", "sent": "man", "bbox": [1, 2, 30, 40], "height": 48, "width": 64}
    ]
    (tmp_path / "refcoco.jsonl").write_text(json.dumps(lines[0]))
    rows = rows_of_files([tmp_path / "refcoco.jsonl"], "refcoco+:val")
    assert rows.table["box"].to_pylist() == [[1, 2, 30, 40]] and rows.sizes.tolist() == [[64, 48]]
    others = [
        {"id": 1, "sentence": "man", "bbox": [100, 20, 30, 40]},
        {"id": 2, "sentence": "dog", "bbox": [1, 2, 30, 40]},
    ]
    (tmp_path / "others.json").write_text(json.dumps(others))
    assert rows_of_files([tmp_path / "others.json"], "refcoco").table["box"].to_pylist() == [
        [100, 20, 130, 60],
        [1, 2, 31, 42],
    ]


def test_several_files_are_categories_by_what_their_names_differ_in(tmp_path):
    for name in ("random", "popular"):
        record = {"question_id": 1, "image": "COCO_val2014_000000000009.jpg", "text": "Is it?", "label": "yes"}
        (tmp_path / f"coco_pope_{name}.json").write_text(json.dumps(record))
    rows = rows_of_files([tmp_path / f"coco_pope_{name}.json" for name in ("random", "popular")], "pope")
    assert rows.table["category"].to_pylist() == ["random", "popular"]


def test_records_by_id_are_rows(tmp_path):
    questions = {"05451384": {"imageId": "n161313", "question": "Is it overcast?", "answer": "no"},
                 "05451385": {"imageId": "2382986", "question": "Who?", "answer": "man"}}  # fmt: skip
    (tmp_path / "testdev.json").write_text(json.dumps(questions))
    rows = rows_of_files([tmp_path / "testdev.json"], "gqa:testdev")
    assert rows.table["example_id"].to_pylist() == list(questions)
    assert rows.table["images"].to_pylist() == [["gqa:n161313"], ["vg:2382986"]]
    assert rows.table["answers"].to_pylist() == [["no"], ["man"]]


def test_what_is_no_benchmark_is_named(tmp_path):
    (tmp_path / "rows.json").write_text('[{"image": "a.jpg"}]')
    with pytest.raises(DataError, match="names neither questions nor their ids"):
        rows_of_files([tmp_path / "rows.json"], "pope")
    for name, said in (
        ("pope", r"POPE is not known without its own files; give --rows coco_pope_random\.json"),
        ("gqqa:testdev", r"'gqqa' is not a dataset whose official files are read; did you mean gqa\?"),
        ("bench", r"give the benchmark's file with --rows, or take one of vqa"),
    ):
        with pytest.raises(UsageError, match=said):
            rows_of_examples(tmp_path, name)
    with pytest.raises(DataError, match=r"there is no v2_OpenEnded_mscoco_val2014_questions\.json; put it there"):
        rows_of_examples(tmp_path, "vqa:val2014")
    (tmp_path / "examples" / "gqa").mkdir(parents=True)
    pq.write_table(pa.table({"example_id": np.array(["1"])}), tmp_path / "examples" / "gqa" / "val.parquet")
    for name in ("links", "test_images"):  # these lie beside the splits, and are none
        pq.write_table(pa.table({"image": ["gqa:n1"]}), tmp_path / "examples" / "gqa" / f"{name}.parquet")
    assert list(example_files(tmp_path)) == [("gqa", "val", tmp_path / "examples" / "gqa" / "val.parquet")]
    with pytest.raises(UsageError, match="gqa has no split 'tset'; take val, train_balanced and val_balanced"):
        rows_of_examples(tmp_path, "gqa:tset")
