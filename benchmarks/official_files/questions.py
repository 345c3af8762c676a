"""Visual question answering: VQA v2, Visual Genome QA and GQA."""

from pathlib import Path

import numpy as np

from .arrays import Ints, Rng, ranks, slices, spread
from .records import Chunks, write
from .words import ADJECTIVES, NOUNS, QUESTION_TYPES, RELATIONS, answers, draw, phrases, sentences, vocabulary
from .world import World

# VQA v2


def vqa(folder: Path, world: World) -> dict[str, int]:
    """Questions of train, val and test, and ten answers each for train and val."""
    made = {}
    types = np.array(QUESTION_TYPES, object)
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
    """Images with their COCO and Flickr numbers, and their questions, some with a box."""
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
    """The balanced questions; the images of testdev come from outside Visual Genome."""
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
    replies = np.array([*NOUNS, *ADJECTIVES, *vocabulary()[0][300:1700]], object)
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
