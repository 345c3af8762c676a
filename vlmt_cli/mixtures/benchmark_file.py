"""Benchmarks as people hold them: which images a file asks about, and what it says of each.

POPE, Qwen-VL and InternVL: a record a line
    {"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a snowboard in the image?", ...}
    {"image": "data/refcoco/COCO_train2014_000000581857.jpg", "sent": "lady in blue", "bbox": [...], ...}
MDETR and COCO
    {"images": [{"file_name": "COCO_train2014_000000581857.jpg", "caption": "lady in blue"}, ...], "annotations": [...]}
    {"images": [{"file_name": "...", "id": 9}], "annotations": [{"image_id": 9, "caption": "..."}]}
VLMEvalKit, a TSV
    index  question  image            whose images are base64
a list, a name a line; more columns are passed over
    val2014/COCO_val2014_000000253964.jpg 253964
Parquet, Arrow and tar files are read as mixtures are.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.beginnings import beginning
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.packed import open_packed
from vlmt_cli.mixtures.batch import Source, Wanted, split_field
from vlmt_cli.mixtures.benchmark_records import (
    NAME_FIELDS,
    TEXT_FIELDS,
    URL_FIELDS,
    apart,
    header,
    of_test_splits,
    records_of,
    rows_of,
    tests_among,
    texts_of,
)
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.json_image import is_address
from vlmt_cli.mixtures.names import keys_of, keys_of_addresses

_PICTURE = re.compile(r"data:image/|(?:[/_]9j[/_]|iVBORw0KGgo|R0lGOD|UklGR)[A-Za-z0-9+/_=\s-]{32}")
"""With what a picture in base64 begins."""
_OF_ADDRESSES = str.maketrans("-_", "+/")
_LONGEST = 4_096
_LARGEST = 10**18
_HEAD = 1 << 16
_MOST_BYTES = 4 << 30


@dataclass
class Shown:
    """The images of a benchmark's file, a row each.

    Attributes:
        names: N lists of what each image may be called, the more telling first; empty where nothing is said.
        urls: N lists of addresses.
        hashes: N lists of ``sha256:...`` and ``md5:...`` of the image's file, and what else ``Marks`` gives.
        texts: N lists of what is said about it.
        splits: to which of the file's splits they belong, where others were left out.
        damaged: of N, whether the picture is in the file, and cannot be unpacked.
    """

    names: list[list[str]] = field(default_factory=list)
    urls: list[list[str]] = field(default_factory=list)
    hashes: list[list[str]] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    splits: tuple[str, ...] = ()
    damaged: list[bool] = field(default_factory=list)

    def add(
        self, names: list[str], urls: list[str], hashes: list[str], texts: list[str], is_damaged: bool = False
    ) -> None:
        """Add one image."""
        self.damaged.append(is_damaged)
        for column, values in zip(
            (self.names, self.urls, self.hashes, self.texts), (names, urls, hashes, texts), strict=True
        ):
            column.append(values)

    def __len__(self) -> int:
        return len(self.names)


Marks = Callable[[bytes], list[str]]
"""By what an image's file is recognised: a list of ``kind:hexadecimal digits``."""


def read_benchmark(path: Path, marks: Marks | None = None, only_test: bool = False) -> Shown:
    """Read a benchmark's file.

    Args:
        path: the file, plain or ``.gz``, or a folder of a form that is one.
        marks: asked about each image that it holds.
        only_test: of records that say their splits, such as Karpathy's or gRefCOCO's, take the test splits alone.

    Raises:
        DataError: it cannot be read, or says nothing of images.
    """
    try:
        head = b""
        if path.is_file():
            if path.stat().st_size > _MOST_BYTES and not path.suffix == ".parquet":
                raise DataError("is too large for a file of a benchmark", where=path)
            with open_packed(path) as file:
                head = file.read(_HEAD)
        is_text = _is_plain(head) and not path.name.removesuffix(".gz").endswith(".csv")
        form = None if is_text else next((name for name, form in FORMS.items() if form.is_form(path, head)), None)
        if form is None and (said := beginning(head)):
            raise DataError(said[0], where=path, todo=said[1])
        shown = _of_form(path, form, marks, only_test) if form else _of_text(path, head, marks, only_test)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path, todo="name a file or folder of the benchmark") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=path) from error
    if not len(shown):
        raise DataError("says nothing of images", where=path, todo="give a file whose records name their images")
    return shown


def _is_table(path: Path, head: bytes) -> bool:
    return b"\t" in head.partition(b"\n")[0] and path.name.removesuffix(".gz").endswith(".tsv")


def keys_of_shown(shown: Shown, source: str | None, root: str = "") -> pa.Array:
    """Name N images by the first of their names that says it, else by an official address; null where none does."""
    longest = max(map(len, shown.names), default=0)
    columns = [
        pa.array([names[n] if n < len(names) else None for names in shown.names], pa.string()) for n in range(longest)
    ]
    named = [keys_of(column, root).keys for column in columns]
    if source:
        named += [keys_of(column, root, source=source).keys for column in columns]
    urls = max(map(len, shown.urls), default=0)
    addresses = [
        pa.array([each[n] if n < len(each) else None for each in shown.urls], pa.string()) for n in range(urls)
    ]
    return pc.coalesce(pa.nulls(len(shown), pa.string()), *named, *map(keys_of_addresses, addresses))


def hashes_of(data: bytes) -> list[str]:
    """Return an image file's SHA-256 and MD5 as aliases."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return [f"sha256:{hashlib.sha256(data).hexdigest()}", f"md5:{md5}"]


def _is_plain(head: bytes) -> bool:
    """Whether a file is text, which is read here: forms of training data expect other fields."""
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and b"\0" not in head and bool(head)
    return b"\0" not in head and bool(head)


def _of_form(path: Path, form: str, marks: Marks | None, only_test: bool) -> Shown:
    shown, split_of = Shown(), list[str | None]()
    for values in FORMS[form].splits(Source(path, form)) if only_test else ():
        if tests := tests_among(values):
            shown.splits, split_of = tests, values
            break
    for batch in FORMS[form].read(Source(path, form), Wanted(texts=True, data=marks is not None)):
        texts: list[Any] = batch.texts.to_pylist() if batch.texts is not None else [None] * batch.records
        for row in batch.images.to_pylist():
            if split_of and split_of[row["record"]] not in shown.splits:
                continue
            hashes = [f"{kind}:{row[kind]}" for kind in ("sha256", "md5") if row.get(kind)]
            hashes += marks(row["data"]) if marks and row.get("data") else []
            said = [text for text in texts[row["record"] - batch.first] or () if text]
            also = row.get("also") or ()
            names = [*_listed(row.get("name")), *(each for each in also if not is_address(each))]
            urls = [*_listed(row.get("url")), *filter(is_address, also)]
            shown.add(names, urls, hashes, said, row.get("data") == b"")
    return shown


def _of_text(path: Path, head: bytes, marks: Marks | None, only_test: bool) -> Shown:
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    shown = Shown()
    if begins in (b"{", b"["):
        with open_packed(path) as file:
            data = file.read()
        records: Iterable[dict[str, Any]] = records_of(data, path)
        if only_test:
            records, shown.splits = of_test_splits(records)
    elif _is_table(path, head):
        records = rows_of(path)
        if only_test and split_field(header(head)):
            records, shown.splits = of_test_splits(records)
    else:
        return _of_list(path)
    loose = _Loose()
    for record in records:
        for each in apart(record):
            _add(shown, each, marks, loose)
    if marks and loose.fields:
        _take_loose(shown, loose, marks)
    return shown


@dataclass
class _Loose:
    """What a field of pictures may hold beside them.

    Attributes:
        fields: fields in which a picture stands, in base64.
        values: rows with nothing but one short text, or none, in such a field: the row, the field and the text.
        indexes: what records are called, by which VLMEvalKit names the record whose picture is shown again.
    """

    fields: set[str] = field(default_factory=set)
    values: list[tuple[int, str, str]] = field(default_factory=list)
    indexes: set[str] = field(default_factory=set)


def _take_loose(shown: Shown, loose: _Loose, marks: Marks) -> None:
    """Take short texts in a field of pictures for pictures, which are damaged, or for the index of another record."""
    again = set()
    values = [each for each in loose.values if each[1] in loose.fields]
    is_name = keys_of(pa.array([value for _, _, value in values], pa.string())).keys.is_valid().to_pylist()
    for (row, _, value), is_known in zip(values, is_name, strict=True):
        if value in loose.indexes:
            again.add(row)
        elif not (is_known or "." in value or value.isdigit()):  # names end in what they are, or are numbers
            shown.names[row] = []
            data = _unpacked(value)
            shown.hashes[row] = marks(data) if data else []
            shown.damaged[row] = not data
    columns: tuple[list[Any], ...] = (shown.names, shown.urls, shown.hashes, shown.texts, shown.damaged)
    for column in columns:
        column[:] = [each for row, each in enumerate(column) if row not in again]


def _add(shown: Shown, record: dict[str, Any], marks: Marks | None, loose: _Loose) -> None:
    """Add the images of one record."""
    texts = [text for name in TEXT_FIELDS if name in record for text in texts_of(record[name])]
    urls = [url for name in URL_FIELDS for url in _listed(record.get(name))]
    several = record.get("images")
    if isinstance(several, list) and len(several) > 1:
        for value in several:
            _add(shown, {"image": value, "texts": texts}, marks, loose)
        return
    if (index := record.get("index")) is not None:
        loose.indexes.add(str(index))
    names: list[str] = []
    hashes: list[str] = []
    of_field: list[tuple[str, str]] = []
    is_damaged = False
    for name in NAME_FIELDS:
        for value in record[name] if isinstance(record.get(name), list) else [record.get(name)]:
            if isinstance(value, dict):
                value = value.get("path") or value.get("file_name") or value.get("bytes")
            if isinstance(value, str) and (len(value) > _LONGEST or _PICTURE.match(value)):
                data = _unpacked(value)
                loose.fields.add(name)
                is_damaged |= not data
                hashes += marks(data) if marks and data else []
            elif isinstance(value, str) or (type(value) is int and abs(value) < _LARGEST):
                names.append(str(value))
                of_field.append((name, str(value)))
    names += [record["id"]] if not names and isinstance(record.get("id"), str) else []
    has_image = names or urls or hashes or any(name in record for name in NAME_FIELDS)
    if has_image and not (urls or hashes or is_damaged or len(of_field) > 1):
        of_field = of_field or [(name, "") for name in NAME_FIELDS if name in record][:1]
        loose.values += [(len(shown), *each) for each in of_field]
    if has_image:
        shown.add(names, urls, hashes, [*texts, *record.get("texts", ())], is_damaged and not hashes)


def _unpacked(text: str) -> bytes:
    """Return the picture in base64, as some write it: with line ends, without padding, for addresses; else nothing."""
    packed = "".join((text.partition(",")[2] or text).split()).translate(_OF_ADDRESSES).rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _of_list(path: Path) -> Shown:
    shown = Shown()
    with open_packed(path) as file:
        for number, raw in enumerate(file, 1):
            try:
                words = raw.decode("utf-8-sig").split("#")[0].split()
            except UnicodeDecodeError as error:
                where = f"{path}:{number}"
                raise DataError("is neither a list of names nor a form that is known", where=where) from error
            if words:
                shown.add([words[0]], [], [], [])
    return shown


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) and value else []
