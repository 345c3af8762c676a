"""The proof: a split on disk is looked at again, against the images and links as they are now.

Removal works with masks and tables; this looks each kept image up among the test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.clean.overlap import Overlap, compare
from vlmt_cli.clean.removal import KEEP, LAST_RELATION, split_hash, union_of
from vlmt_cli.clean.split_folder import KEEP_FILE, read_report
from vlmt_cli.clean.splits import CLEANED_ROLES, Split


@dataclass(frozen=True)
class Leak:
    """A kept training or validation example that shows a test image."""

    dataset: str
    split: str
    example_id: str
    image: str
    test_set: str
    test_image: str


@dataclass(frozen=True)
class Checked:
    """What checking a split found.

    Attributes:
        split_hash, identity: of what was checked, and how images were compared.
        examples: how many kept train, validation and pre-training examples were looked at.
        tests: the test sets whose images were looked for.
        leaks: how many of the examples show a test image.
        first: the first leak of each split.
    """

    split_hash: str
    identity: str
    examples: int
    tests: list[str]
    leaks: int
    first: list[Leak]


def check_split(folder: Path, splits: Sequence[Split], links: pa.Table, identity: str) -> Checked:
    """Check the split in a folder against the images and links as they are now.

    Args:
        folder: with ``keep.parquet`` and ``report.json``.
        splits: those that the split was made of, and test sets to look for beside its own.
        links: identity links.
        identity: ``strict`` or ``paper``.

    Raises:
        DataError: there is no split, it is damaged, or it was made of other examples.
    """
    path, report = folder / KEEP_FILE, read_report(folder)
    made_of = {(one.dataset, one.split) for one in report.splits if one.role != "detector"}
    if absent := made_of - {(split.dataset, split.name) for split in splits}:
        names = ", ".join(sorted(" ".join(one) for one in absent))
        todo = "check it with the same --datasets and --image-list"
        raise DataError(f"the split also holds {names}", where=path, todo=todo)
    splits = [split for split in splits if (split.dataset, split.name) in made_of or split.role == "test"]
    keep = read_keep(path)
    is_part = [(split.dataset, split.name) in made_of for split in splits]
    kept = [
        kept_rows(keep, split, path) if part else np.ones(len(split), bool)
        for split, part in zip(splits, is_part, strict=True)
    ]
    if len(keep) != sum(int(rows.sum()) for rows, part in zip(kept, is_part, strict=True) if part):
        todo = "make the split again"
        raise DataError("it lists examples twice, or of splits that report.json does not know", where=path, todo=todo)
    parts = [(split, rows) for split, rows, part in zip(splits, kept, is_part, strict=True) if part]
    if split_hash([split for split, _ in parts], [rows for _, rows in parts]) != report.split_hash:
        todo = "make the split again"
        raise DataError("keep.parquet and report.json do not belong together", where=folder, todo=todo)
    overlap = compare(splits, links)
    leaks, first = find_leaks(overlap, kept, identity)
    examples = sum(int(rows.sum()) for split, rows in zip(splits, kept, strict=True) if split.role in CLEANED_ROLES)
    return Checked(report.split_hash, identity, examples, union_of(overlap, identity), leaks, first)


def read_keep(path: Path) -> pa.Table:
    """Read a split's ``keep.parquet``. Raises a DataError when it is not there or damaged."""
    if not path.exists():
        raise DataError("there is no clean split", where=path.parent, todo="make one with vlmt clean")
    try:
        return pq.read_table(path, schema=KEEP)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot be read ({error})", where=path, todo="make it again with vlmt clean") from error


def kept_rows(keep: pa.Table, split: Split, path: Path) -> NDArray[np.bool_]:
    """Return which of a split's examples ``keep`` lists.

    Raises:
        DataError: ``keep`` lists examples that the split does not have in that place: it was
            made of other annotation files.
    """
    mine = pc.and_(pc.equal(keep["dataset"], split.dataset), pc.equal(keep["split"], split.name))
    table = keep.filter(mine)
    rows = table["row"].to_numpy()
    fits = len(rows) == 0 or (rows.min() >= 0 and rows.max() < len(split))
    if not fits or not split.ids.take(pa.array(rows)).equals(table["example_id"].combine_chunks()):
        raise DataError(
            f"the split was made of other examples of {split.dataset} {split.name}",
            where=path,
            todo="make it again with vlmt clean",
        )
    kept = np.zeros(len(split), bool)
    kept[rows] = True
    return kept


def find_leaks(overlap: Overlap, kept: Sequence[NDArray[np.bool_]], identity: str) -> tuple[int, list[Leak]]:
    """Look for test images in what is kept of the train, validation and pre-training splits.

    Returns:
        How many kept examples show a test image, and the first leak of each split.
    """
    number = overlap.numbers[LAST_RELATION[identity]]
    union = union_of(overlap, identity)
    in_tests = [
        (split.dataset, codes)
        for split, codes in zip(overlap.splits, overlap.codes, strict=True)
        if split.role == "test" and split.dataset in union
    ]
    tested = np.unique(np.concatenate([number[codes] for _, codes in in_tests] or [np.zeros(0, np.int32)]))
    total, first = 0, []
    for split, codes, keep in zip(overlap.splits, overlap.codes, kept, strict=True):
        if split.role not in CLEANED_ROLES:
            continue
        example = np.repeat(np.arange(len(split)), np.diff(split.offsets))
        leaking = np.flatnonzero(np.isin(number[codes], tested) & keep[example])
        total += len(np.unique(example[leaking]))
        if len(leaking):
            place = leaking[0]
            test_set, test_codes = next(entry for entry in in_tests if number[codes[place]] in number[entry[1]])
            test_code = test_codes[number[test_codes] == number[codes[place]]][0]
            first.append(
                Leak(
                    split.dataset,
                    split.name,
                    split.ids[int(example[place])].as_py(),
                    overlap.keys[int(codes[place])].as_py(),
                    test_set,
                    overlap.keys[int(test_code)].as_py(),
                )
            )
    return total, first
