"""The command that puts datasets into the clean split of a data folder, beside those that it holds."""

import shlex
from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.origin import KEEP_FILE, read_origin
from vlmt_cli.datasets.table import TWELVE

_ALL = "all"


def clean_command(data: Path, *lacking: str) -> str:
    """Return the command that cleans datasets along with all that the split holds; with the twelve where none is there.

    It has the options that the split was made with, and ``--replace`` only where it adds a dataset.
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
    if set(TWELVE) <= set(names):
        names = [_ALL, *(name for name in names if name not in TWELVE)]
    words[position] = ",".join(names)
    replaces = more and (data / "clean" / KEEP_FILE).exists()
    return shlex.join([*words, "--data", str(data), *(["--replace"] if replaces else [])])
