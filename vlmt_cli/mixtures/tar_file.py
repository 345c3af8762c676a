"""The members of a tar file, by the bytes where they begin and end: nothing is ever unpacked to disk.

Old, POSIX (``ustar``), GNU and pax archives are read. A member is its headers, the long name or the pax header before
it included, and its data, up to the next multiple of 512 bytes. What a training would not get to see as it stands
there, or what would harm whoever unpacks the archive, is a *problem* of that member: links, devices, pipes, sparse
files, absolute names and names that climb.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import quoted

BLOCK = 512
RECORD = 20 * BLOCK
"""Most archives are filled up to a multiple of it."""

_CHUNK = 1 << 20
_LONGEST_HEADER = 1 << 20
_FILES = b"0\x007"
_NO_DATA = b"123456"
_PROBLEMS = {b"1": "a link", b"2": "a link", b"3": "a device", b"4": "a device", b"6": "a pipe", b"S": "a sparse file"}


@dataclass(frozen=True)
class Member:
    """One member of an archive.

    Args:
        name: as it stands there.
        is_file: whether it has data; folders and what holds for all later members do not.
        start: the first byte of its headers.
        data: the first byte of its data.
        size: bytes of data.
        end: the byte after its last block.
        problem: what is wrong with it.
    """

    name: str
    is_file: bool
    start: int
    data: int
    size: int
    end: int
    problem: str | None = None


class Tar:
    """An archive that is read from its beginning to its end, perhaps out of a gzip stream.

    ``record`` is set by whoever counts records, for the errors. After the last member ``end`` is the byte after it
    and ``total`` the size of the unpacked archive.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.record = self.end = self.total = 0
        self._file, self._path, self._at = file, path, 0
        self._size = None if path.suffix in (".gz", ".tgz") else os.fstat(file.fileno()).st_size

    def __iter__(self) -> Iterator[Member]:
        while (member := self._member()) is not None:
            yield member
            self.skip_to(member.end)
        self.end = self._at

    def data(self, member: Member) -> bytes:
        """Read a member's data; it must be the last that was given."""
        self.skip_to(member.data)
        return self.read(member.size)

    def read(self, size: int) -> bytes:
        """Read exactly so many bytes."""
        content = b"" if self._size is not None and self._at + size > self._size else self._file.read(size)
        if len(content) < size:
            raise self._damaged("is cut off")
        self._at += size
        return content

    def skip_to(self, offset: int) -> None:
        """Go on to a later byte."""
        if self._size is None:
            while self._at < offset:
                self.read(min(_CHUNK, offset - self._at))
            return
        if offset > self._size:
            raise self._damaged("is cut off")
        if offset != self._at:
            self._file.seek(offset)
            self._at = offset

    def _member(self) -> Member | None:
        start, name, size, is_sparse = self._at, None, None, False
        while True:
            header = self._header()
            if header is None:
                return None
            kind, length = header[156:157], self._number(header[124:136])
            if kind not in b"xgLK" or kind == b"":
                break
            if length > _LONGEST_HEADER:
                raise self._damaged(f"has a header of {length:,} bytes")
            content = self.read(-(-length // BLOCK) * BLOCK)[:length]
            if kind == b"L":
                name = content.rstrip(b"\0")
            elif kind in b"xg":
                fields = self._pax(content)
                if kind == b"g":
                    if fields.keys() & {b"path", b"size"}:
                        raise self._damaged("gives all later members one name or size")
                    return Member("", False, start, self._at, 0, self._at)
                name = fields.get(b"path", name)
                size = self._decimal(fields[b"size"]) if b"size" in fields else size
                is_sparse = is_sparse or any(field.startswith(b"GNU.sparse.") for field in fields)
        return self._described(header, kind, start, name, length if size is None else size, is_sparse)

    def _described(
        self, header: bytes, kind: bytes, start: int, name: bytes | None, size: int, is_sparse: bool
    ) -> Member:
        if name is None:
            name = header[:100].partition(b"\0")[0]
            prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
            name = prefix + b"/" + name if prefix else name
        more = kind == b"S" and header[482:483] != b"\0"
        while more:  # a sparse file's map goes on
            more = self.read(BLOCK)[504:505] != b"\0"
        is_file = kind in _FILES and not name.endswith(b"/")
        size = 0 if kind in _NO_DATA else size
        text = name.decode(errors="replace")
        problem = _PROBLEMS.get(b"S" if is_sparse else kind)
        if problem is None and not is_file and kind != b"5" and not name.endswith(b"/"):
            problem = f"of an unknown kind ({quoted(kind.decode('latin-1'))})"
        if problem is None and (text.startswith("/") or ".." in text.split("/")):
            problem = "named as if it lay outside the archive"
        if problem is None and text.encode(errors="replace") != name:
            problem = "named in something other than UTF-8"
        return Member(text, is_file, start, self._at, size, self._at + -(-size // BLOCK) * BLOCK, problem)

    def _header(self) -> bytes | None:
        """Read a header; None at the end of the archive, after which only zeros may stand."""
        if self._size is not None and self._at == self._size:
            self.total = self._at
            return None
        header = self._file.read(BLOCK)
        if header.strip(b"\0") == b"":
            self._check_rest(header)
            return None
        if len(header) < BLOCK:
            raise self._damaged("is cut off")
        if self._number(header[148:156]) not in _sums(header):
            raise self._damaged("has a damaged header")
        self._at += BLOCK
        return header

    def _check_rest(self, block: bytes) -> None:
        self.total = self._at
        while block:
            if block.strip(b"\0"):
                raise self._damaged("goes on after its end, which no reader would see")
            self.total += len(block)
            block = self._file.read(_CHUNK)

    def _number(self, field: bytes) -> int:
        if field[:1] in (b"\x80", b"\xff"):
            return self._checked(int.from_bytes(field[1:], signed=field[:1] == b"\xff"))
        digits = field.partition(b"\0")[0].strip()
        if digits.strip(b"01234567"):
            raise self._damaged("has a damaged header")
        return int(digits or b"0", 8)

    def _decimal(self, digits: bytes) -> int:
        if not digits.isdigit() or len(digits) > 19:
            raise self._damaged("has a damaged header")
        return self._checked(int(digits))

    def _checked(self, size: int) -> int:
        if not 0 <= size < 1 << 62:
            raise self._damaged("has a member of an impossible size")
        return size

    def _pax(self, content: bytes) -> dict[bytes, bytes]:
        """Take the records ``<length> <field>=<value>`` apart."""
        fields = {}
        while content:
            digits, space, rest = content.partition(b" ")
            length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
            field, equals, value = rest[: max(0, length - len(digits) - 1)].partition(b"=")
            if not (space and equals and value.endswith(b"\n") and length <= len(content)):
                raise self._damaged("has a damaged pax header")
            fields[field], content = value[:-1], content[length:]
        return fields

    def _damaged(self, what: str) -> DataError:
        what = what if self._at or what != "has a damaged header" else "is not a tar file"
        todo = "get the file again, or pack it again"
        return DataError(f"{what} (at byte {self._at:,})", where=f"{self._path}: record {self.record}", todo=todo)


def _sums(header: bytes) -> Iterator[int]:
    """Give the sum of a header's bytes, its own field counting as spaces; old programs took bytes as signed."""
    unsigned = sum(header) - sum(header[148:156]) + 8 * 32
    yield unsigned
    yield unsigned - 256 * sum(byte > 127 for byte in header[:148] + header[156:])


@contextmanager
def opened(path: Path) -> Iterator[Tar]:
    """Open an archive; one named ``.gz`` or ``.tgz`` is unpacked while it is read.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        with open_packed(path) as file:
            yield Tar(file, path)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path) from error
