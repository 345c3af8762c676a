"""Small files of text that people or programs wrote: JSON, JSON lines and YAML, where any byte may be wrong.

What is wrong is one line: the file, and where in it. Beyond syntax that is what no file of ours has and what would harm
its readers: a key that stands twice, texts that cannot be written again, numbers of a thousand digits, values nested
a hundred deep, and YAML whose aliases multiply.
"""

import json
import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import read_file
from vlmt_cli.base.words import printable, quoted

_DEEPEST = 64
_MOST_VALUES = 10_000_000
_MOST_IN_YAML = 100_000
_LARGEST_YAML = 1 << 18
_HALF_PAIR = re.compile(r"[\ud800-\udfff]")


def read_text(path: Path, todo: str | None = None) -> str:
    """Read a file of UTF-8 text, with or without a byte order mark.

    Args:
        path: the file.
        todo: what to do about a damaged one.

    Raises:
        FileNotFoundError: there is none.
        DataError: it cannot be read, or is not UTF-8 text.
    """
    try:
        data = read_file(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path, todo=todo) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError("is not UTF-8 text", where=f"{path}: line {line}", todo=todo) from error


def read_json(path: Path, todo: str | None = None) -> Any:
    """Read a JSON file; arguments and errors are ``read_text``'s and ``parse_json``'s."""
    return parse_json(read_text(path, todo), path, todo)


def parse_json(text: str, where: object, todo: str | None = None, *, nan: bool = False) -> Any:
    """Parse JSON.

    Args:
        text: the JSON.
        where: the file, and the line if it is one.
        todo: what to do about a damaged file.
        nan: whether NaN and Infinity may stand in it, as in metrics.

    Raises:
        DataError: it is not JSON, or has what no file of ours has.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_integer)
    except RecursionError as error:
        raise DataError("is nested too deeply", where=where, todo=todo) from error
    except ValueError as error:
        raise DataError(f"is not valid JSON ({printable(error)})", where=where, todo=todo) from error
    _check(value, where, todo, nan, _MOST_VALUES)
    return value


def read_yaml(path: Path) -> Any:
    """Read a YAML file of at most 256 kB.

    Raises:
        FileNotFoundError: there is none.
        DataError: it is not YAML, or has what no file of ours has.
    """
    text = read_text(path)
    if len(text) > _LARGEST_YAML:
        raise DataError(f"has more than {_LARGEST_YAML:,} characters, which is too long for a recipe", where=path)
    return parse_yaml(text, path)


def parse_yaml(text: str, where: object) -> Any:
    """Parse YAML; errors are ``read_yaml``'s."""
    try:
        value = yaml.load(text, Loader=_Loader)
    except RecursionError as error:
        raise DataError("is nested too deeply", where=where) from error
    except yaml.MarkedYAMLError as error:
        line = f"{where}: line {error.problem_mark.line + 1}" if error.problem_mark else where
        raise DataError(f"is not valid YAML ({printable(error.problem or error.context)})", where=line) from error
    except Exception as error:  # of dates, numbers and tags that are none, it raises whatever they run into
        raise DataError(f"is not valid YAML ({printable(error)})", where=where) from error
    _check(value, where, None, True, _MOST_IN_YAML)
    return value


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which the last would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"the key {quoted(key.value)} stands twice",
                                               problem_mark=key.start_mark)  # fmt: skip
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise ValueError(f"the key {quoted(twice)} stands twice")
    return result


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _check(value: Any, where: object, todo: str | None, nan: bool, most: int) -> None:
    """Go through a value and all in it, once for each time that it is named."""
    waiting, count = [(value, 0)], 0
    while waiting:
        part, depth = waiting.pop()
        count += 1
        if isinstance(part, dict):
            inner = [*part, *part.values()]
        elif isinstance(part, list | tuple | set):
            inner = list(part)
        else:
            inner = []
        waiting += [(each, depth + 1) for each in inner]
        wrong = None
        if depth > _DEEPEST:
            wrong = "is nested too deeply"
        elif count + len(waiting) > most:
            wrong = f"holds more than {most:,} values"
        elif isinstance(part, str) and _HALF_PAIR.search(part):
            wrong = f"has half of a surrogate pair in {quoted(part)}"
        elif isinstance(part, int) and abs(part) >= 1 << 64:
            wrong = "has a number of more than 64 bits"
        elif isinstance(part, float) and not nan and not math.isfinite(part):
            wrong = "has a number that is NaN or infinite"
        if wrong:
            raise DataError(wrong, where=where, todo=todo)
