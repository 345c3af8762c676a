"""What intervals resample: images, else the best known unit, and the column and a sentence say which."""

import base64
import json

import numpy as np
import pyarrow as pa
import pytest

from vlmt_cli.evaluation.answers.report import header_of, notes_of
from vlmt_cli.evaluation.answers.row_files import rows_of_files
from vlmt_cli.evaluation.answers.rows import Rows
from vlmt_cli.evaluation.answers.score import Asked, score_files
from vlmt_cli.evaluation.answers.unit import CIRCULAR, unit_of


def rows(ids, texts, options=None, images=None, kind="exact match"):
    table = {"example_id": ids, "images": [[each or f"row:{n}"] for n, each in enumerate(images or [None] * len(ids))],
             "text": texts} | ({"options": options} if options else {})  # fmt: skip
    return Rows("bench", "bench", "", kind, pa.table(table), "memory")


IDS, ASKED, FROM = ["7", "1000007", "8", "3000007", "1000008"], list("xxyxy"), ["a b", "a b", "c d", "a b", "c d"]


@pytest.mark.parametrize(
    ("made", "name", "groups"),
    [
        (rows(IDS, ASKED), "questions", [0, 0, 1, 0, 1]),
        (rows(IDS, list("xxyzy")), "rows", [0, 1, 2, 3, 4]),  # one index over a million asks something else
        (rows(IDS, ASKED, ["a b", "a b", "c d", "a e", "c d"]), "questions", [0, 0, 1, 2, 1]),
        (rows(list("12345"), ASKED, FROM), "questions", [0, 0, 1, 0, 1]),
        (rows(list("12345"), ASKED), "rows", [0, 1, 2, 3, 4]),  # of other images, for all that is known
        (rows(list("12345"), list("vwxyz"), FROM), "rows", [0, 1, 2, 3, 4]),
        (rows(list("12345"), ASKED, None, None, "yes or no"), "rows", [0, 1, 2, 3, 4]),
        (rows(IDS, ASKED, FROM, ["coco:1", "coco:1", "coco:1", "coco:1", None]), "images", [0, 0, 0, 0, 1]),
    ],
)
def test_images_questions_or_rows(made, name, groups):
    unit = unit_of(made)
    assert (unit.name, unit.groups.tolist()) == (name, groups)
    assert name == "images" or any(f"intervals are over {name}" in each for each in unit.said)
    assert (unit.questions is not None) == any("permutations" in each for each in unit.said)


def test_a_circular_benchmark_is_resampled_by_question(tmp_path):
    right, said = ["A", "B", "A", "C", "B"], ["A", "B", "A", "D", "B"]
    table = [dict(zip(("index", "question", "A", "B", "answer", "prediction"), row, strict=True))
             for row in zip(map(int, IDS), ASKED, "acbad", "bdabc", right, said, strict=True)]  # fmt: skip
    table[1] |= {"A": "b", "B": "a"}
    table[0] |= {"A": "a", "B": "b"}
    table[2] |= {"A": "c", "B": "d"}
    table[3] |= {"A": "b", "B": "a"}
    (tmp_path / "model_MMBench.json").write_text(json.dumps(table))
    [scored] = score_files([tmp_path / "model_MMBench.json"], Asked("mmbench", data=tmp_path, resamples=50))
    report = scored.report
    assert (report.task.score.value, report.task.score.groups, report.unit) == (0.8, 2, "questions")
    assert report.task.extra[CIRCULAR].value == 0.5 and header_of([report])[-1] == "questions"
    notes = " ".join(notes_of(report))
    assert "The 5 rows are permutations of the options of 2 questions." in notes and "fewer than 20 questions" in notes


def test_pictures_in_a_table_tell_images_apart(tmp_path):
    pictures = [base64.b64encode(bytes([n]) * 900).decode() for n in range(2)]
    lines = [f"{n}\tIs it {n}?\tyes\t{image}" for n, image in enumerate([*pictures, "0", pictures[1], "1", "9"])]
    (tmp_path / "POPE.tsv").write_text("\n".join(["index\tquestion\tanswer\timage", *lines]))
    made = rows_of_files([tmp_path / "POPE.tsv"], "pope")
    assert unit_of(made).groups.tolist() == [0, 1, 0, 1, 1, 2]
    assert max(len(name) for [name] in made.table["images"].to_pylist()) < 50


def test_both_questions_about_an_image_of_mme_share_its_id(tmp_path):
    records = [{"doc_id": n, "target": "Yes", "filtered_resps": ["Yes" if n else "No"], "input": f"Is it {n}?",
                "mme_perception_score": {"question_id": f"color/{n // 2}.jpg"}} for n in range(4)]  # fmt: skip
    (tmp_path / "mme.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    [scored] = score_files([tmp_path / "mme.jsonl"], Asked("mme", data=tmp_path, resamples=50))
    assert scored.report.task.score.groups == 2 and scored.report.unit == "images"
    assert scored.report.task.extra["both questions of an image"].value == 0.5
    assert np.isclose(scored.report.task.score.value, 0.75)
