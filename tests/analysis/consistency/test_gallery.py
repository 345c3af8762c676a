"""Which contradictions are the worst, and a page that shows them and runs nothing of what it shows."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from PIL import Image

from vlmt_cli.analysis.consistency.concepts import load_tagger
from vlmt_cli.analysis.consistency.gallery import ContradictoryPair, shared_words, worst, write_gallery
from vlmt_cli.analysis.consistency.pairs import pair_up
from vlmt_cli.analysis.consistency.vgc import Outcome


@pytest.fixture
def world():
    rng = np.random.default_rng(0)
    words = ["dog", "cat", "red", "large"]

    def texts(count):
        return rng.integers(8, size=count), [
            dict.fromkeys(rng.choice(words, rng.integers(5), replace=False), "noun") for _ in range(count)
        ]

    questions, expressions = texts(40), texts(60)
    outcome = Outcome(rng.choice([0, 0.3, 0.6, 1], 40), rng.random(60) < 0.5)
    return questions, expressions, pair_up(*questions, *expressions), outcome


def test_the_worst_are_those_that_share_most(world):
    questions, expressions, pairs, outcome = world
    places = worst(pairs, outcome, most=1000, an_image=1000)
    pairs_found = list(zip(pairs.question_P[places], pairs.expression_P[places], strict=True))
    contradictions = {
        (q, e): len(questions[1][q].keys() & expressions[1][e].keys())
        for q, e in product(range(40), range(60))
        if questions[0][q] == expressions[0][e] and (outcome.accuracy[q] >= 0.5) != outcome.located[e]
    }
    assert set(pairs_found) == {pair for pair, d in contradictions.items() if d}
    assert [contradictions[pair] for pair in pairs_found] == sorted(pairs.overlap_P[places], reverse=True)
    for place, (q, e) in zip(places, pairs_found, strict=True):
        assert shared_words(pairs, place) == sorted(questions[1][q].keys() & expressions[1][e].keys())


def test_both_directions_and_many_images_have_their_place(world):
    _, _, pairs, outcome = world
    places = worst(pairs, outcome, most=10, an_image=1)
    answered = outcome.accuracy[pairs.question_P[places]] >= 0.5
    assert answered.sum() == 5 == (~answered).sum()
    for side in (answered, ~answered):
        assert len(set(pairs.image_P[places][side])) == 5
    assert len(worst(pairs, replace(outcome, located=np.ones(60, bool)), most=10, an_image=9)) == 10


class Page(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.marked = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data
        if self.tags and self.tags[-1][0] == "mark" and self.get_starttag_text() == "<mark>":
            self.marked.append(data)


@pytest.fixture
def one(tmp_path):
    Image.new("RGB", (800, 400), "teal").save(tmp_path / "photo.png")
    return ContradictoryPair(
        image="coco:1",
        photo=tmp_path / "photo.png",
        question="What colors are the Dogs' collars?",
        answer="red",
        answers=["red", "dark red"],
        accuracy=0.9,
        answered=True,
        found=False,
        expression="dog with red collar",
        dataset="refcoco+",
        chosen=(0, 0, 200, 100),
        right=(400, 100, 900, 400),
        iou=0.12,
        shared=["collar", "dog"],
    )


def test_the_page_shows_boxes_and_marks_shared_words(one, tmp_path):
    wrong = replace(one, answered=False, found=True, accuracy=0.3, answer="green", photo=None)
    path = tmp_path / "page.html"
    write_gallery(path, [one, wrong], load_tagger("lexicon"), "runs/all", "MT-VGC 58.3%")
    html = path.read_text()
    page = Page(html)
    assert [image["src"][:23] for tag, image in page.tags if tag == "img"] == ["data:image/jpeg;base64,"]
    boxes = [tag["style"] for _, tag in page.tags if "box" in tag.get("class", "") and "style" in tag]
    assert boxes == [  # clipped to the picture
        "left: 50.00%; top: 25.00%; width: 50.00%; height: 75.00%",
        "left: 0.00%; top: 0.00%; width: 25.00%; height: 25.00%",
    ]
    assert re.findall("<mark>(.*?)</mark>", html.split("<section>", 1)[1]) == ["Dogs", "collars", "dog", "collar"] * 2
    for said in ("runs/all", "MT-VGC 58.3%", "there is no picture", "red, dark red", "90%", "0.12", "refcoco+"):
        assert said in page.text
    assert html.index("Answered, but not found") < html.index("90%") < html.index("Found, but not answered")


def test_nothing_that_is_shown_is_run(one, tmp_path):
    bad = '<script>alert("{sections}")</script><img src=x onerror=alert(1)>'
    hostile = replace(one, question=f"dog {bad}", answer=bad, answers=[bad], expression=f"{bad} dog", dataset=bad,
                      image=f'"{bad}', shared=["dog", bad])  # fmt: skip
    path = tmp_path / "page.html"
    write_gallery(path, [hostile], load_tagger("lexicon"), bad, bad)
    page = Page(path.read_text())
    assert "script" not in {tag for tag, _ in page.tags}
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert page.text.count("{sections}") >= 6
    assert "default-src 'none'" in path.read_text()
