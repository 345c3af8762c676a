"""Each form of predictions, written by hand, joined with the benchmark's rows: by ids, by text, by row number."""

import csv
import io
import json
import zipfile
from xml.sax.saxutils import escape

import numpy as np
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.forms import form_of, read_predictions
from vlmt_cli.evaluation.answers.join import join
from vlmt_cli.evaluation.answers.row_files import rows_of_files

QUESTIONS = [
    {
        "question_id": 262148000 + number,
        "image_id": 262148,
        "question": f"What is thing {number}?",
        "answer": f"right {number}",
    }
    for number in range(6)
]
SAID = ["net", "two dogs", "", 'a "quoted", one', "nein, ä\n猫", "none"]
EXPRESSIONS = [
    {"image": f"COCO_train2014_{number:012d}.jpg", "sent": f"man {number}", "bbox": [10, 20 + number, 110, 220],
     "height": 480, "width": 640}
    for number in range(1, 4)
]  # fmt: skip
BOXES = [[12.0, 30.0, 100.0, 200.0], [0.0, 0.0, 64.0, 48.0], [320.0, 240.0, 640.0, 480.0]]
SHARES = [[x1 / 640, y1 / 480, x2 / 640, y2 / 480] for x1, y1, x2, y2 in BOXES]
THOUSANDTHS = [[round(1000 * side) for side in box] for box in SHARES]


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def table(records, delimiter="\t"):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def answered(**names):
    """Records of questions with some of their fields, and the answer, by other names."""
    return [
        {name: SAID[number] if field == "said" else question[field] for name, field in names.items()}
        for number, question in enumerate(QUESTIONS)
    ]


def lmms_eval(shape):
    """The log of samples in its first, second or present shape; all rows have one hash in the present one."""
    samples = []
    for number, question in enumerate(QUESTIONS):
        sample = {"doc_id": number, "target": question["answer"], "doc_hash": "74ac"}
        if shape == 3:
            sample |= {"filtered_resps": SAID[number], "input": f"{question['question']}\nAnswer with a word.",
                       "token_counts": [None], "exact_match": {"question_id": "x", "score": 1.0}}  # fmt: skip
        else:
            sample |= {
                "doc": question,
                "resps": [[SAID[number]]],
                "filtered_resps": [SAID[number]],
                "arguments": {"0": 1},
            }
        samples.append(sample)
    return json.dumps({"args": {"model": "m"}, "model_configs": {"task": "vqa"}, "logs": samples}) if shape == 1 else (
        lines(samples))  # fmt: skip


def write_excel(path, rows):
    """Write the least that is an Excel table: texts stand in their cells."""
    cells = "".join(
        "<row>" + "".join(f'<c t="inlineStr"><is><t>{escape(str(cell))}</t></is></c>' for cell in row) + "</row>"
        for row in rows
    )
    main, package = (f"http://schemas.openxmlformats.org/{name}/2006" for name in ("spreadsheetml", "package"))
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        f'"application/vnd.openxmlformats-package.relationships+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" Type="{office}/'
        'officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}/main" xmlns:r="{office}"><sheets><sheet name="a" sheetId="1" '
        'r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}/main"><sheetData>{cells}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w") as file:
        for name, content in parts.items():
            file.writestr(name, content)


ASKED = answered(question_id="question_id", prompt="question", text="said")
FILES = {
    "llava": ("answers.jsonl", lines({**each, "prompt": f"{each['prompt']}\nUse a word.", "answer_id": "x",
                                      "model_id": "m", "metadata": {}} for each in ASKED)),
    "vqa": ("results.json", json.dumps(answered(question_id="question_id", answer="said"))),
    "gqa": ("testdev.json", json.dumps(answered(questionId="question_id", prediction="said"))),
    "internvl": ("vqa.json", json.dumps(
        answered(question_id="question_id", question="question", answer="said", annotation="answer"))),
    "vlmevalkit": ("model_VQA.tsv", table(
        [{**each, "index": number} for number, each in enumerate(answered(question="question", answer="answer",
                                                                         prediction="said"))])),
    "pope": ("pope.jsonl", lines(answered(question="question", answer="said"))),
}  # fmt: skip


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "questions.jsonl"
    path.write_text(lines(QUESTIONS))
    return rows_of_files([path], "vqa:val")


def answers_by_question(path, form, rows):
    assert form_of(path) == form
    predicted = read_predictions(path)
    joined = join(predicted, rows)
    assert joined.unjoined == joined.disagreeing == joined.doubled == joined.missing == 0
    return dict(zip(joined.rows.tolist(), predicted.answers.take(joined.predicted).to_pylist(), strict=True)), joined


@pytest.mark.parametrize("form", FILES)
def test_a_form_is_told_by_its_content_and_joined(tmp_path, questions, form):
    name, content = FILES[form]
    (tmp_path / name).write_text(content, encoding="utf-8")
    answers, joined = answers_by_question(tmp_path / name, form, questions)
    assert answers == dict(enumerate(SAID))
    assert joined.by == ("question text" if form in ("vlmevalkit", "pope") else "question id")


@pytest.mark.parametrize("shape", [1, 2, 3])
def test_the_three_shapes_of_lmms_eval(tmp_path, questions, shape):
    path = tmp_path / "20260218_samples_vqav2_val.jsonl"
    path.write_text(lmms_eval(shape))
    answers, joined = answers_by_question(path, "lmms-eval", questions)
    assert answers == dict(enumerate(SAID))
    assert (joined.by, joined.checked) == (
        ("row number", "question") if shape == 3 else ("question id", "question and image")
    )


def test_excel_keeps_what_looks_empty_and_says_what_is_cut(tmp_path, questions):
    pytest.importorskip("python_calamine")
    said = [*SAID[:4], "x" * 32_767, "None"]
    rows = [[number, each["question"], each["answer"], said[number]] for number, each in enumerate(QUESTIONS)]
    write_excel(tmp_path / "model_VQA.xlsx", [["index", "question", "answer", "prediction"], *rows])
    predicted = read_predictions(tmp_path / "model_VQA.xlsx")
    assert predicted.answers.to_pylist() == [answer or None for answer in said]
    assert predicted.notes == (
        "1 answer of 32,767 characters or more: a cell of Excel ends there, so that they are cut.",
    )
    assert len(join(predicted, questions).rows) == len(QUESTIONS)


def kit_box(expression):
    """The columns of a right box in VLMEvalKit's table: corners in pixels, and as shares of the image."""
    made = {}
    for name, side, whole in zip(("x1", "y1", "x2", "y2"), expression["bbox"], (640, 480) * 2, strict=True):
        made |= {f"bbox_{name}": side, f"bbox_{name}_norm": side / whole}
    return made


def referring(form):
    if form == "vlmevalkit":
        pairs = zip(EXPRESSIONS, THOUSANDTHS, strict=True)
        return table(
            [{"index": 7, "question": each["sent"], "prediction": str(box), **kit_box(each)} for each, box in pairs]
        )
    if form == "boxes":
        return json.dumps([{"sent": each["sent"], "image": each["image"], "bbox_xyxy": None, "box": box}
                           for each, box in zip(EXPRESSIONS, BOXES, strict=True)])  # fmt: skip
    if form == "internvl":
        return json.dumps([{"answer": f"it[[{', '.join(map(str, box))}]]", "gt_bbox": each["bbox"], "hw": [480, 640]}
                           for each, box in zip(EXPRESSIONS, THOUSANDTHS, strict=True)])  # fmt: skip
    samples = []
    for number, (each, box) in enumerate(zip(EXPRESSIONS, SHARES, strict=True)):
        x1, y1, x2, y2 = each["bbox"]
        right = [x1 / 640, y1 / 480, x2 / 640, y2 / 480]
        samples.append({"doc_id": number, "target": str(right), "filtered_resps": str(box), "doc_hash": "7",
                        "input": f"Provide the box of the region that this describes: {each['sent']}",
                        "refcoco_IoU": {"answer": each["sent"], "pred": box, "ann_id": 9, "bbox": right}})  # fmt: skip
    return lines(samples)


@pytest.mark.parametrize(
    ("form", "by"),
    [
        ("boxes", "image and question"),
        ("internvl", "order"),
        ("lmms-eval", "row number"),
        ("vlmevalkit", "question text"),
    ],
)
def test_boxes_in_four_forms(tmp_path, form, by):
    from vlmt_cli.evaluation.answers.judge import judge

    (tmp_path / "rows.jsonl").write_text(lines(EXPRESSIONS))
    rows = rows_of_files([tmp_path / "rows.jsonl"], "refcoco:testA")
    (tmp_path / "predictions.json").write_text(referring(form))
    predicted = read_predictions(tmp_path / "predictions.json")
    joined = join(predicted, rows)
    judged = judge(predicted, rows, joined, {"boxes": "pixels", "vlmevalkit": "0-1000"}.get(form, "auto"))
    assert (predicted.form, joined.by) == (form, by)
    boxes = np.array(judged.columns["box"].to_pylist())
    assert np.abs(boxes - BOXES).max() < 0.7
    assert judged.scores.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("q.jsonl", lines([{"question_id": 1, "image": "a.jpg", "text": "what?"}]), "is a file of questions"),
        ("rows.jsonl", lines(EXPRESSIONS), "is not a file of predictions"),
        ("a.json", json.dumps([{"name": "x"}]), r"known form \(its records have name\)"),
        ("a.jsonl", "", "is empty"),
        ("a.jsonl", '{"question_id": 1, "text": "a", "prompt": "b"}\n{"question_id": 2, "te', "line 2"),
        ("a.html", "<!doctype html>", "web page"),
        ("a.json", json.dumps([{"doc_id": "x", "target": 1, "resps": []}]), "doc_id is not a row number"),
        ("a.txt", "hello", "neither JSON nor a table"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_predictions_is_named(tmp_path, name, content, what):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=what):
        read_predictions(tmp_path / name)
