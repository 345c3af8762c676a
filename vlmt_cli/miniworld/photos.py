"""The photos of the world, and what each of them is called in each collection."""

from dataclasses import dataclass, field

import numpy as np

from vlmt_cli.miniworld.scene import Scene
from vlmt_cli.miniworld.sizes import Sizes

PARTS = (
    "coco scenes",
    "vg scenes",
    "flickr30k scenes",
    "gqa scenes",
    "nlvr2 scenes",
    "cc scenes",
    "ids",
    "vg ids",
    "coco plan",
    "vg plan",
    "flickr30k plan",
    "refcoco plan",
    "guesswhat plan",
    "visual7w plan",
    "gqa plan",
    "vqa",
    "vg_qa",
    "gqa",
    "coco",
    "flickr30k",
    "refcoco",
    "refcoco+",
    "refcocog",
    "visual7w",
    "guesswhat",
    "nlvr2",
    "snli_ve",
    "entities",
    "conceptual_captions",
)
"""Each part has a random generator of its own, so that a dataset's size reshuffles only what lives on its images."""


@dataclass
class Plan:
    """All photos. A photo is an index into ``scenes``; the dicts give its name in each collection."""

    sizes: Sizes
    rngs: dict[str, np.random.Generator]
    scenes: list[Scene] = field(default_factory=list)
    flickr: dict[int, int] = field(default_factory=dict)
    """Photo id on Flickr, of every photo of COCO, Visual Genome and Flickr30k."""
    coco: dict[int, int] = field(default_factory=dict)
    coco_set: dict[int, str] = field(default_factory=dict)
    """train2014, val2014 or test2015."""
    vg: dict[int, int] = field(default_factory=dict)
    vg_says_coco: set[int] = field(default_factory=set)
    vg_says_flickr: set[int] = field(default_factory=set)
    flickr30k: set[int] = field(default_factory=set)
    gqa: dict[int, str] = field(default_factory=dict)
    nlvr2: dict[str, int] = field(default_factory=dict)
    """Image name to photo: here one photo may have several names."""
    cc: dict[int, str] = field(default_factory=dict)
    splits: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Dataset, split, photos in the order of the official file."""

    def files(self) -> dict[tuple[str, str], int]:
        """Return (source, file stem) to photo, for every image file of the world."""
        return {
            **{("coco", coco_stem(self, photo)): photo for photo in self.coco},
            **{("vg", str(name)): photo for photo, name in self.vg.items()},
            **{("flickr30k", str(self.flickr[photo])): photo for photo in sorted(self.flickr30k)},
            **{("gqa", name): photo for photo, name in self.gqa.items()},
            **{("nlvr2", name): photo for name, photo in self.nlvr2.items()},
            **{("cc", name): photo for photo, name in self.cc.items()},
        }


def coco_stem(plan: Plan, photo: int) -> str:
    """Return the photo's official COCO file stem: COCO_train2014_000000123456."""
    return f"COCO_{plan.coco_set[photo]}_{plan.coco[photo]:012d}"
