"""A small tagger for short English texts about pictures: nouns and adjectives from word lists and their neighbours.

It needs no download. A word of no list is a noun, which in questions about pictures and in referring expressions it
nearly always is; what can be two things (a *watch*, to *watch*; on the *left*, the *left* one) is settled by the words
beside it.
"""

import re

from vlmt_cli.analysis.consistency import lexicon
from vlmt_cli.analysis.consistency.lexicon import ADJECTIVE, BE, HELPERS, KINDS, NOUN, OTHER, SUBJECTS, VERB

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")
_POSSESSIVE = re.compile(r"['\u2019]s$")
_ADJECTIVE_ENDINGS = ("ous", "ful", "ish", "less", "able", "ible", "ic")
_DONE = BE | {"have", "do"}
_UNEVEN = {"better": "good", "best": "good", "worse": "bad", "worst": "bad", "farthest": "far", "furthest": "far"}


def tag(text: str) -> list[tuple[int, int, str, str]]:
    """Find the nouns and adjectives of a text.

    Args:
        text: a question or a phrase, in any case. Parts of a word with hyphens are words of their own.

    Returns:
        (start, end, word, ``noun`` or ``adjective``) in order: places in characters, the word in lower case and without
        a possessive 's.
    """
    matches = [(match.start(), _POSSESSIVE.sub("", match[0].lower())) for match in _WORD.finditer(text)]
    return [
        (start, start + len(word), word, part)
        for (start, word), part in zip(matches, parts_of_speech([word for _, word in matches]), strict=True)
        if part in (NOUN, ADJECTIVE)
    ]


def parts_of_speech(words: list[str]) -> list[str]:
    """Say of each word of a text in lower case whether it is a noun, an adjective, a verb or something other."""
    kinds = [_kind(word) for word in words]
    parts: list[str] = []
    for i in range(len(words)):
        parts.append(_settle(i, words, kinds, parts))
    return parts


def _settle(i: int, words: list[str], kinds: list[str], parts: list[str]) -> str:
    """Settle word ``i``, where the words before it are settled as ``parts`` and those after it can be ``kinds``."""
    before, previous = (parts[i - 1], words[i - 1]) if i else (OTHER, "")
    after, following = (kinds[i + 1], words[i + 1]) if i + 1 < len(words) else (OTHER, "")
    names = after in lexicon.NAMING or following in ("one", "ones")
    may_describe = names and before != NOUN and previous not in SUBJECTS | HELPERS | BE
    says = previous in BE or ((before == NOUN or previous in SUBJECTS) and not BE.isdisjoint(words[:i]))
    match kinds[i]:
        case lexicon.ADJECTIVE_OR_NOUN:
            return ADJECTIVE if names or says else NOUN
        case lexicon.PLACE:
            return ADJECTIVE if names or previous in BE else NOUN
        case lexicon.BEFORE_NOUN:
            return ADJECTIVE if names and previous not in BE else OTHER
        case lexicon.PARTICIPLE:
            return ADJECTIVE if may_describe else VERB
        case lexicon.GERUND:
            alone = not names and (previous in lexicon.ARTICLES or before == ADJECTIVE)
            return NOUN if may_describe or alone else VERB
        case lexicon.NOUN_OR_VERB | lexicon.VERB_OR_NOUN:
            return VERB if _acts(i, words, kinds, parts) else NOUN
        case lexicon.CAN:
            return NOUN if previous in lexicon.CANS | lexicon.ARTICLES else OTHER
        case lexicon.LIGHT:
            return ADJECTIVE if after == ADJECTIVE or following in lexicon.LIGHT_THINGS else NOUN
        case lexicon.NEXT:
            return OTHER if following == "to" else ADJECTIVE
        case kind:
            return kind


def _acts(i: int, words: list[str], kinds: list[str], parts: list[str]) -> bool:
    """Tell whether a word that may be a noun or a verb is the verb here."""
    while i and words[i - 1].endswith("ly") and parts[i - 1] == OTHER:
        i, words, kinds, parts = i - 1, *(line[: i - 1] + line[i:] for line in (words, kinds, parts))
    if i == 0:
        return False
    previous, mostly_verb = words[i - 1], kinds[i] == lexicon.VERB_OR_NOUN
    if previous == "to":
        return words[i - 2 : i - 1] not in (["next"], ["close"], ["closest"], ["nearest"])
    if previous in SUBJECTS | HELPERS:
        return True
    helped = not HELPERS.isdisjoint(words[:i])
    if previous in lexicon.POINTERS:  # does this look; a man that looks
        return mostly_verb and (helped or (previous == "that" and words[i].endswith("s")))
    if parts[i - 1] != NOUN or VERB in parts:
        return False
    if helped:  # Does the elephant's trunk spray water? Does the street sign face left?
        rest = kinds[i + 1 :]
        done_later = VERB in rest or not _DONE.isdisjoint(words[i + 1 :])
        return not done_later and (len(rest) < 2 or rest[0] not in lexicon.ACTING)
    return mostly_verb and BE.isdisjoint(words)


def _kind(word: str) -> str:
    """Say what a word can be, wherever it stands."""
    if word in KINDS:
        return KINDS[word]
    if any(map(str.isdigit, word)) or "'" in word:
        return OTHER
    if word.endswith("ing") and len(word) > 5:
        return VERB
    if word.endswith("ed") and len(word) > 4:
        return lexicon.PARTICIPLE
    if positive(word) != word or word.endswith(_ADJECTIVE_ENDINGS):
        return ADJECTIVE
    return OTHER if word.endswith("ly") else NOUN


def positive(adjective: str) -> str:
    """Return an adjective's plain form: large for larger and largest; itself where it is that or is not known."""
    if adjective in _UNEVEN:
        return _UNEVEN[adjective]
    stem = re.sub("(er|est)$", "", adjective)
    forms = [stem, f"{stem}e", re.sub("i$", "y", stem), re.sub(r"(.)\1$", r"\1", stem)]
    return next((form for form in forms if stem != adjective and form in lexicon.ADJECTIVES), adjective)
