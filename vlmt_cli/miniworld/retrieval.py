"""COCO, Flickr30k, Flickr30k Entities and Conceptual Captions: the official files of G2, grounding and pre-training."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from vlmt_cli.miniworld.draw import cover_box
from vlmt_cli.miniworld.language import Phrase, captions, sentence
from vlmt_cli.miniworld.output import categories, coco_image, instance, put, put_json
from vlmt_cli.miniworld.photos import Plan, coco_stem
from vlmt_cli.miniworld.plan import CAPTIONS_A_PHOTO
from vlmt_cli.miniworld.scene import HEIGHT, WIDTH, Thing

Captions = dict[int, list[tuple[Phrase, ...]]]

TYPES = {"star": "other/scene", "cross": "other/instruments"}
"""Coarse types of Flickr30k Entities: the shapes are "other", and some are two things at once, as in the real files."""


def flickr30k_captions(plan: Plan) -> Captions:
    """Return five captions a photo: what Flickr30k, its Entities and SNLI-VE's premises share."""
    photos = [photo for split in plan.splits["flickr30k"].values() for photo in split]
    rng = plan.rngs["flickr30k"]
    return {photo: captions(rng, plan.scenes[photo], CAPTIONS_A_PHOTO) for photo in photos}


def write_coco(plan: Plan, raw: Path) -> None:
    """Write dataset_coco.json in Karpathy's form, and COCO's own instances of both 2014 sets."""
    rng = plan.rngs["coco"]
    images: list[dict[str, Any]] = []
    usual, more = divmod(plan.sizes.coco, sum(len(plan.splits["coco"][split]) for split in ("train", "restval")))
    sentence_id = 0
    for split, photos in plan.splits["coco"].items():
        for i, photo in enumerate(photos):
            # Some have six captions.
            count = usual + (i < more) if split == "train" else usual if split == "restval" else CAPTIONS_A_PHOTO
            made = [sentence(caption) for caption in captions(rng, plan.scenes[photo], count)]
            images.append(
                {
                    "filepath": plan.coco_set[photo],
                    **_karpathy_image(len(images), sentence_id, f"{coco_stem(plan, photo)}.jpg", split, made),
                    "cocoid": plan.coco[photo],
                }
            )
            sentence_id += count
    put_json(raw / "coco" / "dataset_coco.json", {"images": images, "dataset": "coco"})
    for name in ("train2014", "val2014"):
        photos = [photo for photo, its in plan.coco_set.items() if its == name]
        put_json(
            raw / "coco" / f"instances_{name}.json",
            {
                "info": {"description": f"mini-world {name}", "version": "1.0", "year": 2014},
                "images": [coco_image(plan, photo) for photo in photos],
                "licenses": [{"url": "https://opensource.org/license/mit", "id": 1, "name": "MIT"}],
                "annotations": [
                    instance(plan, photo, index) for photo in photos for index in range(len(plan.scenes[photo].things))
                ],
                "categories": categories(),
            },
        )


def write_flickr30k(plan: Plan, raw: Path, written: Captions) -> None:
    """Write dataset_flickr30k.json in Karpathy's form."""
    images: list[dict[str, Any]] = []
    for split, photos in plan.splits["flickr30k"].items():
        for photo in photos:
            made = [sentence(caption) for caption in written[photo]]
            images.append(
                _karpathy_image(len(images), CAPTIONS_A_PHOTO * len(images), f"{plan.flickr[photo]}.jpg", split, made)
            )
    put_json(raw / "flickr30k" / "dataset_flickr30k.json", {"images": images, "dataset": "flickr30k"})


def write_entities(plan: Plan, raw: Path, written: Captions) -> None:
    """Write the marked-up captions and the boxes of their phrases; the split is SNLI-VE's, not Karpathy's."""
    folder = raw / "flickr30k_entities"
    chain_start = 283_585
    for photo, made in written.items():
        chains: dict[tuple[object, ...], int] = {}
        lines = [_marked_up(caption, chains, chain_start) for caption in made]
        chain_start += len(chains)
        name = str(plan.flickr[photo])
        put(folder / "Sentences" / f"{name}.txt", "".join(f"{line}\n" for line in lines).encode())
        put(folder / "Annotations" / f"{name}.xml", _boxes(plan, photo, chains).encode())
    for split, photos in plan.splits["snli_ve"].items():
        listed = "".join(f"{plan.flickr[photo]}\n" for photo in photos)
        put(folder / f"{'val' if split == 'dev' else split}.txt", listed.encode())


def write_conceptual_captions(plan: Plan, raw: Path) -> None:
    """Write caption and address, a line an image; Google's captions are lower-cased, without a full stop."""
    rng = plan.rngs["conceptual_captions"]
    for split, name in (("train", "Train_GCC-training.tsv"), ("val", "Validation_GCC-1.1.0-Validation.tsv")):
        lines = [
            f"{_alt_text(rng, plan, photo)}\thttp://images.example.com/{plan.cc[photo]}.png\n"
            for photo in plan.splits["conceptual_captions"][split]
        ]
        put(raw / "conceptual_captions" / name, "".join(lines).encode())


def _alt_text(rng: np.random.Generator, plan: Plan, photo: int) -> str:
    (caption,) = captions(rng, plan.scenes[photo], 1)
    return " ".join(tokens(sentence(caption)))


def tokens(text: str) -> list[str]:
    """Return the words in lower case without punctuation, as Karpathy's files have them."""
    return re.findall(r"[a-z0-9]+", text.lower())


def _karpathy_image(number: int, first: int, filename: str, split: str, made: list[str]) -> dict[str, Any]:
    return {
        "sentids": list(range(first, first + len(made))),
        "imgid": number,
        "sentences": [
            {"tokens": tokens(raw), "raw": raw, "imgid": number, "sentid": first + i} for i, raw in enumerate(made)
        ],
        "split": split,
        "filename": filename,
    }


def _chain_key(phrase: Phrase) -> tuple[object, ...]:
    return ("scene",) if phrase.scene else ("cover",) if phrase.cover else phrase.things


def _marked_up(caption: tuple[Phrase, ...], chains: dict[tuple[object, ...], int], start: int) -> str:
    words = []
    for i, phrase in enumerate(caption):
        text = phrase.text if i else f"{phrase.text[0].upper()}{phrase.text[1:]}"
        if not phrase.grounded:
            words.append(text)
            continue
        chain = chains.setdefault(_chain_key(phrase), start + len(chains))
        shapes = {thing.shape for thing in phrase.things}
        kind = "scene" if phrase.scene else TYPES.get(next(iter(shapes)), "other") if len(shapes) == 1 else "other"
        words.append(f"[/EN#{chain}/{kind} {text}]")
    return f"{' '.join(words)} ."


def _boxes(plan: Plan, photo: int, chains: dict[tuple[object, ...], int]) -> str:
    """Return the annotation XML: a box may belong to several chains, a chain may have several boxes or none."""
    scene = plan.scenes[photo]
    owners: dict[tuple[int, int, int, int], list[int]] = defaultdict(list)
    objects = []
    for key, chain in chains.items():
        if key == ("scene",):
            objects.append(_object([chain], "<scene>1</scene>\n\t\t<nobndbox>1</nobndbox>"))
        elif key == ("cover",):
            assert scene.cover is not None
            owners[cover_box(scene.cover)].append(chain)
        else:
            for thing in key:
                assert isinstance(thing, Thing)
                x, y, width, height = thing.box
                owners[x, y, x + width - 1, y + height - 1].append(chain)
    for (left, top, right, bottom), mine in owners.items():
        # Pixels count from 1 in these files.
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (left, top, right, bottom), strict=True)
        inside = "".join(f"\n\t\t\t<{name}>{value + 1}</{name}>" for name, value in corners)
        objects.append(_object(mine, f"<bndbox>{inside}\n\t\t</bndbox>"))
    size = f"<width>{WIDTH}</width>\n\t\t<height>{HEIGHT}</height>\n\t\t<depth>3</depth>"
    name = escape(f"{plan.flickr[photo]}.jpg")
    head = f"\t<filename>{name}</filename>\n\t<size>\n\t\t{size}\n\t</size>\n"
    return f"<annotation>\n{head}{''.join(objects)}</annotation>\n"


def _object(chains: list[int], where: str) -> str:
    names = "".join(f"\t\t<name>{chain}</name>\n" for chain in chains)
    return f"\t<object>\n{names}\t\t{where}\n\t</object>\n"
