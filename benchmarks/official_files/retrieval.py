"""Caption-based image retrieval: COCO and Flickr30k, in the files of Karpathy's split."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .arrays import CHUNK, slices
from .coco_rows import image_rows
from .records import Chunks, batched, write
from .words import phrases
from .world import World


def coco(folder: Path, world: World) -> dict[str, int]:
    """The split, and COCO's own caption files, whose photo addresses link COCO to Flickr30k and Visual Genome."""
    file = "dataset_coco.json"
    made = {file: write(folder / file, '{"images": [', coco_images(world), '], "dataset": "coco"}')}
    for year, splits in (("train2014", ["train"]), ("val2014", ["restval", "val", "test"])):
        ids = np.concatenate([world.karpathy[part] for part in splits])
        file = f"captions_{year}.json"
        made[file] = write(
            folder / file, '{"info": {"description": "COCO 2014 Dataset", "year": 2014}, "images": [',
            image_rows(world, ids, year),
            '], "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution '
            'License"}], "annotations": [', coco_captions(world, splits), "]}",
        )  # fmt: skip
    return made


def coco_images(world: World) -> Chunks:
    years = {"train": "train2014", "restval": "val2014", "val": "val2014", "test": "val2014"}
    rows = ((part, *row) for part in world.karpathy for row in coco_words(world, part))
    return batched(
        karpathy_record(
            f'"filepath": "{years[part]}", "filename": "COCO_{years[part]}_{image:012d}.jpg", "cocoid": {image}',
            words, number, sentence, part,
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


def flickr30k(folder: Path, world: World) -> dict[str, int]:
    """The split with its captions, which are also the premises of SNLI-VE."""
    words = flickr_words(world)
    rows = ((part, photo) for part, photos in world.flickr30k.items() for photo in photos.tolist())
    records = batched(
        karpathy_record(f'"filename": "{photo}.jpg"', words[photo], number, number * 5, part)
        for number, (part, photo) in enumerate(rows)
    )
    file = "dataset_flickr30k.json"
    return {file: write(folder / file, '{"images": [', records, '], "dataset": "flickr30k"}')}


def flickr_words(world: World) -> dict[int, list[list[str]]]:
    """Five captions as words for every photo of Flickr30k and SNLI-VE."""
    photos = np.unique(np.concatenate([*world.flickr30k.values(), *world.snli_ve.values()])).tolist()
    words = phrases(world.rng("flickr30k"), len(photos) * 5, 12.3)
    return {photo: words[5 * row : 5 * row + 5] for row, photo in enumerate(photos)}


def karpathy_record(head: str, words: list[list[str]], image: int, sentence: int, part: str) -> str:
    glue = '", "'
    rows = ", ".join(
        f'{{"tokens": ["{glue.join(w)}"], "raw": "{" ".join(w).capitalize()}.", "imgid": {image}, "sentid": {number}}}'
        for number, w in enumerate(words, sentence)
    )
    numbers = ", ".join(map(str, range(sentence, sentence + len(words))))
    return f'{{{head}, "sentids": [{numbers}], "imgid": {image}, "split": "{part}", "sentences": [{rows}]}}'
