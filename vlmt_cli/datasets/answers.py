"""Answers of vocabulary VQA: the official normalisation, counts and vocabularies.

The VQA evaluation (github.com/GT-Vision-Lab/VQA, vqaEval.py) compares answers
after removing case, articles, most punctuation and spelled-out numbers up to
ten. Answers here are normalised once, when they are read.
"""

import re
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.datasets.tables import lists

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_MARKS = frozenset(_PUNCTUATION)
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
_PERIODS = 32  # of one answer: the evaluation passes a flag of this value where the count belongs
_PLAIN = re.compile(r"[a-z0-9' ]*")
_ARTICLES = {"a", "an", "the"}
_NUMBERS = {"none": "0"} | {
    word: str(number) for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
}

# The evaluation puts a lost apostrophe back: every form here, less any one of its apostrophes, becomes it.
_APOSTROPHES = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()
_CONTRACTIONS = {
    form[:i] + form[i + 1 :]: form for form in _APOSTROPHES for i, letter in enumerate(form) if letter == "'"
} | {"somebody'd": "somebodyd"}  # the evaluation's own oddity
_CHANGED = frozenset((*_ARTICLES, *_NUMBERS, *_CONTRACTIONS))

# The same for whole columns, where most answers are words, maybe with a capital and a period.
_WORDS = r"^[A-Za-z0-9']+(?: [A-Za-z0-9']+)*\.?\z"
_CHANGED_WORD = rf"(?:^| )(?:{'|'.join(sorted(_CHANGED))})(?: |\z)"
_TRIMMED = r"^[!-~](?:[ -~]*[!-~])?\z"

ANNOTATORS = 10


def normalise_answer(answer: str) -> str:
    """Normalise an answer as the official VQA evaluation does: ``"The Two dogs."`` is ``"2 dogs"``."""
    if not _PLAIN.fullmatch(answer):
        answer = _without_punctuation(trimmed(answer)).lower()
    words = answer.split()
    if _CHANGED.isdisjoint(words):
        return " ".join(words)
    words = [_NUMBERS.get(word, word) for word in words]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(answer: str) -> str:
    if _MARKS.isdisjoint(answer):
        return _PERIOD.sub("", answer, count=_PERIODS)
    # A mark leaves no trace where it touches a space, and nowhere when a number holds a comma; else it parts words.
    traceless = _DIGIT_COMMA_DIGIT.search(answer) is not None
    result = answer
    for mark in _PUNCTUATION:
        if mark in result:
            gone = traceless or f"{mark} " in answer or f" {mark}" in answer
            result = result.replace(mark, "" if gone else " ")
    return _PERIOD.sub("", result, count=_PERIODS)


def trimmed(answer: str) -> str:
    """Return an answer as the evaluation compares it where all annotators agree: as typed, without outer blanks."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


def trimmed_answers(answers: pa.Array | Sequence[str]) -> pa.DictionaryArray:
    """Trim N answers; each distinct one only once. Returns N dictionary-encoded strings."""
    return _of_distinct(trimmed, answers, lambda texts: (texts, pc.match_substring_regex(texts, _TRIMMED)))


def unanimous_answers(annotated: NDArray[np.int64], answers: pa.DictionaryArray) -> pa.Array:
    """Return what all annotators of each question typed; null where they differ, or where nobody answered.

    Args:
        annotated: for each of N questions, how many annotators answered.
        answers: all their answers, trimmed, one question after another.
    """
    codes, first = answers.indices.to_numpy(), np.cumsum(annotated) - annotated
    question = np.repeat(np.arange(len(annotated)), annotated)
    differ = np.bincount(question, codes != codes[first[question]], minlength=len(annotated)) > 0
    agree = (annotated > 0) & ~differ
    said = np.zeros(len(annotated), np.int64)
    said[agree] = codes[first[agree]]
    return answers.dictionary.take(pa.array(said, mask=~agree))


def normalise_answers(answers: pa.Array | Sequence[str]) -> pa.DictionaryArray:
    """Normalise N answers; each distinct one only once. Returns N dictionary-encoded strings."""
    return _of_distinct(normalise_answer, answers, _normal_words)


def _normal_words(texts: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Normalise answers that are words, none of which is changed; the second result says which these are."""
    normal = pc.ascii_lower(pc.ascii_rtrim(texts, "."))
    return normal, pc.and_not(pc.match_substring_regex(texts, _WORDS), pc.match_substring_regex(normal, _CHANGED_WORD))


def _of_distinct(
    change: Callable[[str], str],
    answers: pa.Array | Sequence[str],
    change_all: Callable[[pa.Array], tuple[pa.Array, pa.Array]],
) -> pa.DictionaryArray:
    """Change each distinct answer once: by ``change_all`` those of which it says that it can, the others one by one."""
    distinct = answers
    if not isinstance(distinct, pa.DictionaryArray):
        distinct = pa.array(distinct, pa.string()).dictionary_encode()
    texts = distinct.dictionary
    changed, is_changed = change_all(texts)
    others = pc.invert(is_changed)
    one_by_one = pa.array(map(change, texts.filter(others).to_pylist()), pa.string())
    changed = pc.replace_with_mask(changed, others, one_by_one).dictionary_encode()
    return pa.DictionaryArray.from_arrays(changed.indices.take(distinct.indices), changed.dictionary)


def count_answers(annotated: NDArray[np.int64], answers: pa.DictionaryArray) -> tuple[pa.ListArray, pa.ListArray]:
    """Count what the annotators of each question said.

    Args:
        annotated: for each of N questions, how many annotators answered.
        answers: all their answers, one question after another.

    Returns:
        N lists of distinct answers, the most frequent first, and N lists of their counts.
    """
    question = np.repeat(np.arange(len(annotated)), annotated)
    size = max(len(answers.dictionary), 1)
    pairs, counts = np.unique(question * size + answers.indices.to_numpy(), return_counts=True)
    order = np.lexsort((-counts, pairs // size))
    pairs, counts = pairs[order], counts[order]
    distinct = np.bincount(pairs // size, minlength=len(annotated))
    values = answers.dictionary.take(pa.array(pairs % size))
    return lists(distinct, values), lists(distinct, pa.array(counts, pa.int8()))


def most_frequent_answers(annotated: NDArray[np.int64], answers: pa.DictionaryArray) -> pa.Array:
    """Return for each of N questions the answer that most annotators gave, and of several the one that was given first.

    Arguments are ``count_answers``'. The result is null where nobody answered.
    """
    question = np.repeat(np.arange(len(annotated)), annotated)
    codes = answers.indices.to_numpy()
    pairs = question * max(len(answers.dictionary), 1) + codes
    _, first, counts = np.unique(pairs, return_index=True, return_counts=True)
    asked = question[first]
    order = np.lexsort((first, -counts, asked))
    questions, best = np.unique(asked[order], return_index=True)
    chosen, is_null = np.zeros(len(annotated), np.int64), np.ones(len(annotated), bool)
    chosen[questions], is_null[questions] = codes[first[order][best]], False
    return answers.dictionary.take(pa.array(chosen, mask=is_null))


def single_answers(answers: pa.DictionaryArray) -> tuple[pa.ListArray, pa.ListArray]:
    """Return ``count_answers`` for N questions with one answer each, on which all annotators agree."""
    counts = np.ones(len(answers), dtype=np.int32)
    return lists(counts, answers.cast(pa.string())), lists(counts, pa.array(counts * ANNOTATORS, pa.int8()))


def vocabulary(answers: pa.DictionaryArray, at_least: int = 1, at_most: int | None = None) -> list[str]:
    """List the answers that occur ``at_least`` so often, the most frequent first, ties in alphabetical order."""
    table = pa.RecordBatch.from_struct_array(pc.value_counts(answers.cast(pa.string())))
    table = pa.Table.from_batches([table]).filter(pc.field("counts") >= at_least)
    table = table.sort_by([("counts", "descending"), ("values", "ascending")])
    words: list[str] = table["values"].slice(0, at_most).to_pylist()
    return words
