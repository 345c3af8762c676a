"""Which images are in which dataset and split: the sizes of table 7, with the overlaps of table 1."""

import zlib
from dataclasses import dataclass

import numpy as np

from .arrays import Ints, Rng


@dataclass(frozen=True)
class World:
    """Image ids of every dataset and split; COCO's are unique across train, val and test."""

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


def split(images: Ints, scale: float, **sizes: int) -> dict[str, Ints]:
    """The first images for the first name, the next for the second, and so on; the rest is left out."""
    ends = np.cumsum([scaled(size, scale) for size in sizes.values()])
    return dict(zip(sizes, np.split(images, ends)[:-1], strict=True))


def scaled(official: int, scale: float) -> int:
    """A size of the paper at this scale, at least one."""
    return max(1, round(official * scale))
