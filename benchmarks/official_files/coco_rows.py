"""COCO's images and objects, which COCO, RefCOCO/+/g, GuessWhat and Visual7W write in their own files."""

import json
from functools import cache

import numpy as np

from .arrays import Ints, ranks, slices
from .records import Chunks
from .world import World


def image_rows(world: World, images: Ints, year: str = "train2014") -> Chunks:
    """Images as in COCO's files; the address tells the Flickr photo."""
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


def annotations(world: World, images: Ints) -> Chunks:
    """All objects of the images, as in COCO's files."""
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


def boxes(objects: Ints) -> list[list[float]]:
    """A box [x, y, w, h] in an image of 640 x 480 for every object id, always the same one."""
    rows = np.stack([objects * 7919 % 32_000, objects * 104_729 % 24_000, objects * 1299709 % 30_000 + 1_900,
                     objects * 15_485_863 % 22_000 + 1_900])  # fmt: skip
    return np.round(rows.T / 100, 2).tolist()  # type: ignore[no-any-return]


@cache
def polygons() -> list[str]:
    """2,000 polygons as in COCO, about 370 characters each on average and much longer at times."""
    rng = np.random.default_rng(0)
    sizes = (rng.lognormal(2.75, 0.8, 2000).astype(int) + 3) * 2
    return [json.dumps(np.round(rng.uniform(1, 420, size), 2).tolist()) for size in sizes]
