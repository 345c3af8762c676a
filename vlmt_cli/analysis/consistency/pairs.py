"""Questions and referring expressions of the same images, in pairs, with the concepts that they share (section 8.8).

Shapes: P pairs, S concepts shared by a pair.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlmt_cli.base.errors import DataError

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ConceptPairs:
    """Every question with every expression of the same image: what all models are measured on.

    Attributes:
        question_P, expression_P: rows of the two inputs.
        image_P: numbers from 0 of the images that have both.
        overlap_P: d, how many concepts the two texts share.
        shared_S: the pair that shares a concept, and
        concept_S: which: a place in ``words``.
        words: lemmas; ``parts``: noun or adjective, whichever each is more often.
        images, questions, expressions: how many of each there are in the pairs.
        rows: how many questions and expressions the inputs have, with those of other images.
    """

    question_P: Integers
    expression_P: Integers
    image_P: Integers
    overlap_P: Integers
    shared_S: Integers
    concept_S: Integers
    words: list[str]
    parts: list[str]
    images: int
    questions: int
    expressions: int
    rows: tuple[int, int]

    def __len__(self) -> int:
        return len(self.question_P)


def pair_up(
    question_images: ArrayLike,
    question_concepts: Sequence[Mapping[str, str]],
    expression_images: ArrayLike,
    expression_concepts: Sequence[Mapping[str, str]],
    objects: tuple[Sequence[Sequence[str]], Sequence[str]] | None = None,
) -> ConceptPairs:
    """Pair the questions and expressions of each image, and count the concepts that they share.

    Args:
        question_images, expression_images: image of each question and expression, a number or a key.
        question_concepts, expression_concepts: what ``concepts.concepts`` found in each.
        objects: where only those about the same object make a pair, each question's objects and each expression's.

    Raises:
        DataError: no image has both, or no pair shares a concept.
    """
    images = np.asarray(question_images), np.asarray(expression_images)
    if not len(images[0]) == len(question_concepts) or not len(images[1]) == len(expression_concepts):
        raise DataError("there are not as many images as texts")
    number = np.unique(np.concatenate(images), return_inverse=True)[1]
    image_of_question, image_of_expression = np.split(number.astype(np.int64), [len(images[0])])
    question_P, expression_P = _join(image_of_question, image_of_expression)
    if objects is not None:
        question_P, expression_P = _about_the_same(question_P, expression_P, *objects)
    if not len(question_P):
        todo = "take test images of RefCOCO or RefCOCO+ that have VQA questions"
        raise DataError("no image has both a question and a referring expression", todo=todo)

    words, parts, tables = _number([question_concepts, expression_concepts])
    (question, word), (expression, other) = tables
    question_row, expression_row = _join(
        image_of_question[question] * len(words) + word, image_of_expression[expression] * len(words) + other
    )
    # Pairs stand in order of question, then expression; so a shared concept finds its pair by bisection.
    rows = len(expression_concepts)
    paired_P, sharing_S = question_P * rows + expression_P, question[question_row] * rows + expression[expression_row]
    is_paired = np.isin(sharing_S, paired_P)
    shared_S, question_row = np.searchsorted(paired_P, sharing_S[is_paired]), question_row[is_paired]
    if not len(shared_S):
        raise DataError("no question shares a noun or adjective with an expression of its image")
    paired, image_P = np.unique(image_of_question[question_P], return_inverse=True)
    return ConceptPairs(
        question_P,
        expression_P,
        image_P,
        np.bincount(shared_S, minlength=len(question_P)),
        shared_S,
        word[question_row],
        words,
        parts,
        len(paired),
        len(np.unique(question_P)),
        len(np.unique(expression_P)),
        (len(images[0]), rows),
    )


def _about_the_same(
    question_P: Integers, expression_P: Integers, named: Sequence[Sequence[str]], meant: Sequence[str]
) -> tuple[Integers, Integers]:
    """Keep the pairs whose question names the expression's object."""
    sets = [frozenset(each) for each in named]
    kept = np.fromiter(
        (meant[e] in sets[q] for q, e in zip(question_P.tolist(), expression_P.tolist(), strict=True)),
        bool,
        len(question_P),
    )
    return question_P[kept], expression_P[kept]


def _join(left: Integers, right: Integers) -> tuple[Integers, Integers]:
    """Find the places of all equal values, in order of the left, then of the right place."""
    order = np.argsort(right, kind="stable")
    starts, ends = (np.searchsorted(right[order], left, side) for side in ("left", "right"))
    counts = ends - starts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.arange(len(left)), counts), order[np.repeat(starts, counts) + within]


def _number(
    sides: Sequence[Sequence[Mapping[str, str]]],
) -> tuple[list[str], list[str], list[tuple[Integers, Integers]]]:
    """Number the lemmas of all texts; returns them, their parts of speech, and for each side (text, lemma) numbers."""
    uses = Counter(use for side in sides for text in side for use in text.items())
    parts = {word: part for (word, part), _ in reversed(uses.most_common())}
    words = sorted(parts)
    number_of = {word: i for i, word in enumerate(words)}
    tables = []
    for side in sides:
        text = np.repeat(np.arange(len(side)), [len(text_words) for text_words in side])
        tables.append(
            (text, np.fromiter((number_of[word] for text_words in side for word in text_words), np.int64, len(text)))
        )
    return words, [parts[word] for word in words], tables
