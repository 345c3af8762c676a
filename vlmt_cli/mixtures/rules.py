"""A user's rules for names in private folders: a few lines of text.

::

    # The images of this folder are COCO's under their numbers.
    azure_dc_zh_92K/{number}.jpg = coco
    team/crops_of_*/{number}_*.png = vg
    products/{id}.jpg = products

A pattern is the end of a path, whole folders at a time. ``{number}`` is the image's number, whose leading zeros do not
count; ``{id}`` is an id of letters, digits and ``. _ -``; ``*`` is whatever stands within a name. The source stands
behind ``=``. The first rule that fits a name decides. Backslashes divide folders, as slashes do.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import SOURCES, right_source
from vlmt_cli.base.opening import read_file
from vlmt_cli.base.words import quoted

_MOST_BYTES = 1 << 20
_MOST_RULES = 1000
_PARTS = {"{number}": r"0*(?P<id>0|[1-9][0-9]{0,18})", "{id}": r"(?P<id>[A-Za-z0-9_][A-Za-z0-9_.-]*)", "*": r"[^/]*"}
_TODO = "write it as folder/{number}.jpg = coco"


@dataclass(frozen=True)
class Rules:
    """Patterns of names in their order, as regular expressions with a group ``id``, each with its source.

    ``written`` has each rule as it stands in the file.
    """

    patterns: tuple[tuple[str, str], ...] = ()
    written: tuple[str, ...] = ()

    def keys_of(self, paths: pa.Array, root: str = "") -> pa.Array:
        """Name the images of N paths below ``root``; null where no rule fits."""
        keys = pa.nulls(len(paths), pa.string())
        if not self.patterns:
            return keys
        whole = _whole(paths, root)
        for pattern, source in self.patterns:
            ids = pc.struct_field(pc.extract_regex(whole, pattern), "id")
            ids = pc.if_else(pc.match_substring_regex(ids, r"\.\.|\.$"), None, ids)
            keys = pc.coalesce(keys, pc.binary_join_element_wise(source, ids, ":"))
        return keys

    def fitting(self, paths: pa.Array, root: str = "") -> list[str]:
        """Return the rules, as they are written, that fit any of N paths below ``root``."""
        whole = _whole(pc.unique(paths), root)
        fits = (pc.any(pc.match_substring_regex(whole, pattern), min_count=0).as_py() for pattern, _ in self.patterns)
        return [written for written, each in zip(self.written, fits, strict=False) if each]


def _whole(paths: pa.Array, root: str) -> pa.Array:
    root = root.replace("\\", "/").rstrip("/")
    return pc.binary_join_element_wise(f"{root}/", pc.replace_substring(paths, "\\", "/"), "")


NO_RULES = Rules()


def read_rules(path: Path) -> Rules:
    """Read a file of rules.

    Raises:
        DataError: it cannot be read, or a line is not a rule; the error names the line.
    """
    try:
        data = read_file(path)
        if len(data) > _MOST_BYTES:
            raise DataError("is too large for a file of rules", where=path, todo="a few lines suffice")
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no UTF-8 text"
        raise DataError(f"cannot be read as rules ({reason})", where=path) from error
    numbered = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1))
    written = [(line, f"{path}:{number}") for number, line in numbered if line]
    rules = tuple(_rule(*each) for each in written)
    if len(rules) > _MOST_RULES:
        raise DataError(f"has more than {_MOST_RULES:,} rules", where=path, todo="use * where rules are alike")
    return Rules(rules, tuple(line for line, _ in written))


def _rule(line: str, where: str) -> tuple[str, str]:
    pattern, equals, source = (part.strip() for part in line.rpartition("="))
    if not equals or not pattern:
        raise DataError(f"{quoted(line)} is not a rule", where=where, todo=_TODO)
    if todo := right_source(source):
        raise DataError(f"{quoted(source)} is not a source of images", where=where, todo=todo)
    parts = re.split(r"(\{[^}]*\}|\*)", pattern.replace("\\", "/").removeprefix("./").removeprefix("/"))
    if unknown := [part for part in parts[1::2] if part not in _PARTS]:
        raise DataError(f"{quoted(unknown[0])} means nothing in a rule", where=where, todo="write {number}, {id} or *")
    named = [part for part in parts[1::2] if part != "*"]
    if len(named) != 1:
        raise DataError("a rule has one {number} or {id}", where=where, todo=_TODO)
    if named[0] == "{id}" and source in SOURCES and source not in ("nlvr2", "cc"):
        raise DataError(f"images of {source} have numbers", where=where, todo="write {number} in place of {id}")
    regex = "".join(_PARTS.get(part) or re.escape(part) for part in parts)
    return rf"(?:^|/){regex}$", source
