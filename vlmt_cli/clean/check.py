"""The check of a split on disk, against the images and links of the present official files.

Removal works with masks and tables; this looks each kept image up among the test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.origin import KEEP_FILE, hash_examples, read_origin
from vlmt_cli.clean.overlap import Overlap, compare_splits
from vlmt_cli.clean.removal import KEEP, LAST_RELATION, split_hash, union_of
from vlmt_cli.clean.split_folder import REMOVED_FILE, read_report
from vlmt_cli.clean.splits import CLEANED_ROLES, Split

_LOOKED_AT = 100_000  # of removed rows that are back, for the first of each split


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
        problems: what else is wrong with it.
        records: how many records of mixtures that were written with it were looked at.
        open: what of these could not be compared or read.
    """

    split_hash: str
    identity: str
    examples: int
    tests: list[str]
    leaks: int
    first: list[Leak]
    problems: list[str] = field(default_factory=list)
    records: int = 0
    open: list[str] = field(default_factory=list)


def check_split(folder: Path, splits: Sequence[Split], links: pa.Table, identity: str) -> tuple[Checked, Overlap]:
    """Check the split in a folder against the images and links as they are now.

    Whatever is wrong with the split, what it keeps is looked at: a leak is not hidden behind another problem.

    Args:
        folder: with ``keep.parquet`` and ``report.json``.
        splits: those that the split was made of, and test sets to look for beside its own.
        links: identity links.
        identity: ``strict`` or ``paper``.

    Returns:
        What was found, and the splits as they were compared.

    Raises:
        DataError: there is no split, or it cannot be read.
    """
    path, report = folder / KEEP_FILE, read_report(folder)
    keep, problems, examples_then = read_keep(path), [], {}
    try:
        examples_then = read_origin(path).examples
    except DataError as error:
        problems.append(error.what)
    made_of = {(split.dataset, split.split) for split in report.splits if split.role != "detector"}
    if absent := made_of - {(split.dataset, split.name) for split in splits}:
        problems.append(
            f"the split also holds {', '.join(sorted(' '.join(dataset_split) for dataset_split in absent))}"
        )
    splits = [split for split in splits if (split.dataset, split.name) in made_of or split.role == "test"]
    is_part = [(split.dataset, split.name) in made_of for split in splits]
    kept = []
    for split, part in zip(splits, is_part, strict=True):
        rows = np.ones(len(split), bool)
        if part:
            is_same = examples_then.get(split.dataset, {}).get(split.name) == hash_examples(split.ids, split.images)
            rows = _kept_of(keep, split, is_same)
            if not is_same and examples_then:
                problems.append(f"the split was made of other examples of {split.dataset} {split.name}")
        kept.append(rows)
    if len(keep) != sum(int(rows.sum()) for rows, part in zip(kept, is_part, strict=True) if part) and not problems:
        problems.append("it lists examples twice, or such as report.json does not know")
    parts = [(split, rows) for split, rows, part in zip(splits, kept, is_part, strict=True) if part]
    if split_hash([split for split, _ in parts], [rows for _, rows in parts]) != report.split_hash and not problems:
        problems.append("keep.parquet and report.json do not belong together")
    overlap = compare_splits(splits, links)
    leaks, first = find_leaks(overlap, kept, identity)
    examples = sum(int(rows.sum()) for split, rows in zip(splits, kept, strict=True) if split.role in CLEANED_ROLES)
    tests = union_of(overlap, identity)
    return Checked(report.split_hash, identity, examples, tests, leaks, first, problems), overlap


def find_returned(folder: Path) -> tuple[int, list[Leak]]:
    """Look for removed examples that are back in ``keep.parquet``, whatever became of the official files.

    Returns:
        How many there are, and the first of each split.
    """
    keep = _named(read_keep(folder / KEEP_FILE))
    try:
        removed = pq.read_table(folder / REMOVED_FILE, columns=[*KEEP.names, "hits"])
        rows = _named(removed.select(KEEP.names))
    except (OSError, pa.ArrowException, KeyError):
        return 0, []
    rows = rows.append_column("place", pa.array(np.arange(len(removed))))
    places = [
        rows.join(keep, ["dataset", "split", column], join_type="left semi")["place"].to_numpy()
        for column in ("example_id", "row")
    ]
    returned = np.unique(np.concatenate(places))
    first: dict[tuple[str, str], Leak] = {}
    for row in removed.take(pa.array(returned)).slice(0, _LOOKED_AT).to_pylist():
        hit = (row["hits"] or [{"image": "?", "test_set": "?"}])[0]
        leak = Leak(row["dataset"], row["split"], row["example_id"], hit["image"], hit["test_set"], hit["image"])
        first.setdefault((leak.dataset, leak.split), leak)
    return len(returned), list(first.values())


def _named(rows: pa.Table) -> pa.Table:
    """Return rows with dataset and split as plain strings, which tables can be joined by."""
    return rows.cast(pa.schema([(name, pa.int32() if name == "row" else pa.string()) for name in KEEP.names]))


def _kept_of(keep: pa.Table, split: Split, is_same: bool) -> NDArray[np.bool_]:
    """Return which of a split's examples are kept by their ids, or, where it is the same table, by their rows."""
    mine = pc.and_(pc.equal(keep["dataset"], split.dataset), pc.equal(keep["split"], split.name))
    table = keep.filter(mine)
    kept: NDArray[np.bool_] = pc.is_in(split.ids, value_set=table["example_id"].combine_chunks()).to_numpy(
        zero_copy_only=False
    )
    kept = kept.copy()
    if is_same:
        rows = table["row"].to_numpy()
        kept[rows[(rows >= 0) & (rows < len(split))]] = True
    return kept


def read_keep(path: Path) -> pa.Table:
    """Read a split's ``keep.parquet``. Raises a DataError when it is not there or damaged."""
    if not path.exists():
        raise DataError("there is no clean split", where=path.parent, todo="make one with vlmt clean")
    try:
        keep = pq.read_table(path, schema=KEEP)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot be read ({error})", where=path, todo="make it again with vlmt clean") from error
    if any(column.null_count for column in keep.columns):
        raise DataError("has empty cells", where=path, todo="make it again with vlmt clean")
    return keep


def kept_examples(keep: pa.Table, split: Split, path: Path) -> NDArray[np.bool_]:
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
        (split.test_set, codes)
        for split, codes in zip(overlap.splits, overlap.codes, strict=True)
        if split.role == "test" and split.test_set in union
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
            row = leaking[0]
            test_set, test_codes = next(entry for entry in in_tests if number[codes[row]] in number[entry[1]])
            test_code = test_codes[number[test_codes] == number[codes[row]]][0]
            first.append(
                Leak(
                    split.dataset,
                    split.name,
                    split.ids[int(example[row])].as_py(),
                    overlap.keys[int(codes[row])].as_py(),
                    test_set,
                    overlap.keys[int(test_code)].as_py(),
                )
            )
    return total, first
