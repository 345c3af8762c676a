"""Answers, against the official rules written out again and counts made one by one."""

import json
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmt_cli.datasets import answers


def evaluate_as_vqa(answer):
    """What the official evaluation makes of an answer, without its apostrophes: rule by rule, as it does it."""
    answer = answer.replace("\n", " ").replace("\t", " ").strip()
    out = answer
    for mark in [
        ";",
        "/",
        "[",
        "]",
        '"',
        "{",
        "}",
        "(",
        ")",
        "=",
        "+",
        "\\",
        "_",
        "-",
        ">",
        "<",
        "@",
        "`",
        ",",
        "?",
        "!",
    ]:
        if f"{mark} " in answer or f" {mark}" in answer or re.search(r"(\d)(,)(\d)", answer):
            out = out.replace(mark, "")
        else:
            out = out.replace(mark, " ")
    out = re.sub(r"(?!<=\d)(\.)(?!\d)", "", out, count=32)
    digits = dict(
        zip("zero one two three four five six seven eight nine ten".split(), map(str, range(11)), strict=True)
    )
    words = [{"none": "0", **digits}.get(word, word) for word in out.lower().split()]
    return " ".join(word for word in words if word not in ("a", "an", "the")).replace("'", "")


ODD = [
    "A, the.",
    "1,000 (or so)",
    "10:30 a.m.",
    "St. John's",
    "3.5",
    ".5.",
    "yes/no",
    "yes /no",
    "t-shirt",
    " -1 ",
    "",
    "?!",
    "x" + "." * 40,
]


def test_normalisation_follows_the_official_rules(real_data):
    said = json.loads((real_data / "vocab" / "lxmert_gqa_trainval_label2ans.json").read_text()) + ODD
    assert [answers.normalise_answer(answer).replace("'", "") for answer in said] == list(map(evaluate_as_vqa, said))


@pytest.mark.parametrize(
    ("answer", "normal"),
    [("dont", "don't"), ("It's Two.", "it's 2"), ("couldntve", "couldntve"), ("couldnt've", "couldn't've"),
     ("The  end", "end"), ("somebody'd", "somebodyd"), ("NONE", "0")],
)  # fmt: skip
def test_normalisation_of_words(answer, normal):
    assert answers.normalise_answer(answer) == normal


WORDS = st.lists(st.sampled_from([*ODD, "dont", "A", "none", "red", ""]), max_size=3).map(" ".join)


@given(st.lists(WORDS | st.text()))
def test_columns_are_changed_as_answers_are_one_by_one(said):
    column = pa.array(said, pa.string())
    assert answers.normalise_answers(column).to_pylist() == [answers.normalise_answer(answer) for answer in said]
    assert answers.trimmed_answers(column).to_pylist() == [answers.trimmed(answer) for answer in said]


def test_the_official_vocabulary_is_normal_already(real_data):
    known = json.loads((real_data / "vocab" / "lxmert_vqa_trainval_label2ans.json").read_text())
    assert len(known) == 3129
    assert [answers.normalise_answer(answer) for answer in known] == known


def test_counts_agree_with_counting_one_by_one():
    rng = np.random.default_rng(0)
    annotated = rng.integers(0, 11, 200)
    said = rng.choice(["yes", "Yes.", "no", "two", "2"], annotated.sum()).tolist()
    distinct, counts = answers.count_answers(annotated, answers.normalise_answers(said))
    normal = iter([answers.normalise_answer(answer) for answer in said])
    for number, words, times in zip(annotated, distinct.to_pylist(), counts.to_pylist(), strict=True):
        assert dict(zip(words, times, strict=True)) == Counter(next(normal) for _ in range(number))
        assert times == sorted(times, reverse=True)


def test_what_all_annotators_typed_is_kept_as_typed():
    said = [["One way", " One way\n"], ["one way", "1 way"], [], ["a cat."], ["", "\t"]]
    answered = np.array([len(each) for each in said])
    typed = answers.trimmed_answers([answer for each in said for answer in each])
    assert answers.unanimous_answers(answered, typed).to_pylist() == ["One way", None, None, "a cat.", ""]


def test_a_vocabulary_is_ordered_by_count_then_name():
    words = answers.normalise_answers(["dog", "cat", "red", "red", "Dog.", "two"])
    assert answers.vocabulary(words) == ["dog", "red", "2", "cat"]
    assert answers.vocabulary(words, at_least=2) == ["dog", "red"]
    assert answers.vocabulary(words, at_most=3) == ["dog", "red", "2"]
