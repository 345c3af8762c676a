"""Image files as a source of identity: the links that equal and like files give, and what a person should judge."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.identity import HOW, same_image
from vlmt_cli.clean.image_files import image_files
from vlmt_cli.clean.image_hashes import hash_images
from vlmt_cli.clean.near_duplicates import crossing, find_pairs, links, without
from vlmt_cli.clean.report import NearDuplicates
from vlmt_cli.clean.splits import CLEANED_ROLES, Split, with_role


@dataclass(frozen=True)
class Compared:
    """What comparing files gave: identity links, the pairs to show to a person, and the counts."""

    links: pa.Table
    to_judge: pa.Table
    found: NearDuplicates


def compare_files(
    splits: Sequence[Split],
    folders: Sequence[str],
    *,
    allowed: Collection[frozenset[str]] = (),
    same: int,
    borderline: int,
    cache: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Compared:
    """Compare the image files of the images that some split has.

    Args:
        splits: the splits.
        folders: ``FOLDER`` or ``source=FOLDER`` (see ``image_files``).
        allowed: pairs that a person has judged to be different images.
        same, borderline: distances in bits (see ``find_pairs``).
        cache, workers, progress: see ``hash_images``.
    """
    files, skipped = image_files(folders)
    tested = _images(with_role(splits, "test"))
    trained = _images(with_role(splits, *CLEANED_ROLES))
    known = set(_images(splits).to_pylist())
    hashes, damaged = hash_images([file for file in files if file.image in known], cache, workers, progress)
    pairs = find_pairs(hashes, same, borderline, apart={key for pair in allowed for key in pair})
    unjudged = without(pairs, allowed)
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(unjudged["how"]).to_pylist()}
    believed = links(pairs, allowed)
    to_judge = crossing(unjudged, *(_with_copies(images, hashes, believed) for images in (tested, trained)))
    found = NearDuplicates(
        files=len(hashes),
        pairs=dict(sorted(counts.items())),
        judged_different=len(pairs) - len(unjudged),
        to_judge=pc.sum(pc.equal(to_judge["how"], "borderline")).as_py() or 0,
        damaged=[f"{one.path}: {one.reason}" for one in [*skipped, *damaged]],
    )
    return Compared(believed, to_judge, found)


def _images(splits: Sequence[Split]) -> pa.Array:
    return pa.concat_arrays([pa.array([], pa.string()), *(split.images.flatten() for split in splits)]).unique()


def _with_copies(images: pa.Array, hashes: pa.Table, believed: pa.Table) -> pa.Array:
    """Add to image keys those that are the same image by files: a pair may show a copy in an image's place."""
    keys = hashes["image"].combine_chunks().unique()
    numbers = same_image(keys, believed)[HOW[-1]]
    there = numbers[pc.is_in(keys, value_set=images).to_numpy(zero_copy_only=False)]
    return pa.concat_arrays([images, keys.filter(pa.array(np.isin(numbers, there)))])
