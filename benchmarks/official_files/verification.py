"""Multi-modal verification: NLVR2 and SNLI-VE."""

import zlib
from pathlib import Path

import numpy as np

from .arrays import Ints, Rng, ranks, slices, spread
from .records import Chunks, write
from .retrieval import flickr_words
from .words import NOUNS, draw, phrases, sentences, vocabulary
from .world import World

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


# SNLI-VE


def snli_ve(folder: Path, world: World) -> dict[str, int]:
    """Premises are Flickr30k's captions; the test set has photos of all its splits."""
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
