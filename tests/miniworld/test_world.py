"""The world as a whole: the same bytes from the same seed, all official files, readable, and true."""

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmt_cli.datasets.table import DATASETS, TWELVE
from vlmt_cli.miniworld import Sizes, write_world
from vlmt_cli.miniworld.plan import make_plan
from vlmt_cli.miniworld.world import write_annotations

SMALL = Sizes().scaled(0.1)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def annotations(folder: Path, sizes: Sizes, seed: int = 0) -> dict[str, str]:
    write_annotations(make_plan(sizes, seed), folder)
    return digests(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    seen: list[tuple[str, int, int]] = []
    write_world(folder, SMALL, seed=3, progress=lambda *step: seen.append(step))
    assert {(what, done == of) for what, done, of in seen} >= {("annotations", True), ("images", True)}
    return folder


def test_same_seed_same_bytes(small, tmp_path):
    """In another process too, where Python's sets come in another order."""
    code = (
        "import sys, pathlib; from vlmt_cli.miniworld import Sizes, write_world;"
        "write_world(pathlib.Path(sys.argv[1]), Sizes().scaled(0.1), seed=3)"
    )
    other_order = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=other_order)
    assert digests(tmp_path) == digests(small)


def test_another_seed_is_another_world(small, tmp_path):
    other = annotations(tmp_path, SMALL, seed=4)
    assert other["vqa/v2_mscoco_train2014_annotations.json"] not in digests(small).values()


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return annotations(tmp_path_factory.mktemp("before"), SMALL)


@pytest.mark.parametrize("dataset", ["guesswhat", "nlvr2", "visual7w", "snli_ve", "vqa"])
def test_one_size_changes_one_dataset(dataset, before, tmp_path):
    after = annotations(tmp_path, replace(SMALL, **{dataset: getattr(SMALL, dataset) + 8}))
    assert {name.split("/")[0] for name in before | after if before.get(name) != after.get(name)} == {dataset}


def test_every_official_file_is_there(small):
    for name in (*TWELVE, "flickr30k_entities", "conceptual_captions"):
        for files in DATASETS[name].files:
            plain = small / "raw" / name / files.partition("|")[0]
            assert plain.exists() or plain.with_name(f"{plain.name}.gz").exists(), plain


def test_every_image_that_is_spoken_of_is_drawn(small, read_all):
    keys = {
        key
        for examples in read_all(small / "raw").values()
        for table in examples.splits.values()
        for row in table["images"].to_pylist()
        for key in row
    }
    drawn = {(path.parent.name, path.stem) for path in (small / "images").rglob("*.png")}
    names = {f"{source}:{int(stem[-12:]) if source == 'coco' else stem}" for source, stem in drawn}
    assert keys <= names
    for path in (small / "images" / "coco").iterdir():
        with Image.open(path) as image:
            assert (image.size, image.mode) == ((160, 128), "RGB")


def test_a_photo_looks_the_same_under_each_name(small):
    records = json.loads((small / "raw" / "vg_qa" / "image_data.json").read_text())
    coco = {int(path.stem[-12:]): path for path in (small / "images" / "coco").iterdir()}
    shared = [record for record in records if record["coco_id"] not in (None, -1)]
    assert shared
    for record in shared:
        path = small / "images" / "vg" / f"{record['image_id']}.png"
        assert path.read_bytes() == coco[record["coco_id"]].read_bytes()


def test_sizes_are_kept(world):
    sizes = Sizes()
    for name, examples in world.examples.items():
        if name in (*TWELVE, "conceptual_captions"):
            assert len(examples.splits["train"]) == getattr(sizes, name.replace("+", "_plus")), name
        for split, table in examples.splits.items():
            assert len(table) >= sizes.heldout, (name, split)


def test_every_right_answer_is_in_the_vocabulary(world):
    """The vocabulary rule: at least nine train and val questions. The small VQA must not lose its rarer answers."""
    known = set(world.examples["vqa"].answers)
    for dataset in ("vqa", "vg_qa"):
        right = {row["answers"][int(np.argmax(row["counts"]))] for row in world.rows(dataset, "train", "val")}
        assert right <= known


def test_referring_expressions_are_true_of_one_thing(world):
    """Told from boxes and categories alone: a colour and a shape, or a side, single out the annotated box."""
    colour_of = {
        (number, *map(float, thing.box)): thing.colour
        for photo, number in world.plan.coco.items()
        for thing in world.plan.scenes[photo].things
    }
    refs = pickle.loads((world.raw / "refcoco" / "refs(unc).p").read_bytes(), encoding="latin1")
    instances = json.loads((world.raw / "refcoco" / "instances.json").read_text())
    names = {category["id"]: category["name"] for category in instances["categories"]}
    by_image: dict[int, list[dict]] = {}
    for each in instances["annotations"]:
        by_image.setdefault(each["image_id"], []).append(each)
    checked = 0
    for ref in refs:
        things = by_image[ref["image_id"]]
        (target,) = (each for each in things if each["id"] == ref["ann_id"])
        for sentence in ref["sentences"]:
            text = sentence["sent"]
            if match := re.fullmatch(r"(?:the )?(\w+) (circle|square|triangle|diamond|star|cross)", text):
                word, shape = match.groups()
                same = [each for each in things if names[each["category_id"]] == shape]
                sides = {
                    "left": (0, min),
                    "right": (0, max),
                    "top": (1, min),
                    "bottom": (1, max),
                    "highest": (1, min),
                    "lowest": (1, max),
                }
                if word in sides:
                    axis, best = sides[word]
                    meant = [best(same, key=lambda each, axis=axis: each["bbox"][axis] + each["bbox"][axis + 2] / 2)]
                elif word in ("small", "large"):
                    meant = [each for each in same if (each["bbox"][2] > 22) == (word == "large")]
                elif word in ("only", "the"):
                    meant = same
                else:
                    meant = [each for each in same if colour_of[each["image_id"], *each["bbox"]] == word]
                assert meant == [target], text
                checked += 1
    assert checked > 200


def test_relations_in_captions_hold(world):
    shown = {f"flickr30k:{world.plan.flickr[photo]}": world.plan.scenes[photo].things for photo in world.plan.flickr30k}
    thing = r"an? (?:small |large )?(\w+) (\w+)"
    checked = 0
    for row in world.rows("flickr30k", "train"):
        side = "(to the left of|to the right of|above|below)"
        if match := re.match(rf"{thing} (?:is|sits|can be seen) {side} {thing}", row["text"].lower()):
            place = {(t.colour, t.shape): (t.x, t.y) for t in shown[row["images"][0]]}
            (x1, y1), (x2, y2) = place[match[1], match[2]], place[match[4], match[5]]
            assert {"to the left of": x1 < x2, "to the right of": x1 > x2, "above": y1 < y2, "below": y1 > y2}[match[3]]
            checked += 1
    assert checked > 50


def test_a_dialogue_leaves_one_thing(world):
    """Answered again from the picture, the questions about shape, colour and size never rule the target out."""
    for row in world.rows("guesswhat", "train")[:300]:
        shape = row["category"]
        for question, answer in re.findall(r"is it an? (\w+)\? (yes|no)", row["text"].lower()):
            assert (question == shape) == (answer == "yes"), row


def test_refuses_to_write_over_other_data(tmp_path):
    (tmp_path / "raw" / "vqa").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="not a synthetic world's"):
        write_world(tmp_path, SMALL)
    assert not any((tmp_path / "raw" / "vqa").iterdir())
