"""Grounding referring expressions: RefCOCO, RefCOCO+, RefCOCOg, Visual7W and GuessWhat."""

import json
import pickle
from pathlib import Path

import numpy as np

from .arrays import Ints, Rng, evenly, ranks, slices, spread
from .coco_rows import annotations, boxes, image_rows, polygons
from .records import Chunks, write
from .words import CATEGORIES, NOUNS, draw, phrases, sentences
from .world import World

# RefCOCO, RefCOCO+ and RefCOCOg


def refcoco(folder: Path, world: World) -> dict[str, int]:
    """The split of UNC, with a test set of people (A) and one of other objects (B)."""
    sizes = {"train": (42_404, 120_624), "val": (3_811, 10_834), "testA": (1_975, 5_657), "testB": (1_810, 5_095)}
    return refer(folder, world, world.refcoco, "refs(unc).p", sizes)


def refcoco_plus(folder: Path, world: World) -> dict[str, int]:
    """RefCOCO's images, less two in train."""
    sizes = {"train": (42_278, 120_191), "val": (3_805, 10_758), "testA": (1_975, 5_726), "testB": (1_798, 4_889)}
    return refer(folder, world, {**world.refcoco, "train": world.refcoco["train"][2:]}, "refs(unc).p", sizes)


def refcocog(folder: Path, world: World) -> dict[str, int]:
    """The split of UMD, whose sentences are longer."""
    sizes = {"train": (42_226, 80_512), "val": (2_573, 4_896), "test": (5_023, 9_602)}
    return refer(folder, world, world.refcocog, "refs(umd).p", sizes)


def refer(
    folder: Path, world: World, images: dict[str, Ints], file: str, sizes: dict[str, tuple[int, int]]
) -> dict[str, int]:
    """The pickle and the instances of one of the three; ``sizes`` are (references, sentences) a split."""
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
        pickle.dump(refs, stream, protocol=2)  # as REFER's own
    everything = np.sort(np.concatenate(list(images.values())))
    categories = [{"supercategory": "thing", "id": k, "name": name} for k, name in enumerate(CATEGORIES, 1)]
    records = write(
        folder / "instances.json", '{"info": {"description": "MS COCO", "year": 2014}, "images": [',
        image_rows(world, everything), '], "licenses": [], "annotations": [', annotations(world, everything),
        f'], "categories": {json.dumps(categories)}}}',
    )  # fmt: skip
    return {file: sentence, "instances.json": records}


# Visual7W


def visual7w(folder: Path, world: World) -> dict[str, int]:
    """The pointing questions, with a right box and three wrong ones each."""
    rng = world.rng("visual7w")
    sizes = {"train": 93_813, "val": 36_990, "test": 57_265}
    images = [(part, image) for part in sizes for image in world.visual7w[part].tolist()]
    asked = np.concatenate([spread(rng, world.count(n), len(world.visual7w[part])) for part, n in sizes.items()])
    drawn = spread(rng, world.count(561_459), len(images), least=8)
    file = "dataset_v7w_pointing.json"
    records = write(
        folder / file, '{"dataset": "visual7w-pointing", "boxes": [', visual7w_boxes(rng, int(drawn.sum())),
        '], "images": [', visual7w_images(rng, images, asked, drawn), "]}",
    )  # fmt: skip
    return {file: records}


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


# GuessWhat


def guesswhat(folder: Path, world: World) -> dict[str, int]:
    """Games won as often as table 8 has games, and lost ones (15.4 % of all) among them."""
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
