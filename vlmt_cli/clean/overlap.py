"""Which images the test sets and the other splits share (table 1).

Everything is counted on numbers: each distinct image key gets a code, each code the
number of the image behind it (``base.identity``), and each image a bit mask of the
test sets that hold it. An example's mask is its images' masks or-ed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.identity import HOW, all_links, same_image
from vlmt_cli.clean.splits import Split, with_role

Masks = NDArray[np.uint64]


@dataclass(frozen=True)
class Overlap:
    """Splits compared image by image.

    Attributes:
        splits: the splits compared.
        keys: the K distinct image keys of all splits.
        codes: for each split, its images as places in ``keys``.
        numbers: for each of ``HOW``, the K numbers of the images behind the keys when that
            relation and those before it are believed.
        links: the identity links behind the numbers.
        tests: the test sets, by name; the i-th has bit i.
        masks: for each of ``HOW``, K masks of the test sets that hold the image.
    """

    splits: list[Split]
    keys: pa.Array
    codes: list[NDArray[np.int32]]
    numbers: dict[str, NDArray[np.int32]]
    links: pa.Table
    tests: list[str]
    masks: dict[str, Masks]

    def bits(self, tests: Iterable[str]) -> np.uint64:
        """Return the mask of these test sets."""
        return np.uint64(sum(1 << self.tests.index(test) for test in tests))

    def example_masks(self, index: int, how: str = HOW[-1]) -> Masks:
        """Return for each example of split ``index`` the mask of the test sets that hold one of its images."""
        split = self.splits[index]
        if not len(split):
            return np.zeros(0, np.uint64)
        masks = self.masks[how].take(self.codes[index])
        # Nearly every example shows one image, so that there is nothing to combine.
        return masks if len(masks) == len(split) else np.bitwise_or.reduceat(masks, split.offsets[:-1])


def compare_splits(splits: Sequence[Split], links: pa.Table) -> Overlap:
    """Compare splits under the identity that ``links`` give.

    Raises:
        UsageError: there are more test sets than a mask has bits.
    """
    tests = list(dict.fromkeys(split.test_set for split in with_role(splits, "test")))
    if len(tests) > 64:
        raise UsageError(f"{len(tests)} test sets are more than 64", todo="compare them in two runs")

    links = _without_lone_addresses(links)
    keys, codes = encode_rows([split.images.flatten() for split in splits])
    links = all_links(keys, links)
    numbers = same_image(keys, links)

    masks: dict[str, Masks] = {}
    for how, number in numbers.items():
        held = np.zeros(int(number.max(initial=-1)) + 1, np.uint64)
        for split, images in zip(splits, codes, strict=True):
            if split.role == "test":
                held[number[images]] |= np.uint64(1 << tests.index(split.test_set))
        masks[how] = held[number]
    return Overlap(list(splits), keys, codes, numbers, links, tests, masks)


def encode_rows(columns: Sequence[pa.Array]) -> tuple[pa.Array, list[NDArray[np.int32]]]:
    """Return the distinct strings of several columns, and each column as places in them."""
    encoded = pa.concat_arrays([pa.array([], pa.string()), *columns]).dictionary_encode()
    codes = encoded.indices.to_numpy()
    return encoded.dictionary, np.split(codes, np.cumsum([len(column) for column in columns])[:-1])


def _without_lone_addresses(links: pa.Table) -> pa.Table:
    """Drop the addresses of Conceptual Captions' three million images that no other source has: they join nothing."""
    is_address = pc.equal(links["relation"], "url")
    is_caption = pc.and_(is_address, pc.starts_with(links["image"], "cc:"))
    others = links["alias"].filter(pc.and_not(is_address, is_caption)).combine_chunks()
    return links.filter(pc.or_(pc.invert(is_caption), pc.is_in(links["alias"], value_set=others)))


@dataclass(frozen=True)
class Share:
    """``hit`` of ``of`` images or examples."""

    hit: int
    of: int

    @property
    def percent(self) -> float:
        """The share in percent; 0 of nothing."""
        return 100 * self.hit / self.of if self.of else 0.0


Matrix = dict[str, dict[str, Share]]


def image_matrix(overlap: Overlap, kept: Sequence[NDArray[np.bool_]] | None = None, how: str = HOW[-1]) -> Matrix:
    """Count, as table 1 does, the test images (rows) that the other splits (columns) hold.

    Args:
        overlap: the compared splits.
        kept: for each split, which examples to count; all by default.
        how: the last relation to believe.

    Returns:
        By test set and column, how many of the test set's distinct images are in the column.
    """
    number = overlap.numbers[how]
    size = int(number.max(initial=-1)) + 1
    rows: dict[str, NDArray[np.bool_]] = {}
    columns: dict[str, NDArray[np.bool_]] = {}
    for index, (split, codes) in enumerate(zip(overlap.splits, overlap.codes, strict=True)):
        images = codes if kept is None else codes[np.repeat(kept[index], np.diff(split.offsets))]
        is_test = split.role == "test"
        name = split.test_set if is_test else column_name(split.dataset, split.role)
        (rows if is_test else columns).setdefault(name, np.zeros(size, bool))[number[images]] = True
    return {
        test: {
            name: Share(int(np.count_nonzero(held & inside)), int(np.count_nonzero(held)))
            for name, inside in columns.items()
        }
        for test, held in rows.items()
    }


def example_matrix(overlap: Overlap, kept: Sequence[NDArray[np.bool_]] | None = None, how: str = HOW[-1]) -> Matrix:
    """Count the examples of each column that show an image of each row's test set (see ``image_matrix``)."""
    matrix: Matrix = {test: {} for test in overlap.tests}
    for index, split in enumerate(overlap.splits):
        if split.role == "test":
            continue
        masks = overlap.example_masks(index, how)
        if kept is not None:
            masks = masks[kept[index]]
        hits = masks[masks != 0]
        for test in overlap.tests:
            before = matrix[test].get(column_name(split.dataset, split.role), Share(0, 0))
            hit = int(np.count_nonzero(hits & overlap.bits([test])))
            matrix[test][column_name(split.dataset, split.role)] = Share(before.hit + hit, before.of + len(masks))
    return matrix


def column_name(dataset: str, role: str) -> str:
    """Name a split's column: its dataset, or for pre-training and detector images their name and role."""
    return dataset if role in ("train", "val") else f"{dataset} ({role})"


def hits_by_image(overlap: Overlap, tests: Iterable[str], how: str = HOW[-1]) -> pa.ListArray:
    """Say for each of the K image keys which of ``tests`` hold it, and by which relation that is known.

    Relations after ``how`` are not believed.

    Returns:
        K lists of {image, test_set, how}; ``how`` is the first relation that suffices.
    """
    image, test, level = [], [], []
    seen = np.zeros(len(overlap.keys), np.uint64)
    for rank, relation in enumerate(HOW[: HOW.index(how) + 1]):
        new = overlap.masks[relation] & ~seen
        seen |= new
        for name in tests:
            new_images = np.flatnonzero(new & overlap.bits([name]))
            image.append(new_images)
            test.append(np.full(len(new_images), overlap.tests.index(name), np.int32))
            level.append(np.full(len(new_images), rank, np.int32))
    images, test_sets, relations = (np.concatenate(parts or [np.zeros(0, int)]) for parts in (image, test, level))
    order = np.lexsort((test_sets, images))
    images, test_sets, relations = images[order], test_sets[order], relations[order]
    values = pa.StructArray.from_arrays(
        [
            overlap.keys.take(pa.array(images)),
            pa.array(overlap.tests, pa.string()).take(pa.array(test_sets)),
            pa.array(HOW).take(pa.array(relations)),
        ],
        names=["image", "test_set", "how"],
    )
    offsets = np.searchsorted(images, np.arange(len(overlap.keys) + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, values)


def count_images(numbers: NDArray[np.int32], codes: Iterable[NDArray[np.int32]]) -> int:
    """Count the distinct images behind several splits' codes."""
    seen = np.zeros(int(numbers.max(initial=-1)) + 1, bool)
    for images in codes:
        seen[numbers[images]] = True
    return int(np.count_nonzero(seen))
