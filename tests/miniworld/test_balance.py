"""Whoever does not look scores what a guess scores: the best blind guesses, fitted on train, scored on test."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
import pytest

Pairs = list[tuple[str, str]]

COLOURS = {"red", "orange", "yellow", "green", "blue", "purple", "pink"}
SHAPES = {"circle", "square", "triangle", "diamond", "star", "cross"}
PLAUSIBLE = {
    **dict.fromkeys(COLOURS, 7), **dict.fromkeys(SHAPES, 6), **dict.fromkeys("012345", 4),
    **dict.fromkeys(("yes", "no", "left", "right", "above", "below", "small", "large"), 2),
}  # fmt: skip
"""How many answers are plausible where this one is right."""


def by_text(train: Pairs) -> Callable[[str], str]:
    """The most frequent answer of this very text; for a new text, of its first two words."""
    exact, start = defaultdict(Counter), defaultdict(Counter)
    for text, answer in train:
        exact[text][answer] += 1
        start[str(text.split()[:2])][answer] += 1

    def guess(text: str) -> str:
        counts = exact.get(text) or start.get(str(text.split()[:2])) or Counter(answer for _, answer in train)
        return counts.most_common(1)[0][0]

    return guess


def by_words(train: Pairs) -> Callable[[str], str]:
    """Naive Bayes over the words and word pairs of the text."""
    classes = Counter(answer for _, answer in train)
    seen: dict[str, Counter] = defaultdict(Counter)
    for text, answer in train:
        seen[answer].update(grams(text))
    sums = {answer: sum(counts.values()) for answer, counts in seen.items()}
    known = len({gram for counts in seen.values() for gram in counts})

    def score(answer: str, text: str) -> float:
        given = sum(math.log((seen[answer][gram] + 0.5) / (sums[answer] + 0.5 * known)) for gram in grams(text))
        return math.log(classes[answer]) + given

    return lambda text: max(classes, key=lambda answer: score(answer, text))


def grams(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {*words, *map(" ".join, pairwise(words))}


def blind(train: Pairs, test: Pairs) -> float:
    """The best blind guesser's share of right answers."""
    return max(np.mean([guess(text) == answer for text, answer in test]) for guess in (by_text(train), by_words(train)))


def top(row: dict) -> str:
    """The answer that most people gave."""
    return row["answers"][int(np.argmax(row["counts"]))]


@pytest.mark.parametrize(
    ("dataset", "test"), [("vqa", "val"), ("vg_qa", "val"), ("vg_qa", "test"), ("gqa", "val"), ("gqa", "testdev")]
)
def test_answers_cannot_be_guessed_from_the_question(world, dataset, test):
    train, held = ([(row["text"], top(row)) for row in world.rows(dataset, split)] for split in ("train", test))
    chance = np.mean([1 / PLAUSIBLE[answer] for _, answer in held])
    assert blind(train, held) < chance + max(0.05, 0.85 / math.sqrt(len(held)))
    # What is held out is not easier: the kinds of questions are those of the training set.
    assert chance == pytest.approx(np.mean([1 / PLAUSIBLE[answer] for _, answer in train]), abs=0.04)
    # And the training set itself, where a model could learn it by heart: every text has its answers equally often.
    for text, counts in groups(train).items():
        if counts.total() >= 20:
            assert max(counts.values()) <= counts.total() / PLAUSIBLE[next(iter(counts))] + 1, text


def groups(pairs: Iterable[tuple[str, str]]) -> dict[str, Counter]:
    found: dict[str, Counter] = defaultdict(Counter)
    for text, answer in pairs:
        found[text][answer] += 1
    return found


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_nlvr2_sentences_are_as_often_true_as_false(world, split):
    pairs = [(row["text"], str(row["label"])) for row in world.rows("nlvr2", split)]
    cut = pairs[-1][0]  # the last set of four pairs may not be whole
    for text, counts in groups(pairs).items():
        assert counts["0"] == counts["1"] or text == cut, text
    train = [(row["text"], str(row["label"])) for row in world.rows("nlvr2", "train")]
    assert blind(train, pairs) <= 0.52


def test_one_image_of_a_pair_says_little_about_nlvr2(world):
    """Chance is a half; each image is in two examples, so that remembering an image helps no further."""
    rows = world.rows("nlvr2", "train")
    for side in (0, 1):
        labels = groups((row["images"][side], str(row["label"])) for row in rows)
        assert abs(np.mean([counts["1"] / counts.total() for counts in labels.values()]) - 0.5) < 0.05


@pytest.mark.parametrize("split", ["val", "test"])
def test_snli_ve_cannot_be_guessed_from_the_hypothesis(world, split):
    train, held = ([(r["text"], str(r["label"])) for r in world.rows("snli_ve", s)] for s in ("train", split))
    assert blind(train, held) < 1 / 3 + 0.05
    for text, counts in groups(train).items():
        assert max(counts.values()) - min(counts.get(str(label), 0) for label in range(3)) <= 2, text


def test_snli_ve_cannot_be_told_from_the_image_alone(world):
    """A panel may hide things and so goes with neutral: who sees only whether there is one scores under a half."""
    covered = {str(world.plan.flickr[p]): str(world.plan.scenes[p].cover is not None) for p in world.plan.flickr30k}
    pairs = [(covered[r["images"][0].split(":")[1]], str(r["label"])) for r in world.rows("snli_ve", "train")]
    right = sum(max(counts.values()) for counts in groups(pairs).values())
    assert right / len(pairs) < 0.5


REFERRING = ("refcoco", "refcoco+", "refcocog", "visual7w", "guesswhat")
LOOKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "largest": lambda box: (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]),
    "smallest": lambda box: -(box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]),
    "leftmost": lambda box: -box[:, 0],
    "rightmost": lambda box: box[:, 2],
    "highest": lambda box: -box[:, 1],
    "lowest": lambda box: box[:, 3],
    "most central": lambda box: -np.abs(box[:, :2] + box[:, 2:] - (160, 128)).sum(axis=1),
    "first": lambda box: -np.arange(len(box)),
    "last": lambda box: np.arange(len(box)),
}


@pytest.mark.parametrize("dataset", REFERRING)
def test_targets_cannot_be_guessed_from_the_boxes(world, dataset):
    splits = world.examples[dataset].splits
    # One row a target: the expressions of one target stand or fall together.
    rows = {(*row["images"], row["target"], row["text"]): row for row in world.rows(dataset, *splits)}.values()
    if dataset.startswith("refcoco"):
        rows = {(*row["images"], row["target"]): row for row in rows}.values()
    chance = np.mean([1 / len(row["candidates"]) for row in rows])
    for name, look in LOOKS.items():
        hits = [int(np.argmax(look(np.array(row["candidates"])))) == row["target"] for row in rows]
        assert np.mean(hits) < chance + 0.06, name


@pytest.mark.parametrize("dataset", REFERRING)
def test_targets_cannot_be_guessed_from_the_words(world, dataset):
    """The words say nothing of the target's place in the list of candidates."""
    splits = world.examples[dataset].splits
    train = [(row["text"], str(row["target"])) for row in world.rows(dataset, "train")]
    held = world.rows(dataset, *(split for split in splits if split != "train"))
    chance = np.mean([1 / len(row["candidates"]) for row in held])
    # Low places exist in every picture: always guessing one of them is worth a little more than chance.
    best_place = max(np.mean([row["target"] == place for row in held]) for place in range(2))
    assert blind(train, [(row["text"], str(row["target"])) for row in held]) < max(chance, best_place) + 0.06


@pytest.mark.parametrize(
    ("dataset", "split"), [("coco", "test"), ("flickr30k", "test"), ("conceptual_captions", "val")]
)
def test_captions_tell_the_images_apart(world, dataset, split):
    """Most captions name things that only one image of the test set has; sides and counts come on top."""
    rows = world.rows(dataset, split)
    shown: dict[str, set] = {
        key: {(t.colour, t.shape) for t in world.plan.scenes[photo].things} for key, photo in photos(world).items()
    }
    images = {row["images"][0] for row in rows}
    alone = []
    for row in rows:
        named = set(re.findall(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})", row["text"].lower()))
        assert len(named) >= 2
        assert named <= shown[row["images"][0]], row
        alone.append(sum(named <= shown[image] for image in images) == 1)
    assert np.mean(alone) > (0.8 if len(images) <= 50 else 0.6)


def photos(world) -> dict[str, int]:
    found = {f"coco:{number}": photo for photo, number in world.plan.coco.items()}
    found |= {f"flickr30k:{world.plan.flickr[photo]}": photo for photo in world.plan.flickr30k}
    return found | {f"cc:{name}": photo for photo, name in world.plan.cc.items()}
