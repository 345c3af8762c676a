"""Submission files as the servers' own scripts read them."""

import json

import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.evaluation.submission import write_submission

TEXT = 'the "net", and\tä\n'


def test_vqa_and_gqa_are_lists_of_records(tmp_path):
    write_submission("vqa", tmp_path / "vqa.json", pa.array(["262148000", "7"]), pa.chunked_array([["yes"], [TEXT]]))
    assert json.loads((tmp_path / "vqa.json").read_text(encoding="utf-8")) == [
        {"question_id": 262148000, "answer": "yes"},
        {"question_id": 7, "answer": TEXT},
    ]
    write_submission("gqa", tmp_path / "gqa.json", ["05451384"], ["t-shirt"])
    assert json.loads((tmp_path / "gqa.json").read_text()) == [{"questionId": "05451384", "prediction": "t-shirt"}]


def test_nlvr2_is_read_as_its_script_does(tmp_path):
    labels = {"test1-0-0-0": "True", "test1-0-1-0": "False"}
    write_submission("nlvr2", tmp_path / "nlvr2.csv", list(labels), list(labels.values()))
    with open(tmp_path / "nlvr2.csv") as file:
        assert dict(line.strip().split(",") for line in file.readlines() if line) == labels


def test_snli_ve_is_a_line_a_pair(tmp_path):
    write_submission("snli_ve", tmp_path / "ve.jsonl", ["1.jpg#4r1c", "2.jpg#0r1n"], ["neutral", "entailment"])
    assert [json.loads(line) for line in (tmp_path / "ve.jsonl").read_text().splitlines()] == [
        {"pairID": "1.jpg#4r1c", "label": "neutral"},
        {"pairID": "2.jpg#0r1n", "label": "entailment"},
    ]


@pytest.mark.parametrize(
    ("task", "ids", "predicted", "message"),
    [
        ("vqa", ["1", "1"], ["a", "b"], "id '1' occurs twice"),
        ("vqa", ["1", "2"], ["a"], "2 examples have 1 predictions"),
        ("vqa", ["1", "2"], ["a", None], "1 examples lack their id or prediction"),
        ("vqa", ["n1"], ["a"], "'n1' is not a question id of VQA"),
        ("vqa", ["9" * 30], ["a"], "is not a question id of VQA"),
        ("nlvr2", ["test1-0-0-0"], ["true"], "'true' is not a label; write False, True"),
        ("nlvr2", ["test1,0"], ["True"], "is not an identifier of NLVR2"),
        ("snli_ve", ["1.jpg#4r1c"], ["-"], "'-' is not a label; write contradiction, neutral, entailment"),
    ],
)
def test_what_a_server_would_refuse_is_not_written(tmp_path, task, ids, predicted, message):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(DataError, match=message):
        write_submission(task, path, pa.array(ids, pa.string()), pa.array(predicted, pa.string()))
    assert path.read_text() == "before"


def test_other_tasks_have_no_server(tmp_path):
    with pytest.raises(UsageError, match="choose one of vqa, gqa, nlvr2, snli_ve"):
        write_submission("coco", tmp_path / "x", [], [])
