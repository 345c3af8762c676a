"""Visual concepts of a text: the lemmas of its nouns and adjectives (section 5, MT-VGC).

The paper counts the nouns and adjectives that a question and an expression share, found by a part-of-speech tagger.
Here each distinct lemma counts once, and as the same whether it is a noun in one text and an adjective in the other
(*the left*, *left one*). Words that say how many or which of several, but nothing that can be seen, are not concepts:
``NO_CONCEPTS``.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmt_cli.analysis.consistency.tagger import positive, tag
from vlmt_cli.base.errors import DataError, UsageError

if TYPE_CHECKING:
    from spacy.language import Language

NOUN, ADJECTIVE = "noun", "adjective"
SPACY, LEXICON = "spacy", "lexicon"
SPACY_MODEL = "en_core_web_sm"
NO_CONCEPTS = frozenset("""many most more much few fewer fewest less least several various other another same such own
only able likely sure one ones""".split())  # fmt: skip
"""Adjectives, and the noun *one*, that name nothing visible."""


@dataclass(frozen=True)
class Concept:
    """A word that names a visual concept.

    Attributes:
        start, end: its place in the text, in characters.
        lemma: in lower case: ``dog`` for *Dogs*, ``large`` for *largest*.
        part: ``noun`` or ``adjective``.
    """

    start: int
    end: int
    lemma: str
    part: str


Tagger = Callable[[Sequence[str]], list[list[Concept]]]
"""Finds the concepts of N texts, in order of their places."""


def concepts(texts: Sequence[str], tagger: Tagger) -> list[dict[str, str]]:
    """Return for each of N texts its distinct lemmas, each with its part of speech where it stands first.

    A text that occurs often is tagged once.
    """
    distinct = list(dict.fromkeys(texts))
    lemmas = {text: _lemmas(words) for text, words in zip(distinct, tagger(distinct), strict=True)}
    return [lemmas[text] for text in texts]


def _lemmas(words: Sequence[Concept]) -> dict[str, str]:
    return {word.lemma: word.part for word in reversed(words)}


def check_tagger(name: str) -> str:
    """Return the kind of a tagger, without loading it. Raises a UsageError where there is none of this name."""
    kind = name.partition(":")[0]
    if name != LEXICON and kind != SPACY:
        raise UsageError(f"there is no tagger {name!r}", todo=f"choose {LEXICON}, {SPACY} or {SPACY}:NAME")
    return kind


def load_tagger(name: str = LEXICON) -> Tagger:
    """Load a tagger.

    F1 on 64 texts of VQA and Visual Genome that were tagged by hand (the second draw in tests/data/tagged_texts.json,
    measured by benchmarks/tagger.py), of nouns, of adjectives, and of both as one: lexicon 0.99, 0.98, 0.99;
    en_core_web_sm 3.8 0.97, 0.95, 0.99; for comparison, the tagger of textblob 0.20 0.97, 0.95, 0.98. The lexicon is
    made for such texts, not for news.

    Args:
        name: ``lexicon``, which is part of vlmt and needs no download; ``spacy``, which is spaCy's en_core_web_sm; or
            ``spacy:NAME`` for another spaCy pipeline, by the name of its package or its folder.

    Raises:
        UsageError: there is no such tagger.
        DataError: it is not installed.
    """
    if check_tagger(name) == LEXICON:
        return _lexicon
    return _spacy(name.partition(":")[2] or SPACY_MODEL)


def _lexicon(texts: Sequence[str]) -> list[list[Concept]]:
    return [list(_concepts(tag(text))) for text in texts]


def _spacy(model: str) -> Tagger:
    todo = f"install it with: python -m spacy download {model} -- or take the tagger {LEXICON}, which needs no download"
    try:
        import spacy
    except ImportError as error:
        raise DataError("spaCy is not installed", todo=f"pip install 'vlmt[train]'; then {todo}") from error
    try:
        pipeline = spacy.load(model, exclude=["parser", "ner", "senter", "lemmatizer"])
    except OSError as error:
        raise DataError(f"spaCy's {model} is not installed", todo=todo) from error
    return lambda texts: _tag_with(pipeline, texts)


def _tag_with(pipeline: "Language", texts: Sequence[str]) -> list[list[Concept]]:
    parts = {"NOUN": NOUN, "PROPN": NOUN, "ADJ": ADJECTIVE}
    return [
        list(
            _concepts(
                (token.idx, token.idx + len(token), token.lower_, parts[token.pos_])
                for token in document
                if token.pos_ in parts and token.is_alpha
            )
        )
        for document in pipeline.pipe(texts)
    ]


def _concepts(words: Iterable[tuple[int, int, str, str]]) -> Iterator[Concept]:
    for start, end, word, part in words:
        if word not in NO_CONCEPTS:
            yield Concept(start, end, lemma(word, part), part)


def lemma(word: str, part: str) -> str:
    """Return the form that a dictionary lists: the singular of a noun, the plain form of an adjective.

    One rule for all taggers, so that two texts never share a concept with one of them and not with another.

    Args:
        word: in lower case.
        part: ``noun`` or ``adjective``.
    """
    return singular(word) if part == NOUN else positive(word)


def singular(noun: str) -> str:
    """Return the singular of a noun in lower case: glass for glasses, child for children; shorts stay shorts."""
    if noun in _SINGULARS:
        return _SINGULARS[noun]
    if noun in _NO_PLURALS or len(noun) < 4 or not noun.endswith(("s", "men", "children", "teeth", "feet", "mice")):
        return noun
    for ending, instead in _ENDINGS:
        if re.search(ending, noun):
            return re.sub(ending, instead, noun)
    return noun


_SINGULARS = {
    "people": "person",
    "men": "man",
    "geese": "goose",
    "oxen": "ox",
    "dice": "die",
    "halves": "half",
    "menus": "menu",
    "emus": "emu",
    "taxis": "taxi",
    "bikinis": "bikini",
    "kiwis": "kiwi",
    "buses": "bus",
    "busses": "bus",
    "gases": "gas",
    "lenses": "lens",
    "canvases": "canvas",
    "axes": "axe",
    "cpus": "cpu",
}
_NO_PLURALS = frozenset("""pants jeans shorts trousers sunglasses eyeglasses goggles scissors clothes leggings overalls
pajamas pyjamas khakis slacks tights binoculars pliers tweezers tongs lens gas canvas christmas atlas news series
species specimen ramen semen omen regimen texas has was pass bias""".split())  # fmt: skip
_ENDINGS = (
    ("men$", "man"),
    ("children$", "child"),
    ("teeth$", "tooth"),
    ("feet$", "foot"),
    ("mice$", "mouse"),
    ("(kni|wi)ves$", r"\1fe"),
    ("(lea|loa|shel|scar|wol|cal|hoo|thie)ves$", r"\1f"),
    ("(^[ptld]|mov|cook|zomb|hood|self|brown|smooth|vegg|dogg|rook|calor|prair|goal|bird)ies$", r"\1ie"),
    ("ies$", "y"),
    ("([^aeou])uses$", r"\1us"),  # walruses, but not houses
    ("(must|head)aches$", r"\1ache"),
    ("(ss|[cs]h|x|zz)es$", r"\1"),
    ("(?<!sh)(?<!can)(?<!^t)(?<!^h)oes$", "o"),  # potatoes, but not shoes
    ("skis$", "ski"),
    ("(ss|us|is)$", r"\1"),
    ("s$", ""),
)
