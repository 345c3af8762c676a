"""What is wrong with records, named and counted; the other records are still read."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_bytes
from vlmt_cli.base.words import printable

_NUMBER = re.compile(r"-?\b\d[\d.,]*(?:e[+-]?\d+)?\b|\binf\b|\bnan\b")
_NAMED = 3


@dataclass
class Problem:
    """One kind of problem: what is wrong, how many records have it, and the names of the first of them."""

    what: str
    count: int = 0
    first: list[str] = field(default_factory=list)


class DamagedRecord(msgspec.Struct, frozen=True):
    """One record that is left out: where it was, its name there, and what is wrong with it."""

    source: str
    name: str
    problem: str


def kind_of(problem: str) -> str:
    """Return what a problem has in common with others: itself, with N for its numbers."""
    return _NUMBER.sub("N", problem)


def by_kind(named: Iterable[tuple[str, str]]) -> dict[str, Problem]:
    """Count problems by their kind, the most frequent first, from (name, problem) of each record."""
    kinds: dict[str, Problem] = {}
    for name, what in named:
        kind = kind_of(what)
        problem = kinds.setdefault(kind, Problem(what))
        problem.count += 1
        problem.what = what if what == problem.what else kind
        if len(problem.first) < _NAMED:
            problem.first.append(name)
    return dict(sorted(kinds.items(), key=lambda item: -item[1].count))


def sentence(problem: Problem) -> str:
    """Say one kind of problem in a line."""
    more = ", ..." if problem.count > len(problem.first) else ""
    return f"{problem.count:,} x {problem.what}: {', '.join(map(printable, problem.first))}{more}"


def write_problems(path: Path, source: str, damaged: list[DamagedRecord]) -> None:
    """Write the damaged records of a source, a JSON line each, beside those of other sources; no file without any.

    Raises:
        DataError: the file is there, and is something else.
    """
    others = []
    if path.exists():
        try:
            lines = [msgspec.json.decode(line, type=DamagedRecord) for line in path.read_bytes().splitlines()]
        except msgspec.MsgspecError as error:
            raise DataError("is not a list of damaged records", where=path, todo="delete it") from error
        others = [line for line in lines if line.source != source]
    if others or damaged:
        write_bytes(path, b"".join(msgspec.json.encode(record) + b"\n" for record in (*others, *damaged)))
    else:
        path.unlink(missing_ok=True)
