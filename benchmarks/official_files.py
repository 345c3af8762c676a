"""Annotation files of all twelve datasets at the paper's full size (tables 7 and 8), from one seed.

The records have all fields of the official ones, at their usual length; the texts are
random English words. Images are shared among the datasets about as in table 1, so that
cleaning removes about what it removes from the real files. What no paper counts (objects
an image, words a sentence) is set by a look at real files.

Two departures from the real sizes: GuessWhat has as many *successful* games as table 8 has
games (15 % of the real ones failed), and Visual Genome has table 8's 1,437,931 training
questions plus twice 5,000 held out (really 1,445,322 in all).
"""

import gzip
import json
import pickle
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1
CHUNK = 20_000
MANIFEST = "manifest.json"
Ints = np.ndarray[Any, np.dtype[np.int64]]
Words = np.ndarray[Any, np.dtype[np.object_]]
Chunks = Iterator[list[str]]
Rng = np.random.Generator

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
QUESTION_TYPES = """what is the|is the|how many|what color is the|is this|what|are the|what is|is there a|what kind of
is this a|are there|where is the|what are the|are these|does the|what type of|which|is he|who is|what is in the
how many people are|what is the man|has|why is the|is it|do you|what time|what sport is|can you""".replace("\n", "|")
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
    phrases = [f"{first} {second}" for second in NOUNS for first in (*ADJECTIVES, *VERBS)]
    longer = [f"{one} {relation} {two}" for relation in ("on", "with", "and", "in") for one in NOUNS for two in NOUNS]
    shades = [f"{one} and {two}" for one in ADJECTIVES[:20] for two in ADJECTIVES[:20]]
    short = [word for pair in zip(NOUNS, ADJECTIVES * 3, strict=False) for word in pair]
    plain = list(
        dict.fromkeys([*short, *shades, *phrases, *longer, *(f"{p} {n}" for p in phrases[:600] for n in NOUNS)])
    )
    odd = ["don't know", "The {}", "a {}", "{}'s", "{}!", "{}/tea", '\\"{}\\"', "caf\\u00e9 {}", "2:30pm", "1,000 {}"]
    for position in range(40, len(plain), 50):
        plain[position] = odd[position // 50 % len(odd)].format(plain[position].upper() if position % 3 else "dont")
    return np.array(plain, object)


@cache
def zipf(size: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    weights = 1 / np.arange(1, size + 1)
    return np.asarray(np.cumsum(weights) / weights.sum())


def draw(rng: Rng, items: Words, size: int) -> list[str]:
    """``size`` items, the k-th with a probability proportional to 1/k."""
    picked: list[str] = items[np.searchsorted(zipf(len(items)), rng.random(size)).clip(max=len(items) - 1)].tolist()
    return picked


def phrases(rng: Rng, size: int, mean: float, items: Words | None = None) -> list[list[str]]:
    """``size`` lists of words, ``mean`` words long on average and at least two."""
    lengths = 2 + rng.poisson(mean - 2, size)
    ends = np.cumsum(lengths)
    flat = draw(rng, vocabulary()[0] if items is None else items, int(ends[-1]))
    return [flat[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]


def sentences(rng: Rng, size: int, mean: float, end: str = ".") -> list[str]:
    return [" ".join(words).capitalize() + end for words in phrases(rng, size, mean)]


@cache
def polygons() -> list[str]:
    """2,000 polygons as in COCO, about 370 characters each on average and much longer at times."""
    rng = np.random.default_rng(0)
    sizes = (rng.lognormal(2.75, 0.8, 2000).astype(int) + 3) * 2
    return [json.dumps(np.round(rng.uniform(1, 420, size), 2).tolist()) for size in sizes]


def spread(rng: Rng, total: int, bins: int, least: int = 1) -> Ints:
    """Split ``total`` into ``bins`` random counts of at least ``least``."""
    return np.asarray(least + rng.multinomial(total - least * bins, np.full(bins, 1 / bins)))


def evenly(rng: Rng, total: int, bins: int) -> Ints:
    """Split ``total`` into ``bins`` counts that differ by one at most."""
    return np.asarray(rng.permutation(total // bins + (np.arange(bins) < total % bins)))


def ranks(counts: Ints) -> Ints:
    """0, 1, ..., n-1 for every count n, in one array."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))


def slices(size: int, step: int = CHUNK) -> Iterator[slice]:
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def write(path: Path, *parts: str | Chunks, between: str = ", ") -> int:
    """Write text and chunks of records one after another; return the number of records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = 0
    with gzip.open(path, "wt", compresslevel=4) if path.suffix == ".gz" else path.open("w") as file:
        for part in parts:
            if isinstance(part, str):
                file.write(part)
                continue
            for number, chunk in enumerate(part):
                file.write((between if number else "") + between.join(chunk))
                records += len(chunk)
    return records


@dataclass(frozen=True)
class World:
    """Which images are in which dataset and split. COCO ids are unique across train, val and test."""

    seed: int
    scale: float
    coco: Ints  # all of train2014 and val2014, sorted
    objects: Ints  # objects an image of `coco`
    photos: Ints  # Flickr photo id of an image of `coco`
    train2014: Ints
    val2014: Ints
    test2015: Ints
    karpathy: dict[str, Ints]
    refcoco: dict[str, Ints]
    refcocog: dict[str, Ints]
    guesswhat: dict[str, Ints]
    vg: Ints  # sorted
    vg_coco: Ints  # COCO id of an image of `vg`, or 0
    vg_photos: Ints  # Flickr photo id, or 0
    gqa: dict[str, Ints]
    visual7w: dict[str, Ints]
    flickr30k: dict[str, Ints]
    snli_ve: dict[str, Ints]

    def rng(self, name: str) -> Rng:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def count(self, official: int) -> int:
        return scaled(official, self.scale)

    def first_object(self) -> Ints:
        return np.asarray(1000 + np.cumsum(self.objects) - self.objects)


def scaled(official: int, scale: float) -> int:
    return max(1, round(official * scale))


def split(images: Ints, scale: float, **sizes: int) -> dict[str, Ints]:
    ends = np.cumsum([scaled(size, scale) for size in sizes.values()])
    return dict(zip(sizes, np.split(images, ends)[:-1], strict=True))


def make_world(scale: float, seed: int) -> World:
    """Draw the images of every dataset (table 7) with the overlaps of table 1."""
    rng = np.random.default_rng(seed)

    def n(official: int) -> int:
        return scaled(official, scale)

    def some(images: Ints, official: int) -> Ints:
        return rng.permutation(images)[: n(official)]

    ids = rng.permutation(581_929)[: n(82_783) + n(40_504) + n(81_434)] + 1
    train2014, val2014, test2015 = np.split(ids, [n(82_783), n(82_783) + n(40_504)])
    coco = np.sort(np.concatenate([train2014, val2014]))
    held_out = split(val2014, scale, val=5_000, test=5_000)
    restval = np.setdiff1d(val2014, np.concatenate(list(held_out.values())))

    both, unc, umd = np.split(train2014[: n(31_093)], [n(14_700), n(19_994)])
    refcoco = rng.permutation(np.concatenate([both, unc]))
    refcocog = rng.permutation(np.concatenate([both, umd]))
    referred = np.concatenate([both, unc, umd])
    unreferred = np.setdiff1d(train2014, referred)
    games = [some(referred, 22_540), some(val2014, 21_872), some(unreferred, 22_125)]

    vg = np.sort(rng.choice(2_417_997, n(108_077), replace=False) + 1)
    shared = rng.permutation(np.concatenate([some(referred, 11_815), some(np.setdiff1d(coco, referred), 39_393)]))
    vg_coco = np.zeros(len(vg), np.int64)
    vg_coco[rng.permutation(len(vg))[: len(shared)]] = shared

    photos = rng.permutation(np.unique(rng.integers(10**8, 10**10, len(coco) + len(vg) + 40_000)))
    coco_photos, rest = photos[: len(coco)], photos[len(coco) :]
    position = np.searchsorted(coco, vg_coco).clip(max=len(coco) - 1)
    own = np.where(rng.random(len(vg)) < 0.95, rest[: len(vg)], 0)
    stems = rest[-n(31_783) :].copy()
    stems[: n(30)] = rng.choice(coco_photos, n(30), replace=False)
    flickr = split(rng.permutation(stems), scale, train=29_000, val=1_014, test=1_000)
    known = np.concatenate([flickr["train"], flickr["val"]])
    spare = np.setdiff1d(stems, np.concatenate([known, flickr["test"]]))
    entailment = np.concatenate([some(known, 937), some(flickr["test"], 25), some(spare, 38)])
    others = rng.permutation(np.setdiff1d(stems, entailment))

    return World(
        seed, scale, coco=coco, objects=3 + rng.poisson(6.4, len(coco)), photos=coco_photos,
        train2014=train2014, val2014=val2014, test2015=test2015,
        karpathy={"train": train2014, "restval": restval, **held_out},
        refcoco=split(refcoco, scale, train=16_994, val=1_500, testA=750, testB=750),
        refcocog=split(refcocog, scale, train=21_899, val=1_300, test=2_600),
        guesswhat=split(rng.permutation(np.concatenate(games)), scale, train=46_794, valid=9_844, test=9_899),
        vg=vg, vg_coco=vg_coco, vg_photos=np.where(vg_coco > 0, coco_photos[position], own),
        gqa=split(rng.permutation(vg), scale, train=72_140, val=10_234),
        visual7w=split(rng.permutation(vg), scale, train=12_876, val=5_077, test=7_780),
        flickr30k=flickr, snli_ve={"train": others[n(1_000) :], "dev": others[: n(1_000)], "test": entailment},
    )  # fmt: skip


# VQA v2


def vqa(folder: Path, world: World) -> dict[str, int]:
    made = {}
    types = np.array(QUESTION_TYPES.split("|"), object)
    for name, images, size in (
        ("train2014", world.train2014, 443_757),
        ("val2014", world.val2014, 214_354),
        ("test2015", world.test2015, 447_793),
    ):
        rng = world.rng(f"vqa {name}")
        counts = spread(rng, world.count(size), len(images))
        image_ids = np.repeat(images, counts)
        question_ids = image_ids * 1000 + ranks(counts)
        kinds = draw(rng, types, len(image_ids))
        head = (
            '{"info": {"description": "This is v2.0 of the VQA dataset.", "url": "http://visualqa.org", "version": '
            '"2.0", "year": 2017, "contributor": "VQA Team", "date_created": "2017-04-26 17:07:13"}, "license": '
            '{"url": "http://creativecommons.org/licenses/by/4.0/", "name": "Creative Commons Attribution 4.0 '
            f'International License"}}, "data_subtype": "{name}", "data_type": "mscoco", '
        )
        rows = vqa_questions(rng, image_ids, question_ids, kinds)
        file = f"v2_OpenEnded_mscoco_{name}_questions.json"
        made[file] = write(folder / file, head + '"task_type": "Open-Ended", "questions": [', rows, "]}")
        if name != "test2015":
            rows = vqa_annotations(rng, image_ids, question_ids, kinds)
            file = f"v2_mscoco_{name}_annotations.json"
            made[file] = write(folder / file, head + '"annotations": [', rows, "]}")
    return made


def vqa_questions(rng: Rng, image_ids: Ints, question_ids: Ints, kinds: list[str]) -> Chunks:
    for part in slices(len(image_ids)):
        texts = sentences(rng, part.stop - part.start, 3.6, "?")
        rows = zip(image_ids[part].tolist(), kinds[part], texts, question_ids[part].tolist(), strict=True)
        yield [
            f'{{"image_id": {i}, "question": "{k.capitalize()} {t.lower()}", "question_id": {q}}}'
            for i, k, t, q in rows
        ]


def vqa_annotations(rng: Rng, image_ids: Ints, question_ids: Ints, kinds: list[str]) -> Chunks:
    pools = {
        "yes/no": np.array(["yes", "no", "yes", "maybe", "unsure"], object),
        "number": np.array([*map(str, range(1, 200)), "0", "lots", "many", "two", "1,000"], object),
        "other": answers(),
    }
    entry = '{"answer": "%s", "answer_confidence": "%s", "answer_id": %d}'
    ten = ", ".join(entry.replace("%d", str(number)) for number in range(1, 11))
    confidences = np.array(["yes", "maybe", "no"], object)
    for part in slices(len(image_ids)):
        size = part.stop - part.start
        drawn = np.empty((size, 11), object)
        answer_types = rng.choice(list(pools), size, p=[0.38, 0.12, 0.5])
        for answer_type, pool in pools.items():
            chosen = np.flatnonzero(answer_types == answer_type)
            drawn[chosen] = np.array(draw(rng, pool, len(chosen) * 11), object).reshape(-1, 11)
        agreed = rng.random((size, 11)) < 0.72
        fields = np.empty((size, 20), object)
        fields[:, ::2] = np.where(agreed, drawn[:, :1], drawn)[:, 1:]
        fields[:, 1::2] = np.array(draw(rng, confidences, size * 10), object).reshape(-1, 10)
        rows = zip(
            fields.tolist(), drawn[:, 0].tolist(), answer_types.tolist(), kinds[part],
            image_ids[part].tolist(), question_ids[part].tolist(), strict=True,
        )  # fmt: skip
        yield [
            f'{{"question_type": "{kind}", "multiple_choice_answer": "{answer}", "answers": [{ten % tuple(row)}], '
            f'"image_id": {image}, "answer_type": "{answer_type}", "question_id": {question}}}'
            for row, answer, answer_type, kind, image, question in rows
        ]


# Visual Genome


def vg_qa(folder: Path, world: World) -> dict[str, int]:
    rng = world.rng("vg_qa")
    asked = rng.permutation(len(world.vg))[: world.count(101_174)]
    counts = np.zeros(len(world.vg), np.int64)
    counts[asked] = spread(rng, world.count(1_437_931 + 10_000), len(asked))
    return {
        "image_data.json": write(folder / "image_data.json", "[", vg_images(world), "]"),
        "question_answers.json": write(folder / "question_answers.json", "[", vg_questions(rng, world, counts), "]"),
    }


def vg_images(world: World) -> Chunks:
    for part in slices(len(world.vg)):
        rows = zip(world.vg[part].tolist(), world.vg_coco[part].tolist(), world.vg_photos[part].tolist(), strict=True)
        yield [
            f'{{"width": 800, "url": "https://cs.stanford.edu/people/rak248/VG_100K_2/{image}.jpg", "height": 600, '
            f'"image_id": {image}, "coco_id": {coco or "null"}, "flickr_id": {photo or "null"}}}'
            for image, coco, photo in rows
        ]


def vg_questions(rng: Rng, world: World, counts: Ints) -> Chunks:
    nouns, replies = np.array(NOUNS, object), answers()
    starts = np.array(["What color is", "What is", "Where is", "Who is", "How many", "When was", "Why is"], object)
    first = 986_768
    for part in slices(len(world.vg), 2_000):
        size = int(counts[part].sum())
        images = np.repeat(world.vg[part], counts[part]).tolist()
        objects, areas = draw(rng, nouns, size), rng.integers(1, 400, (size, 4)).tolist()
        texts = [" ".join(words) for words in phrases(rng, size, 3)]
        rows = zip(
            range(first, first + size), images, draw(rng, starts, size), texts,
            draw(rng, replies, size), objects, areas,
            strict=True,
        )  # fmt: skip
        records = [
            f'{{"a_objects": [], "question": "{start} the {text}?", "image_id": {image}, "qa_id": {number}, '
            f'"answer": "{answer[0].upper()}{answer[1:]}.", "q_objects": [{{"object_id": {number + 71_003}, '
            f'"synsets": ["{name}.n.01"], "name": "{name}", "x": {x}, "y": {y}, "w": {w}, "h": {h}}}]}}'
            if x % 3 and answer[0] != "\\"
            else f'{{"a_objects": [], "question": "{start} the {text}?", "image_id": {image}, "qa_id": {number}, '
            f'"answer": "{answer}", "q_objects": []}}'
            for number, image, start, text, answer, name, (x, y, w, h) in rows
        ]
        first += size
        ends = np.cumsum(counts[part])
        bounds = zip(world.vg[part].tolist(), (ends - counts[part]).tolist(), ends.tolist(), strict=True)
        yield [f'{{"id": {image}, "qas": [{", ".join(records[start:end])}]}}' for image, start, end in bounds]


# GQA


def gqa(folder: Path, world: World) -> dict[str, int]:
    rng = world.rng("gqa")
    outside = [f"n{number}" for number in sorted(rng.choice(581_929, world.count(398), replace=False).tolist())]
    made = {}
    for name, images, size, base in (
        ("train", world.gqa["train"].astype(str).tolist(), 943_000, 100_000),
        ("val", world.gqa["val"].astype(str).tolist(), 132_062, 21_000_000),
        ("testdev", outside, 12_578, 201_000_000),
    ):
        file = f"{name}_balanced_questions.json"
        made[file] = write(folder / file, "{", gqa_questions(rng, images, world.count(size), base), "}")
    return made


def gqa_questions(rng: Rng, images: list[str], size: int, base: int) -> Chunks:
    ids = base + np.arange(size) * 20 + rng.integers(20, size=size)
    order = rng.permutation(size)
    image_of = np.repeat(np.array(images, object), spread(rng, size, len(images)))
    nouns, colours, relations = (np.array(items, object) for items in (NOUNS, ADJECTIVES, RELATIONS))
    replies = np.array([*NOUNS, *ADJECTIVES, *(w for w in vocabulary()[0][300:1700].tolist())], object)
    for part in slices(size):
        chosen, n = order[part], part.stop - part.start
        replied = np.where(rng.random(n) < 0.4, np.where(rng.random(n) < 0.5, "yes", "no"), draw(rng, replies, n))
        rows = zip(
            ids[chosen].tolist(), image_of[chosen].tolist(), draw(rng, nouns, n), draw(rng, nouns, n),
            draw(rng, nouns, n), draw(rng, colours, n), draw(rng, relations, n), draw(rng, relations, n),
            replied.tolist(), rng.integers(100_000, 4_900_000, n).tolist(), rng.poisson(4.5, n).tolist(), strict=True,
        )  # fmt: skip
        yield [gqa_record(*row) for row in rows]


def gqa_record(
    number: int, image: str, one: str, two: str, three: str, colour: str, relation: str, link: str, answer: str,
    thing: int, others: int,
) -> str:  # fmt: skip
    steps = [("select", f"{one} ({thing})", ""), ("relate", f"{two},{relation},s ({thing + 1})", "0")]
    if number % 3 == 0:
        steps += [("relate", f"{three},{link},o ({thing + 2})", "1"), ("query", "name", "2")]
    else:
        steps += [("verify color", colour, "1")]
    semantic = ", ".join(f'{{"operation": "{op}", "dependencies": [{d}], "argument": "{arg}"}}' for op, arg, d in steps)
    text = "->".join(f"{op}: {arg} [{d}]" for op, arg, d in steps).replace(" []", "")
    entailed = ", ".join([f'"{number + other:08d}"' for other in range(others)])
    return (
        f'"{number:08d}": {{"semantic": [{semantic}], "entailed": [{entailed}], "equivalent": ["{number:08d}"], '
        f'"question": "What is the {two} {relation} the {colour} {one}?", "imageId": "{image}", '
        f'"isBalanced": true, "groups": {{"global": "{three}", "local": "14-{one}_{relation},o"}}, '
        f'"answer": "{answer}", "semanticStr": "{text}", "annotations": {{"answer": {{"0": "{thing}"}}, '
        f'"question": {{"3": "{thing + 1}"}}, "fullAnswer": {{"1": "{thing + 1}", "5:7": "{thing}"}}}}, '
        f'"types": {{"detailed": "relS", "semantic": "rel", "structural": "query"}}, '
        f'"fullAnswer": "The {two} is {relation} the {answer}."}}'
    )


# COCO and Flickr30k retrieval (Karpathy), SNLI-VE


def karpathy_record(head: str, words: list[list[str]], image: int, sentence: int, part: str) -> str:
    glue = '", "'
    rows = ", ".join(
        f'{{"tokens": ["{glue.join(w)}"], "raw": "{" ".join(w).capitalize()}.", "imgid": {image}, "sentid": {number}}}'
        for number, w in enumerate(words, sentence)
    )
    numbers = ", ".join(map(str, range(sentence, sentence + len(words))))
    return f'{{{head}, "sentids": [{numbers}], "imgid": {image}, "split": "{part}", "sentences": [{rows}]}}'


def coco(folder: Path, world: World) -> dict[str, int]:
    """The split, and COCO's own caption files, whose photo addresses link COCO to Flickr30k and Visual Genome."""
    made = {"dataset_coco.json": 0}
    path = folder / "dataset_coco.json"
    images = coco_images(world, list(world.karpathy))
    made[path.name] = write(path, '{"images": [', images, '], "dataset": "coco"}')
    for year, splits in (("train2014", ["train"]), ("val2014", ["restval", "val", "test"])):
        ids = np.concatenate([world.karpathy[part] for part in splits])
        path = folder / f"captions_{year}.json"
        made[path.name] = write(
            path, '{"info": {"description": "COCO 2014 Dataset", "year": 2014}, "images": [',
            image_rows(world, ids, year),
            '], "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution '
            'License"}], "annotations": [', coco_captions(world, splits), "]}",
        )  # fmt: skip
    return made


def coco_words(world: World, part: str) -> Iterator[tuple[int, int, list[list[str]]]]:
    """Image id, number of its first sentence, and its captions as words: five, for a few images six."""
    rng = world.rng(f"coco {part}")
    images = world.karpathy[part]
    counts = np.full(len(images), 5)
    counts[: world.count({"train": 228, "restval": 84, "val": 10, "test": 10}[part])] = 6
    sentence = {"train": 0, "restval": 10**6, "val": 2 * 10**6, "test": 3 * 10**6}[part]
    for chunk in slices(len(images), CHUNK // 5):
        words = iter(phrases(rng, int(counts[chunk].sum()), 10.5))
        for image, count in zip(images[chunk].tolist(), counts[chunk].tolist(), strict=True):
            yield image, sentence, [next(words) for _ in range(count)]
            sentence += count


def batched(rows: Iterable[str]) -> Chunks:
    chunk: list[str] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK // 5:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def coco_images(world: World, splits: list[str]) -> Chunks:
    years = {"train": "train2014"}
    rows = ((part, *row) for part in splits for row in coco_words(world, part))
    return batched(
        karpathy_record(
            f'"filepath": "{years.get(part, "val2014")}", '
            f'"filename": "COCO_{years.get(part, "val2014")}_{image:012d}.jpg", '
            f'"cocoid": {image}', words, number, sentence, part,
        )
        for number, (part, image, sentence, words) in enumerate(rows)
    )  # fmt: skip


def coco_captions(world: World, splits: list[str]) -> Chunks:
    return batched(
        f'{{"image_id": {image}, "id": {sentence + k}, "caption": "{" ".join(w).capitalize()}."}}'
        for part in splits
        for image, sentence, words in coco_words(world, part)
        for k, w in enumerate(words)
    )


def image_rows(world: World, images: Ints, year: str = "train2014") -> Chunks:
    photos = world.photos[np.searchsorted(world.coco, images)]
    for part in slices(len(images)):
        yield [
            f'{{"license": 5, "file_name": "COCO_{year}_{image:012d}.jpg", "coco_url": '
            f'"http://images.cocodataset.org/{year}/COCO_{year}_{image:012d}.jpg", "height": 480, "width": 640, '
            f'"date_captured": "2013-11-14 16:28:13", "flickr_url": '
            f'"http://farm{image % 9 + 1}.staticflickr.com/{image % 8999 + 1000}/{photo}_'
            f'{photo * 97 % 2**40:010x}_z.jpg", "id": {image}}}'
            for image, photo in zip(images[part].tolist(), photos[part].tolist(), strict=True)
        ]


def flickr_words(world: World) -> dict[int, list[list[str]]]:
    """Five captions as words for every photo of Flickr30k and SNLI-VE."""
    photos = np.unique(np.concatenate([*world.flickr30k.values(), *world.snli_ve.values()])).tolist()
    words = phrases(world.rng("flickr30k"), len(photos) * 5, 12.3)
    return {photo: words[5 * row : 5 * row + 5] for row, photo in enumerate(photos)}


def flickr30k(folder: Path, world: World) -> dict[str, int]:
    words = flickr_words(world)
    rows = ((part, photo) for part, photos in world.flickr30k.items() for photo in photos.tolist())
    records = batched(
        karpathy_record(f'"filename": "{photo}.jpg"', words[photo], number, number * 5, part)
        for number, (part, photo) in enumerate(rows)
    )
    file = "dataset_flickr30k.json"
    return {file: write(folder / file, '{"images": [', records, '], "dataset": "flickr30k"}')}


def snli_ve(folder: Path, world: World) -> dict[str, int]:
    premises, tags = flickr_words(world), dict(zip(*vocabulary(), strict=True))
    made = {}
    for part, size in (("train", 529_527), ("dev", 17_858), ("test", 17_901)):
        rng = world.rng(f"snli_ve {part}")
        counts = spread(rng, world.count(size), len(world.snli_ve[part]))
        photos, numbers = np.repeat(world.snli_ve[part], counts).tolist(), ranks(counts).tolist()
        pairs = snli_pairs(rng, photos, numbers, premises, tags)
        made[f"snli_ve_{part}.jsonl"] = write(folder / f"snli_ve_{part}.jsonl", pairs, "\n", between="\n")
    return made


def snli_pairs(
    rng: Rng, photos: list[int], numbers: list[int], premises: dict[int, list[list[str]]], tags: dict[str, str]
) -> Chunks:
    for part in slices(len(photos)):
        hypotheses = phrases(rng, part.stop - part.start, 7.2)
        yield [
            snli_record(photo, number, premises[photo][number // 3 % 5], words, tags)
            for photo, words, number in zip(photos[part], hypotheses, numbers[part], strict=True)
        ]


def snli_record(photo: int, number: int, premise: list[str], hypothesis: list[str], tags: dict[str, str]) -> str:
    label = ("contradiction", "neutral", "entailment")[number % 3]
    caption = f"{photo}.jpg#{number // 3 % 5}"
    one, two = (
        (
            f'"sentence{k}": "{" ".join(words).capitalize()}.", "sentence{k}_binary_parse": "( {" ( ".join(words)}'
            f'{" )" * (len(words) - 1)} . )", "sentence{k}_parse": "(ROOT (S '
            f'(NP {" ".join([tags[w] for w in words[:3]])}) (VP {" ".join([tags[w] for w in words[3:]])}) (. .)))"'
        )
        for k, words in ((1, premise), (2, hypothesis))
    )
    return (
        f'{{"Flikr30kID": "{photo}.jpg", "annotator_labels": ["{label}"], "captionID": "{caption}", '
        f'"gold_label": "{label}", "pairID": "{caption}r{number}{label[0]}", {one}, {two}}}'
    )


# Referring expressions


def refer(
    folder: Path, world: World, images: dict[str, Ints], file: str, sizes: dict[str, tuple[int, int]]
) -> dict[str, int]:
    """One of the three: ``sizes`` are (references, sentences) a split. The pickle is of protocol 2, as REFER's own."""
    rng = world.rng(folder.name)
    refs: list[dict[str, object]] = []
    sentence = 0
    for part, (references, size) in sizes.items():
        counts = evenly(rng, world.count(references), len(images[part]))
        image_ids = np.repeat(images[part], counts)
        objects = world.first_object()[np.searchsorted(world.coco, image_ids)] + ranks(counts)
        said = spread(rng, world.count(size), len(image_ids))
        words = iter(phrases(rng, int(said.sum()), 8.4 if folder.name == "refcocog" else 3.6))
        for image, thing, count in zip(image_ids.tolist(), objects.tolist(), said.tolist(), strict=True):
            rows = [(number, next(words)) for number in range(sentence, sentence + count)]
            sentence += count
            refs.append({
                "sent_ids": [number for number, _ in rows],
                "file_name": f"COCO_train2014_{image:012d}_{len(refs) % 20}.jpg",
                "ann_id": thing, "ref_id": len(refs), "image_id": image, "split": part, "category_id": thing % 80 + 1,
                "sentences": [
                    {"tokens": w, "raw": " ".join(w).upper(), "sent_id": number, "sent": " ".join(w)}
                    for number, w in rows
                ],
            })  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / file).open("wb") as stream:
        pickle.dump(refs, stream, protocol=2)
    everything = np.sort(np.concatenate(list(images.values())))
    categories = [{"supercategory": "thing", "id": k, "name": name} for k, name in enumerate(CATEGORIES, 1)]
    records = write(
        folder / "instances.json", '{"info": {"description": "MS COCO", "year": 2014}, "images": [',
        image_rows(world, everything), '], "licenses": [], "annotations": [', annotations(world, everything),
        f'], "categories": {json.dumps(categories)}}}',
    )  # fmt: skip
    return {file: sentence, "instances.json": records}


def boxes(objects: Ints) -> list[list[float]]:
    """A box [x, y, w, h] in an image of 640 x 480 for every object id, always the same one."""
    rows = np.stack([objects * 7919 % 32_000, objects * 104_729 % 24_000, objects * 1299709 % 30_000 + 1_900,
                     objects * 15_485_863 % 22_000 + 1_900])  # fmt: skip
    return np.round(rows.T / 100, 2).tolist()  # type: ignore[no-any-return]


def annotations(world: World, images: Ints) -> Chunks:
    rows, shapes = np.searchsorted(world.coco, images), polygons()
    for part in slices(len(images), 2_000):
        counts = world.objects[rows[part]]
        objects = np.repeat(world.first_object()[rows[part]], counts) + ranks(counts)
        owners = np.repeat(images[part], counts).tolist()
        yield [
            f'{{"segmentation": [{shapes[thing * 31 % 2000]}], "area": {box[2] * box[3] * 0.61:.4f}, "iscrowd": 0, '
            f'"image_id": {image}, "bbox": {box}, "category_id": {thing % 80 + 1}, "id": {thing}}}'
            for image, thing, box in zip(owners, objects.tolist(), boxes(objects), strict=True)
        ]


def refcoco(folder: Path, world: World) -> dict[str, int]:
    sizes = {"train": (42_404, 120_624), "val": (3_811, 10_834), "testA": (1_975, 5_657), "testB": (1_810, 5_095)}
    return refer(folder, world, world.refcoco, "refs(unc).p", sizes)


def refcoco_plus(folder: Path, world: World) -> dict[str, int]:
    sizes = {"train": (42_278, 120_191), "val": (3_805, 10_758), "testA": (1_975, 5_726), "testB": (1_798, 4_889)}
    return refer(folder, world, {**world.refcoco, "train": world.refcoco["train"][2:]}, "refs(unc).p", sizes)


def refcocog(folder: Path, world: World) -> dict[str, int]:
    sizes = {"train": (42_226, 80_512), "val": (2_573, 4_896), "test": (5_023, 9_602)}
    return refer(folder, world, world.refcocog, "refs(umd).p", sizes)


# Visual7W and GuessWhat


def visual7w(folder: Path, world: World) -> dict[str, int]:
    rng = world.rng("visual7w")
    sizes = {"train": 93_813, "val": 36_990, "test": 57_265}
    images = [(part, image) for part in sizes for image in world.visual7w[part].tolist()]
    asked = np.concatenate([spread(rng, world.count(n), len(world.visual7w[part])) for part, n in sizes.items()])
    drawn = spread(rng, world.count(561_459), len(images), least=8)
    file = "dataset_v7w_pointing.json"
    return {
        file: write(
            folder / file, '{"dataset": "visual7w-pointing", "boxes": [', visual7w_boxes(rng, int(drawn.sum())),
            '], "images": [', visual7w_images(rng, images, asked, drawn), "]}",
        )
    }  # fmt: skip


def visual7w_boxes(rng: Rng, size: int) -> Chunks:
    nouns = np.array(NOUNS, object)
    for part in slices(size):
        numbers = np.arange(part.start, part.stop)
        rows = zip(numbers.tolist(), draw(rng, nouns, len(numbers)), boxes(numbers), strict=True)
        yield [
            f'{{"box_id": {number}, "name": "{name}", "x": {int(x)}, "y": {int(y)}, "width": {int(w)}, '
            f'"height": {int(h)}}}'
            for number, name, (x, y, w, h) in rows
        ]


def visual7w_images(rng: Rng, images: list[tuple[str, int]], asked: Ints, drawn: Ints) -> Chunks:
    first_boxes, number = (np.cumsum(drawn) - drawn).tolist(), 0
    for part in slices(len(images), 2_000):
        texts = iter(sentences(rng, int(asked[part].sum()), 6, "?"))
        rows = []
        bounds = zip(images[part], asked[part].tolist(), drawn[part].tolist(), first_boxes[part], strict=True)
        for (name, image), questions, count, first in bounds:
            pairs = []
            for _ in range(questions):
                a, b, c, d = (first + (number + step) % count for step in range(4))
                pairs.append(
                    f'{{"qa_id": {number}, "image_id": {image}, "question": "Which {next(texts).lower()}", '
                    f'"type": "which", "answer": {a}, "multiple_choices": [{b}, {c}, {d}]}}'
                )
                number += 1
            rows.append(
                f'{{"image_id": {image}, "filename": "v7w_{image}.jpg", "split": "{name}", '
                f'"qa_pairs": [{", ".join(pairs)}]}}'
            )
        yield rows


def guesswhat(folder: Path, world: World) -> dict[str, int]:
    made, first = {}, 1
    for part, successes in (("train", 113_221), ("valid", 23_739), ("test", 23_785)):
        rng = world.rng(f"guesswhat {part}")
        won = world.count(successes)
        games = round(won / 0.846)
        lost = rng.permutation(["failure", "incomplete"] * ((games - won) // 2 + 1))[: games - won]
        statuses = rng.permutation(np.concatenate([np.full(won, "success"), lost])).tolist()
        images = rng.permutation(np.repeat(world.guesswhat[part], spread(rng, games, len(world.guesswhat[part]))))
        file = f"guesswhat.{part}.jsonl.gz"
        made[file] = write(folder / file, guesswhat_games(rng, world, images, statuses, first), "\n", between="\n")
        first += games
    return made


def guesswhat_games(rng: Rng, world: World, images: Ints, statuses: list[str], first: int) -> Chunks:
    rows, shapes, replies = np.searchsorted(world.coco, images), polygons(), np.array(["No", "Yes", "N/A"], object)
    question = 1 + first * 6
    for part in slices(len(images), 2_000):
        firsts, counts = world.first_object()[rows[part]].tolist(), world.objects[rows[part]].tolist()
        turns = 1 + rng.poisson(4.1, len(firsts))
        texts, said = iter(sentences(rng, int(turns.sum()), 5, "?")), iter(draw(rng, replies, int(turns.sum())))
        pictures = next(image_rows(world, images[part]))
        goals, chunk = rng.random(len(firsts)).tolist(), []
        for k, thing in enumerate(firsts):
            objects = np.arange(thing, thing + counts[k])
            things = ", ".join([
                f'{{"category": "{CATEGORIES[o % 80]}", "area": {b[2] * b[3] * 0.61:.4f}, "iscrowd": false, '
                f'"category_id": {o % 80 + 1}, "bbox": {b}, "id": {o}, "segment": [{shapes[o * 31 % 2000]}]}}'
                for o, b in zip(objects.tolist(), boxes(objects), strict=True)
            ])  # fmt: skip
            talk = []
            for _ in range(turns[k]):
                talk.append(f'{{"question": "{next(texts)}", "answer": "{next(said)}", "id": {question}}}')
                question += 1
            chunk.append(
                f'{{"status": "{statuses[part.start + k]}", "id": {first + part.start + k}, "object_id": '
                f'{thing + int(goals[k] * counts[k])}, "questioner_id": {question % 997}, "timestamp": '
                f'"2016-07-08 15:04:43", "qas": [{", ".join(talk)}], "image": {pictures[k]}, "objects": [{things}]}}'
            )
        yield chunk


# NLVR2


def nlvr2(folder: Path, world: World) -> dict[str, int]:
    """Pairs of images named by their place; 45 of test1's addresses are also dev's, as in the real files."""
    made = {}
    for part, size, pairs in (("train", 86_373, 43_733), ("dev", 6_982, 4_051), ("test1", 6_967, 4_028)):
        rng = world.rng(f"nlvr2 {part}")
        counts = spread(rng, world.count(size), world.count(pairs))
        records = nlvr2_pairs(rng, part, counts, world.count(45) if part == "test1" else 0)
        made[f"{part}.json"] = write(folder / f"{part}.json", records, "\n", between="\n")
    return made


def nlvr2_pairs(rng: Rng, part: str, counts: Ints, shared: int) -> Chunks:
    pairs, turns = np.repeat(np.arange(len(counts)), counts), ranks(counts)
    nouns = np.array(NOUNS, object)

    def url(pair: int, side: int) -> str:
        name = "dev" if side == 0 and pair < shared else part
        number = zlib.crc32(f"{name} {pair} {side}".encode())
        return (
            f"https://i.pinimg.com/originals/{number % 97:02d}/{number % 89:02d}/{number:08x}{pair:08x}{side}{name}.jpg"
        )

    for chunk in slices(len(pairs)):
        texts = sentences(rng, chunk.stop - chunk.start, 14)
        labels = rng.choice(["True", "False"], len(texts)).tolist()
        rows = zip(
            pairs[chunk].tolist(), turns[chunk].tolist(), texts, labels, draw(rng, nouns, len(texts)), strict=True
        )
        yield [
            f'{{"validation": {{"{pair % 170}": "{label}"}}, "sentence": "{text}", "left_url": "{url(pair, 0)}", '
            f'"writer": "{pair % 131}", "label": "{label}", "right_url": "{url(pair, 1)}", "synset": "{noun}", '
            f'"query": "group of {noun}s{pair % 60}", "identifier": "{part}-{pair // 4}-{pair % 4}-{turn}", '
            + (
                f'"directory": {pair % 100}}}'
                if part == "train"
                else f'"extra_validations": {{"56": "{label}", "83": "{label}", "19": "{label}", "92": "{label}"}}}}'
            )
            for pair, turn, text, label, noun in rows
        ]


WRITERS = {
    "vqa": vqa, "vg_qa": vg_qa, "gqa": gqa, "coco": coco, "flickr30k": flickr30k, "refcoco": refcoco,
    "refcoco+": refcoco_plus, "refcocog": refcocog, "visual7w": visual7w, "guesswhat": guesswhat,
    "snli_ve": snli_ve, "nlvr2": nlvr2,
}  # fmt: skip


def make(folder: Path, scale: float = 1.0, seed: int = 12) -> dict[str, int]:
    """Write ``folder/raw/<dataset>/<official file>`` for all twelve, or keep what a finished earlier call left.

    Returns:
        The number of records of every file. The manifest lists no file until all are written.
    """
    manifest = folder / MANIFEST
    wanted = {"format": FORMAT, "scale": scale, "seed": seed}
    if manifest.exists():
        found = json.loads(manifest.read_text())
        files: dict[str, dict[str, int]] = found.pop("files")
        if found == wanted and files and all(size(folder, name) == file["bytes"] for name, file in files.items()):
            return {name: file["records"] for name, file in files.items()}
    elif folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder}: holds something else; choose another folder or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({**wanted, "files": {}}))
    world = make_world(scale, seed)
    records: dict[str, int] = {}
    for name, writer in WRITERS.items():
        records |= {f"{name}/{file}": count for file, count in writer(folder / "raw" / name, world).items()}
    files = {name: {"records": count, "bytes": size(folder, name)} for name, count in records.items()}
    manifest.write_text(json.dumps({**wanted, "files": files}, indent=1))
    return records


def size(folder: Path, name: str) -> int:
    path = folder / "raw" / name
    return path.stat().st_size if path.exists() else 0
