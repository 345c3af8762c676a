"""What to do for example tables that are not there: official files to get, or the command that reads those there.

The command puts datasets into the clean split of a data folder, beside those that it holds.
"""

import shlex
from collections.abc import Collection
from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.origin import KEEP_FILE, read_origin
from vlmt_cli.base.words import count
from vlmt_cli.datasets.official import addresses, all_datasets, missing_files, raw_files
from vlmt_cli.datasets.prepared import prepared
from vlmt_cli.datasets.table import TWELVE

_ALL = "all"
_NAMED = 2  # files in one line


def get_examples(data: Path, *names: str, split: str = "") -> str:
    """Say what to do for example tables of datasets that are not there, or that the clean split lacks.

    A dataset whose files are missing cannot be read by running ``vlmt clean``, so that these are named first.

    Args:
        data: the data folder.
        names: the datasets.
        split: that is wanted of them; empty for any.
    """
    absent = {file: address for name in names for file, address in _to_get(data, name, split).items()}
    if not absent:
        return f"run {clean_command(data, *names)}"
    few = listed_files(absent)
    return f"put {few} below {data / 'raw'}, then run {clean_command(data, *names, coming=absent)}"


def listed_files(files: dict[str, str]) -> str:
    """Name a few files, each with its address, and count the others."""
    named = [f"{file} ({address})" for file, address in list(files.items())[:_NAMED]]
    more = len(files) - len(named)
    others = f"{count(more, 'other file')} (vlmt data status lists them)"
    return f"{', '.join(named)} and {others}" if more else " and ".join(named)


def more_splits(data: Path, name: str) -> str:
    """Say which official files of a dataset may hold a split that it does not have here; empty where all are there."""
    absent = {file: addresses(data, name)[file] for file in missing_files(data, name)}
    return f"; others may be in {listed_files(absent)}, to put below {data / 'raw'}" if absent else ""


def _to_get(data: Path, name: str, split: str) -> dict[str, str]:
    """Return the missing official files of a dataset, with their addresses; none where cleaning may still help."""
    if name not in all_datasets():
        return {}
    here = raw_files(data, name)
    try:
        made = prepared(data, name)
    except DataError:  # damaged: what is advised here must not hide what it is advised for
        made = None
    was_read = made is not None and all(path.name in made.manifest.raw for path in here)
    splits = made.manifest.splits if made else {}
    if here and (not was_read or (split in splits if split else splits)):
        return {}
    return {file: addresses(data, name)[file] for file in missing_files(data, name)}


def clean_command(data: Path, *lacking: str, coming: Collection[str] = ()) -> str:
    """Return the command that cleans datasets along with all that the split holds; with the twelve where none is there.

    It has the options that the split was made with, ``--available`` where official files are missing, and ``--replace``
    only where it adds a dataset.

    Args:
        data: the data folder.
        lacking: the datasets.
        coming: official files that the user is told to get first. Then nothing is replaced: run before these are there,
            the command would take the place of the split for nothing.
    """
    try:
        words = shlex.split(read_origin(data / "clean" / KEEP_FILE).command)
    except DataError:
        words = []
    if "--datasets" not in words:  # no split, or one of an older vlmt
        words = ["vlmt", "clean", "--datasets", _ALL]
    position = words.index("--datasets") + 1
    names = [name for word in words[position].split(",") for name in (TWELVE if word == _ALL else [word])]
    more = [name for name in dict.fromkeys(lacking) if name not in names]
    names += more
    missing = {file for name in names if name in all_datasets() for file in missing_files(data, name)}
    if missing - set(coming) and (data / "raw").exists() and "--available" not in words:
        words.append("--available")
    if set(TWELVE) <= set(names):
        names = [_ALL, *(name for name in names if name not in TWELVE)]
    words[position] = ",".join(names)
    replaces = more and not coming and (data / "clean" / KEEP_FILE).exists()
    return shlex.join([*words, "--data", str(data), *(["--replace"] if replaces else [])])
