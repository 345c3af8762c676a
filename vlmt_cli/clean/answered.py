"""What ``vlmt clean`` last answered in a data folder: the same question about the same bytes has the same answer.

``examples/.answered.json`` has the SHA-256 of everything that the split in ``clean`` is a function of (the question,
the program, each dataset's manifest, which in turn has those of the official files and of the tables made of them),
and of every file that was written. Where all of these are as they were, the split is what the same command would make
again, and what was said of it then holds. The record lies with the examples and not with the split: a split from
elsewhere is looked at, whatever comes with it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

from vlmt_cli import __version__
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_bytes
from vlmt_cli.base.opening import read_file
from vlmt_cli.clean.question import CleanQuestion, list_hash
from vlmt_cli.datasets.prepared import Prepared, examples_folder

RECORD = ".answered.json"
_PARTS = ("base", "clean", "commands", "datasets", "mixtures", "paper")


class Answer(msgspec.Struct, frozen=True):
    """What a split was made of, and what was written: SHA-256 values.

    Attributes:
        program: of the source of all that cleaning runs.
        question: of the question, which has those of image lists.
        examples: of the manifest of each dataset and crosswalk.
        files: of each file of the split.
    """

    program: str
    question: str
    examples: dict[str, str]
    files: dict[str, str]


@cache
def program_hash() -> str:
    """Hash the source of all that cleaning runs, and the files that come with it."""
    digest = hashlib.sha256(__version__.encode())
    home = Path(__file__).parents[1]
    for path in sorted(path for part in _PARTS for path in (home / part).rglob("*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path.relative_to(home)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def remember(data: Path, question: CleanQuestion, names: Iterable[str]) -> None:
    """Note that the split in a data folder was just made of the examples there of these datasets and crosswalks."""
    answer = Answer(program_hash(), _hash(question), _manifests(data, names), _files(data / "clean"))
    write_bytes(data / "examples" / RECORD, msgspec.json.format(msgspec.json.encode(answer)))


def is_answered(data: Path, question: CleanQuestion, examples: Mapping[str, Prepared]) -> bool:
    """Whether the split in a data folder is what this program made of just these examples, and answers this question.

    Image files and mixtures are outside of what is compared: with them it never is.
    """
    if question.image_files or question.mixtures or any(each.beside for each in examples.values()):
        return False
    # No record, a damaged one, or a file that is gone: not answered.
    with suppress(OSError, DataError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        made = msgspec.json.decode(read_file(data / "examples" / RECORD), type=Answer)
        now = _manifests(data, examples), _files(data / "clean", made.files)
        return made == Answer(program_hash(), _hash(question), *now)
    return False


def _manifests(data: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: list_hash(examples_folder(data, name) / "manifest.json") for name in names}


def _files(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Hash the files of a split: all of them, or those of these names."""
    if names is None:
        names = [path.name for path in folder.iterdir() if path.is_file()]
    return {name: list_hash(folder / name) for name in sorted(names)}


def _hash(question: CleanQuestion) -> str:
    return hashlib.sha256(question.model_dump_json().encode()).hexdigest()
