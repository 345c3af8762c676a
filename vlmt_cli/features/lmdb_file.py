"""LMDBs from any source, read without the LMDB library.

The library maps the file and believes every number in it: a damaged page kills the process. Here pages are read one by
one, and each number is checked before it is followed, so that what is damaged is named and the rest is read.

A file is pages of equal size. The first two describe it; the one of the latest transaction counts. Each other page
begins with its own number, 2 unused bytes, flags, and where its free space begins and ends. Between the header and the
free space lie the places of its nodes, two bytes each. A node is a size or a page number, flags, the length of its key,
the key and the value; a value that is larger than half a page lies on pages of its own.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file

_MAGIC, _VERSION = 0xBEEFC0DE, 1
# After the page's header: magic, version, address, map size; of the tree of free pages the page size, entries and root;
# of the tree of records flags, entries and root; the last page and the transaction.
_DESCRIPTION = struct.Struct("<16xII8x8xI28xQQ4xH26xQQQQ")
_HEADER = struct.Struct("<Q2xHHH")
_PAGES = struct.Struct("<Q2xHI")
_NODE = struct.Struct("<HHHH")
_BRANCH, _LEAF, _OVERFLOW, _OTHER = 0x01, 0x02, 0x04, 0x60
_ELSEWHERE, _TREE = 0x01, 0x06
_USUAL_SIZES = (1 << 12, 1 << 14, 1 << 16)  # where the second description may begin when the first is damaged
_NOTHING = (1 << 64) - 1
_AGAIN = "download or copy it again"


class _Description(NamedTuple):
    page_size: int
    free_root: int
    flags: int
    entries: int
    root: int
    last_page: int
    transaction: int


class Record(NamedTuple):
    """A record, or what is damaged where one or more should be."""

    key: bytes
    value: bytes
    damage: str = ""


class Lmdb:
    """An LMDB that is open for reading; see ``opened``.

    Attributes:
        entries: how many records it says it has.
    """

    def __init__(self, descriptor: int, description: _Description) -> None:
        self._descriptor, self._description = descriptor, description
        self.entries = description.entries

    def records(self) -> Iterator[Record]:
        """Go through all records in the order of their keys; what is damaged comes where it is met."""
        for number, node in self._nodes(self._description.root):
            if isinstance(node, str):
                yield Record(b"", b"", node)
                continue
            try:
                yield Record(node.key, self._value(node))
            except ValueError as error:
                yield Record(node.key, b"", f"{error} (from page {number:,})")

    def intact_keys(self) -> set[bytes]:
        """Return the keys of all records on intact pages."""
        return {node.key for _, node in self._nodes(self._description.root) if not isinstance(node, str)}

    def get(self, key: bytes) -> bytes | None:
        """Return a key's value; None where there is none, or no way to it that is intact."""
        number = self._description.root
        for _ in range(64):
            try:
                is_leaf, nodes = self._page(number)
                if is_leaf:
                    return next((self._value(node) for node in nodes if node.key == key), None)
            except ValueError:
                return None
            # The first node of a branch has no key: it leads to all that come before the second.
            number = [node for n, node in enumerate(nodes) if not n or node.key <= key][-1].number
        return None

    def damage(self) -> list[str]:
        """Return what is wrong with the pages of both trees, that of free pages included; values are not read."""
        problems = ["its description is damaged"] if self._description.flags else []
        for root in (self._description.root, self._description.free_root):
            for _, node in self._nodes(root):
                if isinstance(node, str):
                    problems.append(node)
                elif node.flags & _TREE:
                    problems.append("a record is a tree of its own")
                elif node.flags & _ELSEWHERE and not self._is_there(node.number, _HEADER.size + node.size):
                    problems.append(f"a value lies on page {node.number:,}, which does not exist")
        return problems

    def _nodes(self, root: int) -> "Iterator[tuple[int, _Node | str]]":
        """Go through the leaves of a tree: page number and node, or what is damaged."""
        waiting, seen = [root] if root != _NOTHING else [], set[int]()
        while waiting:
            number = waiting.pop()
            if number in seen:
                yield number, f"page {number:,} is named twice"
                continue
            seen.add(number)
            try:
                is_leaf, nodes = self._page(number)
            except ValueError as error:
                yield number, str(error)
                continue
            if is_leaf:
                yield from ((number, node) for node in nodes)
            else:
                waiting += [node.number for node in reversed(nodes)]

    def _page(self, number: int) -> "tuple[bool, list[_Node]]":
        """Read one page: whether it is a leaf, and its nodes. Raises a ValueError that names the page."""
        size = self._description.page_size
        data = self._read(number, size)
        own, flags, lower, upper = _HEADER.unpack_from(data)
        kind = flags & (_BRANCH | _LEAF | _OVERFLOW | _OTHER)
        if own != number or kind not in (_BRANCH, _LEAF) or not _HEADER.size <= lower <= upper <= size or lower % 2:
            raise ValueError(f"page {number:,} is damaged")
        nodes = []
        for (at,) in struct.iter_unpack("<H", data[_HEADER.size : lower]):
            if not upper <= at <= size - _NODE.size:
                raise ValueError(f"page {number:,} is damaged")
            low, high, flags, key_length = _NODE.unpack_from(data, at)
            start = at + _NODE.size + key_length
            whole = low | high << 16
            if kind == _BRANCH:
                node = _Node(data[at + _NODE.size : start], 0, whole | flags << 32, whole, b"")
            elif flags & _ELSEWHERE:
                page_bytes = data[start : start + 8]
                node = _Node(data[at + _NODE.size : start], flags, int.from_bytes(page_bytes, "little"), whole, b"")
                start += 8
            else:
                node = _Node(data[at + _NODE.size : start], flags, 0, whole, data[start : start + whole])
                start += whole
            if start > size:
                raise ValueError(f"page {number:,} is damaged")
            nodes.append(node)
        if not nodes and kind == _BRANCH:
            raise ValueError(f"page {number:,} is damaged")
        return kind == _LEAF, nodes

    def _value(self, node: "_Node") -> bytes:
        if node.flags & _TREE:
            raise ValueError("the record is a tree of its own")
        if not node.flags & _ELSEWHERE:
            return node.value
        data = self._read(node.number, _HEADER.size + node.size)
        own, flags, pages = _PAGES.unpack_from(data)
        if own != node.number or not flags & _OVERFLOW or pages * self._description.page_size < len(data):
            raise ValueError(f"page {node.number:,} is damaged")
        return data[_HEADER.size :]

    def _read(self, number: int, length: int) -> bytes:
        """Read bytes from the beginning of a page. Raises a ValueError when they are not all there."""
        if not self._is_there(number, length):
            raise ValueError(f"page {number:,} lies beyond the last")
        data = os.pread(self._descriptor, length, number * self._description.page_size)
        if len(data) < length:
            raise ValueError(f"page {number:,} lies beyond the end of the file")
        return data

    def _is_there(self, number: int, length: int) -> bool:
        """Whether the file says that it has so many bytes from the beginning of a page."""
        pages = -(-length // self._description.page_size)
        return 1 < number <= self._description.last_page + 1 - pages


class _Node(NamedTuple):
    key: bytes
    flags: int
    number: int
    size: int
    value: bytes


def is_lmdb(path: Path) -> bool:
    """Whether this is an LMDB: a folder with ``data.mdb``, or such a file under any name."""
    file = _file(path)
    return file.is_file() and _described(file) is not None


@contextmanager
def opened(path: Path) -> Iterator[Lmdb]:
    """Open an LMDB for reading.

    Raises:
        DataError: it cannot be read, is not an LMDB, or is cut short.
    """
    check_length(path)
    description = _described(_file(path))
    assert description is not None
    try:
        with open_file(_file(path)) as file:
            yield Lmdb(file.fileno(), description)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error


def check_length(path: Path) -> None:
    """Raise a DataError when an LMDB is cut short: to read beyond its end kills the process."""
    description = _described(_file(path))
    if description is None:
        raise DataError("is not an LMDB", where=path)
    size, needed = _file(path).stat().st_size, (description.last_page + 1) * description.page_size
    if size < needed:
        raise DataError(f"is cut short: {size:,} of {needed:,} bytes", where=path, todo=_AGAIN)


def check_pages(path: Path) -> None:
    """Raise a DataError when a page of an LMDB is damaged; for those that the LMDB library is to open."""
    with opened(path) as file:
        if damage := file.damage():
            more = f", and {len(damage) - 1:,} more" if len(damage) > 1 else ""
            raise DataError(f"is damaged ({damage[0]}{more})", where=path, todo="see vlmt doctor, and make it again")


def _file(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


def _described(file: Path) -> _Description | None:
    """Return the description of the latest transaction, or None where the file is not an LMDB."""
    descriptions: list[_Description | None] = []
    try:
        with open_file(file) as stream:
            descriptions.append(_description(stream.read(_DESCRIPTION.size)))
            for size in [descriptions[0].page_size] if descriptions[0] else _USUAL_SIZES:
                stream.seek(size)
                descriptions.append(_description(stream.read(_DESCRIPTION.size)))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=file) from error
    return max(filter(None, descriptions), key=lambda description: description.transaction, default=None)


def _description(data: bytes) -> _Description | None:
    if len(data) < _DESCRIPTION.size:
        return None
    magic, version, page_size, _, free_root, flags, entries, root, last_page, transaction = _DESCRIPTION.unpack(data)
    if magic != _MAGIC or version != _VERSION or page_size not in [1 << power for power in range(8, 17)]:
        return None
    return _Description(page_size, free_root, flags, entries, root, last_page, transaction)
