"""What is wrong with a file of predictions is counted and named: shuffled, another split's, doubled, missing."""

import json

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.evaluation.answers.forms import read_predictions
from vlmt_cli.evaluation.answers.join import join
from vlmt_cli.evaluation.answers.joined import in_words
from vlmt_cli.evaluation.answers.judge import judge
from vlmt_cli.evaluation.answers.questions import with_questions
from vlmt_cli.evaluation.answers.row_files import rows_of_files

LABELS = [
    {"question_id": number % 20 + 1, "image": f"COCO_val2014_{number // 4:012d}.jpg",
     "text": f"Is there a thing {number}?", "label": "yes" if number % 3 else "no", "category": f"{number // 20}"}
    for number in range(60)
]  # fmt: skip


def rows(tmp_path, records=LABELS, name="pope"):
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return rows_of_files([path], name)


def predictions(tmp_path, records):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_predictions(path)


def answers(which=range(60), **more):
    return [{"question_id": number + 1, "prompt": f"{LABELS[number]['text']}\nUse a word.", "text": "Yes", **more}
            for number in which]  # fmt: skip


def test_ids_that_lead_to_other_questions_do_not_join(tmp_path):
    joined = join(predictions(tmp_path, answers()), rows(tmp_path, LABELS[20:40]))
    assert joined.by == "question text"
    assert joined.rows.tolist() == list(range(20)) and joined.predicted.tolist() == list(range(20, 40))
    assert joined.unjoined == 40
    assert any("question id" in why and "other questions in 100%" in why for why in joined.refused)


def test_a_shuffled_file_joins_by_text_whatever_its_order(tmp_path):
    order = [(7 * number) % 60 for number in range(60)]
    joined = join(predictions(tmp_path, answers(order)), rows(tmp_path))
    assert joined.rows.tolist() == order


def test_doubled_missing_and_odd_rows_are_counted(tmp_path):
    records = [*answers(range(50)), {**answers([3])[0], "text": "No"}, *answers([4])]
    records[10]["prompt"] = "Is this of another benchmark?"
    joined = join(predictions(tmp_path, records), rows(tmp_path))
    assert (len(joined.rows), joined.doubled, joined.conflicts, joined.missing) == (49, 2, 1, 11)
    said = in_words(joined, len(records), "pope")
    assert said[0] == "49 of 52 predictions joined with pope by question text."
    assert "1 prediction, such as prediction 10 (11, is this of another benchmark?)" in said[1]
    assert "2 rows, 1 of them with another answer; the first answer counts" in said[2]
    assert "11 rows with a right answer" in said[3]


def in_order(tmp_path, order, records=LABELS):
    """A list of InternVL's, which has no ids, of some records in some order."""
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"answer": "x[[0, 0, 500, 500]]", "gt_bbox": records[n]["bbox"], "hw": [480, 640]}
                                for n in order]))  # fmt: skip
    return read_predictions(path)


BOXED = [{"image": f"COCO_train2014_{n:012d}.jpg", "sent": f"man {n}", "bbox": [n, 2 * n, n + 100, n + 200],
          "height": 480, "width": 640} for n in range(60)]  # fmt: skip


def test_order_alone_is_checked_by_what_is_right(tmp_path):
    benchmark = rows(tmp_path, BOXED, "refcoco:testA")
    joined = join(in_order(tmp_path, range(60), BOXED), benchmark)
    assert (joined.by, joined.checked) == ("order", "right box")
    assert "by order alone" in in_words(joined, 60, "refcoco:testA")[0]
    with pytest.raises(
        DataError, match=r"another order than refcoco:testA, or of another split: \d+% of its right boxes "
    ):
        join(in_order(tmp_path, [(7 * n) % 60 for n in range(60)], BOXED), benchmark)
    with pytest.raises(DataError, match=r"its 40 predictions do not join with the 60 rows of refcoco:testA"):
        join(in_order(tmp_path, range(40), BOXED), benchmark)


def test_a_file_of_another_split_is_named(tmp_path):
    other = [{"question_id": 900 + n, "prompt": f"Other {n}?", "text": "Yes"} for n in range(40)]
    with pytest.raises(DataError, match=r"40 predictions do not join .*\(no question id is one of pope"):
        join(predictions(tmp_path, other), rows(tmp_path))


def test_gqa_ids_may_have_lost_their_zeros(tmp_path):
    asked = [{"question_id": f"0{5451384 + n}", "question": f"What {n}?", "answer": "x"} for n in range(5)]
    said = predictions(tmp_path, [{"questionId": 5451384 + n, "prediction": "x"} for n in range(5)])
    joined = join(said, rows(tmp_path, asked, "gqa:testdev"))
    assert len(joined.rows) == 5 and joined.by == "question id without leading zeros"


def test_questions_that_stand_in_several_categories_are_answered_one_by_one(tmp_path):
    same = {"image": "COCO_val2014_000000000009.jpg", "text": "Is there a dog?", "label": "yes"}
    labels = [{**same, "question_id": n, "category": category} for n, category in enumerate(("random", "popular"))]
    said = [{"image": same["image"], "question": same["text"], "answer": answer} for answer in ("Yes", "No")]
    joined = join(predictions(tmp_path, said), rows(tmp_path, labels))
    assert (joined.rows.tolist(), joined.doubled) == ([0, 1], 0)
    assert joined.by == "image and question, and in each of their categories by order"
    joined = join(
        predictions(tmp_path, said), rows(tmp_path, [labels[0], {**labels[1], "question_id": 9, "text": "Cat?"}])
    )
    assert (joined.rows.tolist(), joined.doubled, joined.conflicts) == ([0], 1, 1)


def of_categories(question, category, number, answer="yes"):
    return {"question_id": number, "image": f"COCO_val2014_{number % 3:012d}.jpg", "text": question, "label": answer,
            "category": category}  # fmt: skip


ASKED = [
    of_categories(f"Is there a {'dog' if number % 2 else category}?", category, number, "yes" if number % 2 else "no")
    for category in ("random", "popular", "adversarial")
    for number in range(6)
]
"""Every second question stands in all categories, and its answer is yes; a kit numbers all by itself."""


def of_one_file(tmp_path, name, category="popular"):
    records = [{**each, "category": None} for each in ASKED if each["category"] == category]
    path = tmp_path / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return rows_of_files([path], "pope")


def of_a_kit(tmp_path, which=ASKED):
    records = [{"index": n, "image_path": each["image"], "question": each["text"], "answer": each["label"],
                "prediction": each["label"], "category": each["category"]}
               for n, each in enumerate(which)]  # fmt: skip
    path = tmp_path / "kit.json"
    path.write_text(json.dumps(records))
    return read_predictions(path, "vlmevalkit")


def test_a_category_decides_which_of_the_same_questions_is_answered(tmp_path):
    joined = join(of_a_kit(tmp_path), of_one_file(tmp_path, "coco_pope_popular.json"))
    assert joined.predicted.tolist() == list(range(6, 12)) and joined.rows.tolist() == list(range(6))
    assert (joined.unjoined, joined.elsewhere, joined.doubled) == (12, 12, 0)
    assert in_words(joined, 18, "pope")[1] == "Without a row: 12 predictions of other categories."
    with pytest.raises(DataError, match=r"the same about the same image in 3 categories.*name the file of --rows"):
        join(of_a_kit(tmp_path), of_one_file(tmp_path, "labels.json"))
    with pytest.raises(DataError, match=r"100% of its categories differ"):
        join(of_a_kit(tmp_path, ASKED[:6]), of_one_file(tmp_path, "coco_pope_popular.json"))


def test_what_is_said_of_other_categories_is_true_of_those_alone(tmp_path):
    many = [{**each, "image": f"{n}-{each['image']}"} for n in range(20) for each in ASKED]
    of_rows = [each for each in many if each["category"] == "popular"]
    asked = [
        {**each, "question_id": n} for n, each in enumerate(of_rows + [each for each in many if each not in of_rows])
    ]
    said = [{"index": each["question_id"], "question": each["text"], "image_path": each["image"], "prediction": "yes",
             "category": each["category"]} for each in asked]  # fmt: skip
    said[3]["question"] = "Is there an umbrella in the imange?"
    lost = [{**said[0], "index": 9_999, "image_path": "8.jpg"}]
    path = tmp_path / "coco_pope_popular.json"
    path.write_text("".join(json.dumps({**each, "category": None}) + "\n" for each in asked[: len(of_rows)]))
    joined = join(predictions(tmp_path, said + lost), rows_of_files([path], "pope"))
    assert joined.by == "question id"
    _, without, left_out, *_ = in_words(joined, len(said) + 1, "pope")
    assert without.startswith(
        "Without a row: 240 predictions of other categories, and 1 more, such as prediction 360 ("
    )
    assert left_out.startswith("Left out, as the question or category differs: 1 prediction, such as prediction 3 (")


def test_a_sample_that_yes_alone_gives_is_refused(tmp_path):
    said = predictions(tmp_path, [{"image": each["image"], "question": each["text"], "answer": "yes"}
                                  for each in ASKED[:6]])  # fmt: skip
    rows = of_one_file(tmp_path, "labels.json")
    joined = join(said, rows)
    assert (len(joined.rows), joined.unjoined) == (3, 3)
    with pytest.raises(DataError, match=r"3 predictions have no row, and yes is right in 100% .* and in 50% of all"):
        judge(said, rows, joined)


def test_most_predictions_without_a_row_are_said_first(tmp_path):
    joined = join(predictions(tmp_path, answers()), rows(tmp_path, LABELS[20:40]))
    assert in_words(joined, 60, "pope")[0].startswith("Warning: most predictions, 40 of 60, have no row in pope")


def test_questions_of_another_file_are_refused(tmp_path):
    path = tmp_path / "questions.jsonl"
    others = [{"question_id": number + 1, "image": "1.jpg", "text": f"What is {number}?"} for number in range(60)]
    path.write_text("".join(json.dumps(each) + "\n" for each in others))
    with pytest.raises(DataError, match=r"asks something else than the predictions' prompts in 100% of the ids"):
        with_questions(predictions(tmp_path, answers()), path)
    said = [{"question_id": n + 1, "prompt": f"<image>\nQuestion: {each['text']}", "text": "x"}
            for n, each in enumerate(others)]  # fmt: skip
    assert with_questions(predictions(tmp_path, said), path).images.to_pylist() == ["1.jpg"] * 60


ENDINGS = """Please answer yes or no.
Answer the question using a single word or phrase.
Please answer yes or no. Answer the question using a single word or phrase.
Please strictly answer Yes or No.
Answer with the option's letter from the given choices directly.
When the provided information is insufficient, respond with 'Unanswerable'. Answer the question using a single word.
Please select the correct answer from the options above.
Please try to answer the question with short words or phrases if possible.
Provide a short and direct response.
Answer:""".splitlines()


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_kits_put_behind_a_question_does_not_hinder_a_join(tmp_path, ending):
    labels = [{**each, "question_id": 99, "text": f"Is there a thing {n % 4}?"} for n, each in enumerate(LABELS)]
    for between in (" ", "\n", ""):
        table = [{"index": n, "question": f"<image>\n{each['text']}{between}{ending}", "answer": each["label"],
                  "image_path": each["image"], "prediction": "Yes"} for n, each in enumerate(labels[::-1])]  # fmt: skip
        joined = join(predictions(tmp_path, table), rows(tmp_path, labels))
        assert joined.by == "image and question", between
        assert joined.rows[joined.predicted.argsort()].tolist() == list(range(60))[::-1]


def test_questions_that_differ_in_how_to_answer_alone_are_not_mixed_up(tmp_path):
    asked = ["Is it red?", "Is it red? Please answer yes or no.", "Does it answer the question", "Does it"]
    labels = [{"question_id": 99, "image": f"{n // 4}.jpg", "text": asked[n % 4], "label": ["yes", "no"][n % 2]}
              for n in range(40)]  # fmt: skip
    table = [{"index": n, "question": each["text"], "image_path": each["image"], "prediction": "Yes"}
             for n, each in enumerate(labels[:39])]  # fmt: skip
    with pytest.raises(DataError, match="image and question does not tell rows apart: 10 rows of pope have that"):
        join(predictions(tmp_path, table), rows(tmp_path, labels))


def test_where_ids_are_the_kits_own_the_file_of_questions_is_asked_for(tmp_path):
    labels = [{**each, "text": f"Is there a thing {number % 7}?"} for number, each in enumerate(LABELS)]
    said = [{"question_id": n + 1, "prompt": f"{each['text']}\nUse a word.", "text": "Yes"}
            for n, each in enumerate(labels)]  # fmt: skip
    with pytest.raises(DataError, match=r"; give --questions the file that was asked, which names the image of each"):
        join(predictions(tmp_path, said), rows(tmp_path, labels[21:41]))
