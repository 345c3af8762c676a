"""Random English: words, sentences and free-form answers, the k-th commonest with a probability proportional to 1/k."""

from functools import cache
from typing import Any

import numpy as np

from .arrays import Rng, Words

SMALL = "a the in on of with and is to at his her while by from for are an near its over up that two".split()
NOUNS = """man woman dog cat street table people shirt water ball bus train horse plate pizza tree car sign person boy
girl room chair grass building bench beach board field bike clock kitchen bear elephant giraffe zebra umbrella phone
laptop cup bowl cake sandwich banana apple orange carrot fork knife spoon bed couch window door wall floor light lamp
mirror sink toilet oven fridge vase flower book shelf computer mouse keyboard screen camera picture hat helmet jacket
coat shoe sock glove glasses bag backpack suitcase truck motorcycle bicycle boat plane kite skateboard surfboard ski
snow hill mountain river lake ocean wave sky cloud sun road sidewalk bridge fence gate tower house roof brick store
market park garden player team racket bat base crowd child baby family group couple officer worker chef skier surfer
sheep cow bird duck cheese bread meat salad soup rice""".split()
ADJECTIVES = """white black red blue green brown young large small yellow old wooden orange little gray tall pink open
big long purple busy empty dark bright striped metal short round colorful clean dirty wet dry hot cold fresh sliced
parked crowded sunny cloudy grassy sandy snowy shiny plaid happy curious tan silver golden narrow wide modern broken
plastic leather""".split()
VERBS = """standing sitting riding holding walking wearing playing looking eating lying flying parked running jumping
driving talking throwing hitting catching watching reading cooking cutting carrying pulling pushing climbing crossing
skating surfing swimming sleeping smiling waiting pointing reaching leaning hanging""".split()
RELATIONS = ["to the left of", "to the right of", "on", "near", "behind", "in front of", *VERBS[:12]]
QUESTION_TYPES = (
    "what is the|is the|how many|what color is the|is this|what|are the|what is|is there a|what kind of|is this a|"
    "are there|where is the|what are the|are these|does the|what type of|which|is he|who is|what is in the|"
    "how many people are|what is the man|has|why is the|is it|do you|what time|what sport is|can you"
).split("|")
CATEGORIES = NOUNS[:80]


@cache
def vocabulary() -> tuple[Words, Words]:
    """Words in order of frequency, and the same words tagged as in a parse."""
    core = [word for group in zip(SMALL, NOUNS, ADJECTIVES, VERBS, strict=False) for word in group]
    rest = [word for word in (*NOUNS, *ADJECTIVES, *VERBS) if word not in core]
    tail = [first + second for second in NOUNS[:60] for first in NOUNS[:60]]
    words = list(dict.fromkeys([*core, *rest, *tail]))
    tags = {"DT": set(SMALL), "JJ": set(ADJECTIVES), "VBG": set(VERBS)}
    tagged = [f"({next((tag for tag, group in tags.items() if word in group), 'NN')} {word})" for word in words]
    return np.array(words, object), np.array(tagged, object)


@cache
def answers() -> Words:
    """About 200,000 free-form answers in order of frequency, as inside a JSON string; one in fifty is odd."""
    pairs = [f"{first} {second}" for second in NOUNS for first in (*ADJECTIVES, *VERBS)]
    longer = [f"{one} {relation} {two}" for relation in ("on", "with", "and", "in") for one in NOUNS for two in NOUNS]
    shades = [f"{one} and {two}" for one in ADJECTIVES[:20] for two in ADJECTIVES[:20]]
    short = [word for pair in zip(NOUNS, ADJECTIVES * 3, strict=False) for word in pair]
    triples = [f"{pair} {noun}" for pair in pairs[:600] for noun in NOUNS]
    plain = list(dict.fromkeys([*short, *shades, *pairs, *longer, *triples]))
    odd = ["don't know", "The {}", "a {}", "{}'s", "{}!", "{}/tea", '\\"{}\\"', "caf\\u00e9 {}", "2:30pm", "1,000 {}"]
    for position in range(40, len(plain), 50):
        plain[position] = odd[position // 50 % len(odd)].format(plain[position].upper() if position % 3 else "dont")
    return np.array(plain, object)


@cache
def zipf(size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Cumulated probabilities of ``size`` ranks, each proportional to 1/rank."""
    weights = 1 / np.arange(1, size + 1)
    return np.asarray(np.cumsum(weights) / weights.sum())


def draw(rng: Rng, items: Words, size: int) -> list[str]:
    """``size`` items, the k-th with a probability proportional to 1/k."""
    picked: list[str] = items[np.searchsorted(zipf(len(items)), rng.random(size)).clip(max=len(items) - 1)].tolist()
    return picked


def phrases(rng: Rng, size: int, mean: float) -> list[list[str]]:
    """``size`` lists of words, ``mean`` words long on average and at least two."""
    lengths = 2 + rng.poisson(mean - 2, size)
    ends = np.cumsum(lengths)
    flat = draw(rng, vocabulary()[0], int(ends[-1]))
    return [flat[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


def sentences(rng: Rng, size: int, mean: float, end: str = ".") -> list[str]:
    """``size`` sentences of ``mean`` words on average, with a capital first letter and ``end`` at the end."""
    return [" ".join(words).capitalize() + end for words in phrases(rng, size, mean)]
