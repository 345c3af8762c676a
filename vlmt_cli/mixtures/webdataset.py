"""webdataset: tar files whose members belong together by what stands before the first dot of their names.

    000010005.jpg  000010005.txt  000010005.json          a record of three members
    coco/train2017/000000033471.jpg                       a record of its own

``__key__`` is that stem. A record's images are its members with an image's suffix. A JSON member may say more of the
image: ``url``, ``sha256``, ``md5`` and ``file_name``. Members without a suffix, folders and ``__meta__`` belong to no
record, here as for the readers of webdataset, and are always written back.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.image_names import SUFFIXES
from vlmt_cli.base.words import quoted
from vlmt_cli.mixtures.batch import IMAGES, Batch, Damaged, Form, Kept, Source, Wanted
from vlmt_cli.mixtures.byte_ranges import merged, write_ranges
from vlmt_cli.mixtures.image_fields import LONGEST, is_official
from vlmt_cli.mixtures.json_image import Image, joined
from vlmt_cli.mixtures.json_images import images_in
from vlmt_cli.mixtures.tar_file import BLOCK, RECORD, Member, Tar, opened

_PARTS = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
_META = re.compile(r"__[^/]*__(?:$|/)")
_TARS = (".tar", ".tgz", ".gz")
_VIDEOS = ("mp4", "webm", "avi", "mov", "mkv")
_TEXTS = ("txt", "text", "caption")
_LARGEST_JSON = 64 << 20
_LARGEST_IMAGE = 1 << 30
_RECORDS = 1 << 14
_BYTES = 64 << 20
"""Records and bytes of a batch, at most about."""


@dataclass
class _Record:
    key: str
    images: list[Image] = field(default_factory=list)
    said: list[Image] = field(default_factory=list)
    url: str | None = None
    is_counter: bool = False
    texts: list[str] = field(default_factory=list)
    videos: int = 0
    problem: str | None = None


def is_form(path: Path, head: bytes) -> bool:
    """Whether a file begins with the header of a tar file, or is the end of one whose members all went."""
    if len(head) < BLOCK or not head[0]:
        return 2 * BLOCK <= len(head) <= RECORD and path.suffix in _TARS and not head.strip(b"\0")
    stored = head[148:156].replace(b"\0", b" ").strip()
    total = sum(head[:BLOCK]) - sum(head[148:156]) + 8 * 32
    return bool(stored) and not stored.strip(b"01234567") and int(stored, 8) == total


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the records of an archive.

    Raises:
        DataError: it is damaged.
    """
    first, size = 0, 0
    records: list[_Record] = []
    with opened(source.path) as tar:
        for number, key, suffix, member in numbered(tar):
            if number is None:
                continue
            if number == first + len(records):
                if len(records) >= _RECORDS or size > _BYTES:
                    yield _batch(first, records, wanted)
                    first, size, records = number, 0, []
                records.append(_Record(key))
            size += _add(records[-1], suffix, member, tar, wanted)
    if records:
        yield _batch(first, records, wanted)


def write(source: Source, kept: Kept, to: Path) -> None:
    """Write an archive again without the records that are not kept; the others byte for byte, with their headers."""
    members, last = [], (-1, "")
    with opened(source.path) as tar:
        for number, key, _, member in numbered(tar):
            if number is not None and kept.records[number]:
                if key == last[1] and number != last[0]:
                    todo = "rename the members of one"
                    what = f"has the stem of record {last[0]}, {quoted(key)}, and would become part of it"
                    raise DataError(what, where=f"{source.path}: record {number}", todo=todo)
                last = (number, key)
            if number is None or kept.records[number]:
                members.append((member.start, member.end))
    write_ranges(source.path, merged(members), to, bytes(_end_blocks(tar, sum(end - start for start, end in members))))


def numbered(tar: Tar) -> Iterator[tuple[int | None, str, str, Member]]:
    """Give each member with the number of its record, its stem and its suffix; the number is None without a record."""
    number, last = -1, None
    for member in tar:
        parts = _PARTS.fullmatch(member.name)
        if parts is None or not (member.is_file or member.problem) or _META.search(member.name):
            yield None, "", "", member
            continue
        if parts[1] != last:
            number, last = number + 1, parts[1]
            tar.record = number
        yield number, parts[1], parts[2].lower(), member


def keys(path: Path) -> list[str]:
    """Return the stems of an archive's records."""
    with opened(path) as tar:
        every = {number: key for number, key, _, _ in numbered(tar) if number is not None}
    return list(every.values())


def _add(record: _Record, suffix: str, member: Member, tar: Tar, wanted: Wanted) -> int:
    """Add what a member says to its record; returns how many bytes of it are held."""
    last = suffix.rpartition(".")[2]
    if member.problem:
        record.problem = f"{quoted(member.name)} is {member.problem}"
    elif f".{last}" in SUFFIXES:
        if len(member.name) > LONGEST:
            record.problem = f"{quoted(member.name)} is a name of {len(member.name):,} characters"
        if wanted.data and member.size > _LARGEST_IMAGE:
            record.problem = f"{quoted(member.name)} has {member.size:,} bytes"
        else:
            data = tar.data(member) if wanted.data else None
            record.images.append(Image(member.name, data=data))
            return member.size if data is not None else 0
    elif last == "json":
        _add_json(record, member, tar, wanted)
    elif last == "url" and member.size <= LONGEST:
        record.url = tar.data(member).decode(errors="replace").strip()
    elif last in _TEXTS and wanted.texts and member.size <= _LARGEST_JSON:
        record.texts.append(tar.data(member).decode(errors="replace"))
        return member.size
    elif last in _VIDEOS:
        record.videos += 1
    return 0


def _add_json(record: _Record, member: Member, tar: Tar, wanted: Wanted) -> None:
    if member.size > _LARGEST_JSON:
        record.problem = f"{quoted(member.name)} has {member.size:,} bytes"
        return
    try:
        said = msgspec.json.decode(tar.data(member))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        record.problem = f"{quoted(member.name)} is not JSON ({error})"
        return
    parts = [part for part in (said if isinstance(said, list) else [said]) if isinstance(part, dict)]
    try:
        record.said += [image for part in parts for image in images_in(part, wanted.data)]
    except ValueError as error:
        record.problem = f"{quoted(member.name)}: {error}"
    if not isinstance(said, dict):
        return
    # The names of files that img2dataset writes are counters, and say nothing of the image.
    has_url = record.url is not None or any(image.url for image in record.said)
    record.is_counter = has_url and said.get("key") == record.key.rpartition("/")[2]
    if wanted.texts:
        record.texts += [said[name] for name in ("caption", "text") if isinstance(said.get(name), str)]
        turns = said.get("conversations", said.get("messages"))
        turns = [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []
        spoken = [turn.get("value", turn.get("content")) for turn in turns]
        record.texts += [text for text in spoken if isinstance(text, str)]


def _images(record: _Record) -> list[Image]:
    """Return the images of a record, with what its JSON says of them."""
    said, shown = record.said, record.images
    if record.url:
        said = [joined(said[0] if said else Image(), Image(url=record.url)), *said[1:]]
    if record.is_counter and len(shown) == 1:
        shown = [shown[0]._replace(name=None)]
    if not shown:
        return said
    return [_with(*each) for each in zip(shown, said, strict=True)] if len(said) == len(shown) else shown


def _with(image: Image, said: Image) -> Image:
    """Add what is said of an image; a name that says by itself which image it is comes first."""
    if said.name and is_official(said.name) and not (image.name and is_official(image.name)):
        image, said = image._replace(name=said.name), said._replace(name=image.name)
    return joined(image, said)


def _batch(first: int, records: list[_Record], wanted: Wanted) -> Batch:
    rows = [
        {"record": first + number, "position": position, **image._asdict()}
        for number, record in enumerate(records)
        if record.problem is None
        for position, image in enumerate(_images(record))
    ]
    schema = pa.schema([part for part in IMAGES if part.name != "data" or wanted.data])
    return Batch(
        first,
        len(records),
        pa.RecordBatch.from_pylist(rows, schema),
        pa.array([record.key for record in records], pa.string()),
        pa.array([record.texts for record in records], pa.list_(pa.string())) if wanted.texts else None,
        videos=sum(record.videos for record in records),
        damaged=tuple(
            Damaged(first + number, record.problem) for number, record in enumerate(records) if record.problem
        ),
    )


def _end_blocks(tar: Tar, written: int) -> int:
    """Return how many zeros end an archive with so many bytes of members: two blocks, filled up where it was before."""
    if tar.total % RECORD == 0:
        return 2 * BLOCK + -(written + 2 * BLOCK) % RECORD
    return max(2 * BLOCK, tar.total - tar.end)


WEBDATASET = Form("webdataset", is_form, read, write)
