"""Union removal (section 8.1): no image of any test set stays in any train or validation set.

We collect the union of all dataset test sets and remove any occurrence of these images from
all training and validation sets; [...] the test sets [...] are not modified in any way.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.identity import HOW, PAPER_RELATIONS
from vlmt_cli.base.origin import Origin, hash_examples, hash_rows, make_origin, string_bytes
from vlmt_cli.clean.overlap import Overlap, hits_by_image
from vlmt_cli.clean.splits import CLEANED_ROLES, Split

# The last relation that each kind of identity believes.
LAST_RELATION = {"strict": HOW[-1], "paper": PAPER_RELATIONS[-1]}
# The paper's table 1 has no row for Visual Genome QA's test set: its images join the union only under strict identity.
LEFT_OUT = {"strict": (), "paper": ("vg_qa",)}

KEEP = pa.schema(
    [
        ("dataset", pa.dictionary(pa.int32(), pa.string())),
        ("split", pa.dictionary(pa.int32(), pa.string())),
        ("row", pa.int32()),
        ("example_id", pa.string()),
    ]
)
HITS = pa.list_(pa.struct([("image", pa.string()), ("test_set", pa.string()), ("how", pa.string())]))
REMOVED = KEEP.append(pa.field("hits", HITS))


@dataclass(frozen=True)
class Removal:
    """What cleaning keeps.

    Attributes:
        overlap: the compared splits.
        identity: ``strict`` or ``paper``.
        kept: for each split, which of its examples are kept.
    """

    overlap: Overlap
    identity: str
    kept: list[NDArray[np.bool_]]

    @property
    def union(self) -> list[str]:
        """The test sets whose images are removed."""
        return union_of(self.overlap, self.identity)

    @cached_property
    def split_hash(self) -> str:
        """The hash of what is kept."""
        return split_hash(self.overlap.splits, self.kept)


def union_of(overlap: Overlap, identity: str) -> list[str]:
    """Return the test sets that an identity puts into the union."""
    joining = {split.test_set for split in overlap.splits if identity in split.joins}
    return [test for test in overlap.tests if test in joining and test not in LEFT_OUT[identity]]


def remove_test_images(overlap: Overlap, identity: str) -> Removal:
    """Mark every example of a train, validation or pre-training split that shows an image of the union.

    An example with two images (NLVR2) goes when either is one.
    """
    union = overlap.bits(union_of(overlap, identity))
    kept = [
        overlap.example_masks(index, LAST_RELATION[identity]) & union == 0
        if split.role in CLEANED_ROLES
        else np.ones(len(split), bool)
        for index, split in enumerate(overlap.splits)
    ]
    for split, keep in zip(overlap.splits, kept, strict=True):
        assert split.role != "test" or keep.all(), "a test set was touched"
    return Removal(overlap, identity, kept)


def keep_table(removal: Removal) -> pa.Table:
    """List the kept examples of all splits, test sets among them: dataset, split, row of its table, example id."""
    splits, kept = removal.overlap.splits, removal.kept
    tables = [_rows(splits[index], np.flatnonzero(kept[index]), KEEP) for index in _order(splits)]
    return pa.concat_tables([KEEP.empty_table(), *tables]).unify_dictionaries()


def origin_of(removal: Removal, links: Mapping[str, str], command: str) -> Origin:
    """Say what a split is made of.

    Args:
        removal: what cleaning keeps.
        links: the hash of the identity links of each dataset and crosswalk that was read, by name.
        command: that makes the split again.
    """
    splits, kept = removal.overlap.splits, removal.kept
    examples: dict[tuple[str, str], str] = {}
    rows: dict[tuple[str, str], str] = {}
    for index in _order(splits):
        split, numbers = splits[index], np.flatnonzero(kept[index])
        examples[split.dataset, split.name] = hash_examples(split.ids, split.images)
        rows[split.dataset, split.name] = hash_rows(numbers, split.ids.take(pa.array(numbers)))
    return make_origin(removal.split_hash, examples, rows, links, command)


def removed_table(removal: Removal) -> pa.Table:
    """List the removed examples, each with the test sets that hit it: through which image, and known by what."""
    overlap = removal.overlap
    hits = hits_by_image(overlap, removal.union, LAST_RELATION[removal.identity])
    tables = []
    for index in _order(overlap.splits):
        split, offsets = overlap.splits[index], overlap.splits[index].offsets
        rows = np.flatnonzero(~removal.kept[index])
        if not len(rows):
            continue
        # Lists of images a row, of hits an image: the hits of a row lie one after another.
        lengths = np.diff(offsets)[rows]
        starts = np.repeat(offsets[rows] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        images = overlap.codes[index][starts + np.arange(lengths.sum())]
        by_image = hits.take(pa.array(images))
        ends = by_image.offsets.to_numpy()[np.concatenate([[0], np.cumsum(lengths)])].astype(np.int32)
        column = pa.ListArray.from_arrays(pa.array(ends), by_image.values).cast(HITS)
        tables.append(_rows(split, rows, REMOVED, hits=column))
    return pa.concat_tables([REMOVED.empty_table(), *tables]).unify_dictionaries()


def split_hash(splits: Sequence[Split], kept: Sequence[NDArray[np.bool_]]) -> str:
    """Hash what is kept: sha256 over the sorted lines ``dataset TAB split TAB example id NEWLINE``."""
    digest = hashlib.sha256()
    for index in _order(splits):
        split, keep = splits[index], kept[index]
        ids = split.ids if keep.all() else split.ids.filter(pa.array(keep))
        ids = ids.take(pc.sort_indices(ids))
        lines = pc.binary_join_element_wise(f"{split.dataset}\t{split.name}\t", ids, "\n", "")
        digest.update(string_bytes(lines))
    return digest.hexdigest()


def _rows(split: Split, rows: NDArray[np.int64], schema: pa.Schema, **more: pa.Array) -> pa.Table:
    n = len(rows)
    same = pa.array(np.zeros(n, np.int32))
    columns = {
        "dataset": pa.DictionaryArray.from_arrays(same, pa.array([split.dataset])),
        "split": pa.DictionaryArray.from_arrays(same, pa.array([split.name])),
        "row": pa.array(rows, pa.int32()),
        "example_id": split.ids.take(pa.array(rows)),
        **more,
    }
    return pa.table(columns, schema=schema)


def _order(splits: Sequence[Split]) -> list[int]:
    """The places of the splits that are part of the clean split, in the order of their names."""
    own = (index for index, split in enumerate(splits) if split.role != "detector")
    return sorted(own, key=lambda index: (splits[index].dataset, splits[index].name))
