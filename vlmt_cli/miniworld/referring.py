"""RefCOCO, RefCOCO+, RefCOCOg, Visual7W pointing and GuessWhat?!: the official files of G3.

The target is drawn first, each thing of the picture with equal chance, and the words for it after:
nothing in the picture alone, nor in the order of the files, says which thing is meant.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlmt_cli.miniworld.dialogue import play
from vlmt_cli.miniworld.language import (
    SIDES,
    located_expressions,
    long_expressions,
    plain_expressions,
)
from vlmt_cli.miniworld.output import (
    area,
    categories,
    coco_image,
    instance,
    object_ids,
    put_json,
    put_json_lines,
    put_pickle,
    segmentation,
)
from vlmt_cli.miniworld.photos import Plan, coco_stem
from vlmt_cli.miniworld.retrieval import tokens
from vlmt_cli.miniworld.scene import HEIGHT, SHAPES, WIDTH, Scene, Thing, relations


def write_refcoco(plan: Plan, raw: Path, dataset: str) -> None:
    """Write refs(unc).p of RefCOCO or RefCOCO+, or refs(umd).p and refs(google).p of RefCOCOg; and instances.json."""
    rng, sizes = plan.rngs[dataset], plan.sizes
    train = {"refcoco": sizes.refcoco, "refcoco+": sizes.refcoco_plus, "refcocog": sizes.refcocog}[dataset]
    refs: list[dict[str, Any]] = []
    for split, photos in plan.splits[dataset].items():
        count = train if split == "train" else sizes.heldout
        for photo, index, said in _expressions(rng, plan, dataset, photos, count):
            first = refs[-1]["sent_ids"][-1] + 1 if refs else 0
            refs.append(_ref(plan, photo, index, said, split, len(refs), first))
    refs = [refs[i] for i in rng.permutation(len(refs))]
    folder = raw / dataset
    if dataset == "refcocog":
        put_pickle(folder / "refs(umd).p", refs)
        # Google's split is by object, without a test: one image may be in its train and in its val.
        put_pickle(
            folder / "refs(google).p",
            [
                {**ref, "split": "val" if draw < 0.12 else "train"}
                for ref, draw in zip(refs, rng.random(len(refs)), strict=True)
            ],
        )
    else:
        put_pickle(folder / "refs(unc).p", refs)
    photos = sorted(photo for part in plan.splits[dataset].values() for photo in part)
    put_json(
        folder / "instances.json",
        {
            "info": {"description": f"mini-world {dataset}", "version": "1.0", "year": 2014},
            "images": [coco_image(plan, photo) for photo in photos],
            "licenses": [{"url": "https://opensource.org/license/mit", "id": 1, "name": "MIT"}],
            "annotations": [
                instance(plan, photo, index) for photo in photos for index in range(len(plan.scenes[photo].things))
            ],
            "categories": categories(),
        },
    )


def write_visual7w(plan: Plan, raw: Path) -> None:
    """Write dataset_v7w_pointing.json: one right box and three others a question, their ids in no order."""
    rng, sizes = plan.rngs["visual7w"], plan.sizes
    boxes: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    question_id = 0
    for split, photos in plan.splits["visual7w"].items():
        left = sizes.visual7w if split == "train" else sizes.heldout
        for i, photo in enumerate(photos):
            things = plan.scenes[photo].things
            ids = object_ids(plan, photo, 4_000_000)
            for thing, box_id in zip(things, ids, strict=True):
                x, y, width, height = thing.box
                boxes.append({"box_id": box_id, "name": thing.shape, "x": x, "y": y, "width": width, "height": height})
            count = -(-left // (len(photos) - i))
            left -= count
            pairs = []
            for target, text in _which(rng, plan.scenes[photo], count):
                others = [j for j in rng.permutation(len(things)) if j != target][:3]
                pairs.append(
                    {
                        "qa_id": question_id,
                        "image_id": plan.vg[photo],
                        "type": "which",
                        "question": text,
                        "answer": ids[target],
                        "multiple_choices": [ids[j] for j in others],
                    }
                )
                question_id += 1
            images.append(
                {
                    "image_id": plan.vg[photo],
                    "filename": f"v7w_{plan.vg[photo]}.jpg",
                    "split": split,
                    "qa_pairs": pairs,
                }
            )
    images = [images[i] for i in rng.permutation(len(images))]
    put_json(
        raw / "visual7w" / "dataset_v7w_pointing.json",
        {"dataset": "visual7w-pointing", "boxes": boxes, "images": images},
    )


def write_guesswhat(plan: Plan, raw: Path) -> None:
    """Write guesswhat.{train,valid,test}.jsonl.gz; the test file has the newer of the two record forms."""
    rng, sizes = plan.rngs["guesswhat"], plan.sizes
    number = 2_400
    for split, photos in plan.splits["guesswhat"].items():
        left = sizes.guesswhat if split == "train" else sizes.heldout
        games: list[dict[str, Any]] = []
        while left:
            photo = photos[len(games) if len(games) < len(photos) else rng.integers(len(photos))]
            target = int(rng.integers(len(plan.scenes[photo].things)))
            draw = rng.random()
            status = "success" if draw < 0.85 else "failure" if draw < 0.95 else "incomplete"
            dialogue = play(rng, plan.scenes[photo], target)
            if status != "success":
                dialogue = dialogue[: len(dialogue) // 2]
            left -= status == "success"
            make = _newer_game if split == "test" else _older_game
            games.append(make(plan, photo, target, status, dialogue, number))
            number += 1
        put_json_lines(raw / "guesswhat" / f"guesswhat.{split}.jsonl.gz", games)


def _expressions(
    rng: np.random.Generator, plan: Plan, dataset: str, photos: Sequence[int], count: int
) -> Iterator[tuple[int, int, list[str]]]:
    """Yield photo, index of the thing, and about three expressions for it (RefCOCOg two); ``count`` in all."""
    usual = 2 if dataset == "refcocog" else 3
    for i, photo in enumerate(photos):
        things = plan.scenes[photo].things
        wanted = min(count, -(-count // (len(photos) - i)))
        described = rng.permutation(len(things))[: -(-wanted // usual)].tolist()
        for j, index in enumerate(described):
            said = _describe(rng, dataset, plan.scenes[photo], things[index], -(-wanted // (len(described) - j)))
            wanted -= len(said)
            count -= len(said)
            yield photo, index, said


def _describe(rng: np.random.Generator, dataset: str, scene: Scene, target: Thing, count: int) -> list[str]:
    """Return up to ``count`` different expressions; RefCOCO's people say where it is two times out of three."""
    if dataset == "refcocog":
        return _sample(rng, long_expressions(scene, target), count)
    located = located_expressions(scene, target) if dataset == "refcoco" else []
    said = _sample(rng, located, (2 * count + 2) // 3)
    return said + _sample(rng, plain_expressions(scene, target), count - len(said))


def _sample(rng: np.random.Generator, items: list[str], count: int) -> list[str]:
    distinct = list(dict.fromkeys(items))
    return [distinct[i] for i in rng.permutation(len(distinct))[: max(count, 0)]]


def _ref(plan: Plan, photo: int, index: int, said: list[str], split: str, number: int, first: int) -> dict[str, Any]:
    record = instance(plan, photo, index)
    return {
        "sent_ids": list(range(first, first + len(said))),
        "file_name": f"{coco_stem(plan, photo)}_{index}.jpg",
        "ann_id": record["id"],
        "ref_id": number,
        "image_id": plan.coco[photo],
        "split": split,
        "sentences": [
            {"tokens": tokens(text), "raw": text.upper() if i % 7 == 6 else text, "sent_id": first + i, "sent": text}
            for i, text in enumerate(said)
        ],
        "category_id": record["category_id"],
    }


def _which(rng: np.random.Generator, scene: Scene, count: int) -> list[tuple[int, str]]:
    """Return ``count`` different which-questions as (index of the answer, text)."""
    which: dict[str, int] = {}
    while len(which) < count:
        target = int(rng.integers(len(scene.things)))
        asked = _which_questions(scene, scene.things[target])
        which.setdefault(asked[rng.integers(len(asked))], target)
    return [(target, text) for text, target in which.items()]


def _which_questions(scene: Scene, thing: Thing) -> list[str]:
    questions = [
        f"Which shape is the {thing.name}?",
        f"Which {thing.shape} is {thing.colour}?",
        f"Which object is the {thing.name}?",
        f"Which {thing.colour} thing is a {thing.shape}?",
    ]
    others = [t for t in scene.things if t is not thing]
    if all(t.colour != thing.colour for t in others):
        questions += [f"Which shape is {thing.colour}?", f"Which thing is {thing.colour}?"]
    if all(t.shape != thing.shape for t in others):
        questions += [f"Which object is a {thing.shape}?"]
    if all(t.size != thing.size for t in others):
        questions += [f"Which shape is {thing.size}?"]
    for other in others:
        questions += [
            f"Which shape is {SIDES[side]} the {other.name}?"
            for side in relations(thing, other)
            if sum(side in relations(t, other) for t in scene.things if t is not other) == 1
        ]
    return questions


def _objects(plan: Plan, photo: int, name: str) -> list[dict[str, Any]]:
    things = plan.scenes[photo].things
    return [
        {
            name: object_id,
            "category": thing.shape,
            "category_id": SHAPES.index(thing.shape) + 1,
            "bbox": [float(value) for value in thing.box],
            "area": area(thing),
            "segment": segmentation(thing),
        }
        for thing, object_id in zip(things, object_ids(plan, photo, 1_000_000), strict=True)
    ]


def _picture(plan: Plan, photo: int) -> dict[str, Any]:
    record = coco_image(plan, photo)
    picture = {key: record[key] for key in ("file_name", "flickr_url", "coco_url")}
    return {**picture, "width": WIDTH, "height": HEIGHT}


def _older_game(
    plan: Plan, photo: int, target: int, status: str, dialogue: list[tuple[str, str]], number: int
) -> dict[str, Any]:
    objects = _objects(plan, photo, "object_id")
    return {
        "dialogue_id": number,
        "status": status,
        "picture": _picture(plan, photo),
        "picture_id": plan.coco[photo],
        "object_id": objects[target]["object_id"],
        "questioner_id": number % 97,
        "timestamp": f"2016-07-{number % 28 + 1:02d} 14:50:38",
        "qas": [{"id": number * 20 + i, "q": q, "a": answer} for i, (q, answer) in enumerate(dialogue)],
        "objects": {str(record["object_id"]): {**record, "iscrowd": False} for record in objects},
    }


def _newer_game(
    plan: Plan, photo: int, target: int, status: str, dialogue: list[tuple[str, str]], number: int
) -> dict[str, Any]:
    objects = _objects(plan, photo, "id")
    return {
        "id": number,
        "status": status,
        "image": {"id": plan.coco[photo], **_picture(plan, photo)},
        "object_id": objects[target]["id"],
        "qas": [{"id": number * 20 + i, "question": q, "answer": answer} for i, (q, answer) in enumerate(dialogue)],
        "objects": objects,
    }
