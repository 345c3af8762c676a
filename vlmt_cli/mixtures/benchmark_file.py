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
import csv
import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.batch import Source, Wanted
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.names import keys_of, keys_of_addresses

NAME_FIELDS = (
    "image", "images", "file_name", "filename", "image_path", "img_path", "img", "image_name", "image_file",
    "image_source", "image_id", "img_id", "imageId", "imgid", "cocoid", "coco_id", "image_open_images_id",
    "left_image", "right_image",
)  # fmt: skip
URL_FIELDS = ("url", "image_url", "coco_url", "flickr_url", "flickr_original_url", "left_url", "right_url")
TEXT_FIELDS = (
    "question", "text", "sent", "sentence", "sentences", "caption", "captions", "expression", "phrase", "query",
    "hypothesis", "prompt", "raw", "value", "conversations", "answer",
)  # fmt: skip
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
    """

    names: list[list[str]] = field(default_factory=list)
    urls: list[list[str]] = field(default_factory=list)
    hashes: list[list[str]] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    splits: tuple[str, ...] = ()

    def add(self, names: list[str], urls: list[str], hashes: list[str], texts: list[str]) -> None:
        """Add one image."""
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
        only_test: of JSON whose records say their splits, such as Karpathy's or gRefCOCO's, take the test splits alone.

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
        shown = _of_form(path, form, marks) if form else _of_text(path, head, marks, only_test)
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


def _of_form(path: Path, form: str, marks: Marks | None) -> Shown:
    shown = Shown()
    for batch in FORMS[form].read(Source(path, form), Wanted(texts=True, data=marks is not None)):
        texts: list[Any] = batch.texts.to_pylist() if batch.texts is not None else [None] * batch.records
        for row in batch.images.to_pylist():
            hashes = [f"{kind}:{row[kind]}" for kind in ("sha256", "md5") if row.get(kind)]
            hashes += marks(row["data"]) if marks and row.get("data") else []
            said = [text for text in texts[row["record"] - batch.first] or () if text]
            shown.add(_listed(row.get("name")), _listed(row.get("url")), hashes, said)
    return shown


def _of_text(path: Path, head: bytes, marks: Marks | None, only_test: bool) -> Shown:
    begins = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    shown = Shown()
    if begins in (b"{", b"["):
        with open_packed(path) as file:
            data = file.read()
        records: Iterable[dict[str, Any]] = _records(data.removeprefix(b"\xef\xbb\xbf"), path)
        if only_test:
            shown.splits = _test_splits(records)
            records = [record for record in records if not shown.splits or record.get("split") in shown.splits]
    elif _is_table(path, head):
        records = _rows(path)
    else:
        return _of_list(path)
    for record in records:
        _add(shown, record, marks)
    return shown


def _test_splits(records: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """Return the splits of records that are of several, of which some are test splits: these; else none."""
    splits = {split for record in records if isinstance(split := record.get("split"), str)}
    tests = tuple(sorted(split for split in splits if split.lower().startswith("test")))
    return tests if len(tests) < len(splits) else ()


def _add(shown: Shown, record: dict[str, Any], marks: Marks | None) -> None:
    """Add the images of one record."""
    texts = [text for name in TEXT_FIELDS if name in record for text in _texts(record[name])]
    urls = [url for name in URL_FIELDS for url in _listed(record.get(name))]
    several = record.get("images")
    if isinstance(several, list) and len(several) > 1:
        for value in several:
            _add(shown, {"image": value, "texts": texts}, marks)
        return
    names: list[str] = []
    hashes: list[str] = []
    for name in NAME_FIELDS:
        for value in record[name] if isinstance(record.get(name), list) else [record.get(name)]:
            value = value.get("path") or value.get("file_name") if isinstance(value, dict) else value
            if isinstance(value, str) and len(value) > _LONGEST:
                hashes += _unpacked(value, marks) if marks else []
            elif isinstance(value, str) or (type(value) is int and abs(value) < _LARGEST):
                names.append(str(value))
    names += [record["id"]] if not names and isinstance(record.get("id"), str) else []
    has_image = names or urls or hashes or any(name in record for name in NAME_FIELDS)
    if has_image:
        shown.add(names, urls, hashes, [*texts, *record.get("texts", ())])


def _unpacked(text: str, marks: Marks) -> list[str]:
    try:
        return marks(base64.b64decode(text.partition(",")[2] or text, validate=True))
    except (binascii.Error, ValueError):
        return []


def _records(data: bytes, path: Path) -> list[dict[str, Any]]:
    """Return the records of JSON in whichever form: a list, lines, records by id, or COCO's lists side by side."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as whole:
        try:
            value = msgspec.json.Decoder().decode_lines(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise DataError(f"is not valid JSON ({printable(whole)})", where=path) from whole
    if isinstance(value, dict) and isinstance(value.get("images"), list) and isinstance(value.get("annotations"), list):
        said: dict[Any, list[str]] = {}
        for each in value["annotations"]:
            if isinstance(each, dict) and isinstance(each.get("image_id"), (int, str)):
                said.setdefault(each["image_id"], []).extend(_texts(each.get("caption")))
        value = [
            {"image_id": each.get("id"), **each, "texts": said.get(each.get("id"), [])}
            if isinstance(each.get("id"), (int, str)) else each
            for each in value["images"]
            if isinstance(each, dict)
        ]  # fmt: skip
    if isinstance(value, dict) and any(isinstance(value.get(name), (str, int)) for name in NAME_FIELDS):
        return [value]
    if isinstance(value, dict):
        lists = [part for part in value.values() if isinstance(part, list) and part and isinstance(part[0], dict)]
        value = lists[0] if len(lists) == 1 else list(value.values())
    flat = [each for part in value for each in (part if isinstance(part, list) else [part])]
    return [each for each in flat if isinstance(each, dict)] or [
        {"image": each} for each in flat if isinstance(each, str)
    ]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(1 << 30)
    with open_packed(path) as file:
        lines = (line.decode("utf-8-sig" if not number else "utf-8", "replace") for number, line in enumerate(file))
        try:
            yield from csv.DictReader(lines, delimiter="\t")
        except csv.Error as error:
            raise DataError(f"is not a table of tab-separated columns ({printable(error)})", where=path) from error


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


def _texts(value: Any) -> list[str]:
    """Return the texts in a field: a string, a list, or records with texts of their own."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    if isinstance(value, dict):
        return [text for name in TEXT_FIELDS if name in value for text in _texts(value[name])]
    return []
