"""Records of benchmarks' files that are text: which fields of them mean what, JSON and TSV, and their test splits."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.json_or_lines import json_or_lines
from vlmt_cli.base.packed import open_packed
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.batch import split_field
from vlmt_cli.mixtures.image_fields import IDS, IMAGES, NAMES, URLS
from vlmt_cli.mixtures.json_images import FIELDS

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
_CALLED = {IMAGES: "image", NAMES: "file_name", URLS: "image_url", IDS: "image_id"}
"""What fields are called here that have other names, by what they say of images."""
_UNTESTED = ("train", "val", "dev", "restval", "minival")


def apart(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a record once for each of its images that has fields of its own, under the names that are known here."""
    own: dict[str, Any] = {}
    others: dict[str, dict[str, Any]] = {}
    has_image = False
    for name, value in record.items():
        field = FIELDS[name]
        if field is None or field.kind not in _CALLED:
            own[name] = value
        elif field.slot:
            others.setdefault(field.slot, {}).setdefault(_CALLED[field.kind], value)
        else:
            own.setdefault(name if name in NAME_FIELDS or name in URL_FIELDS else _CALLED[field.kind], value)
            has_image |= field.kind in (IMAGES, NAMES)
    if not others:
        return [own]
    said = {name: own[name] for name in TEXT_FIELDS if name in own}
    return [*([own] if has_image else []), *({**said, **fields} for fields in others.values())]


def of_test_splits(records: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Return the records of test splits, where they say of which split they are, and these splits; else all."""
    records = list(records)
    for name in split_field(dict.fromkeys(name for record in records for name in record)):
        if tests := tests_among(record.get(name) for record in records):
            return [record for record in records if record.get(name) in tests], tests
    return records, ()


def tests_among(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the splits of records that are of several, of which some are test splits: these; else none."""
    splits = {split for split in values if isinstance(split, str) and split}
    tests = tuple(sorted(split for split in splits if split.lower().startswith("test")))
    others = splits.difference(tests)
    # A field such as subset may say something else.
    return tests if any(split.lower().startswith(_UNTESTED) for split in others) else ()


def records_of(data: bytes, path: Path) -> list[dict[str, Any]]:
    """Return the records of JSON in whichever form: a list, lines, records by id, or COCO's lists side by side."""
    value = json_or_lines(data, path)
    if isinstance(value, dict) and isinstance(value.get("images"), list) and isinstance(value.get("annotations"), list):
        said: dict[Any, list[str]] = {}
        for each in value["annotations"]:
            if isinstance(each, dict) and isinstance(each.get("image_id"), (int, str)):
                said.setdefault(each["image_id"], []).extend(texts_of(each.get("caption")))
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


def header(head: bytes) -> list[str]:
    """Return the names in the first line of a TSV."""
    return head.partition(b"\n")[0].decode("utf-8-sig", "replace").rstrip("\r").split("\t")


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a TSV. Raises a DataError where it is none, or a quotation runs on over other rows."""
    csv.field_size_limit(1 << 30)
    with open_packed(path) as file:
        lines = (line.decode("utf-8-sig" if not number else "utf-8", "replace") for number, line in enumerate(file))
        try:
            reader = csv.DictReader(lines, delimiter="\t")
            tabs, begin = len(reader.fieldnames or ()) - 1, reader.line_num
            for row in reader:
                if reader.line_num - begin > 1 and _runs_on(row.values(), tabs):
                    todo = "close it, or write the mark twice in quotation marks"
                    what = "opens a quotation that runs on over other rows"
                    raise DataError(what, where=f"{path}: line {begin + 1}", todo=todo)
                begin = reader.line_num
                yield row
        except csv.Error as error:
            raise DataError(f"is not a table of tab-separated columns ({printable(error)})", where=path) from error


def _runs_on(values: Iterable[Any], tabs: int) -> bool:
    """Whether lines within a quotation are rows by themselves, or end one and begin another, by their tabs."""
    for place, value in enumerate(values):
        lines = value.rstrip("\n").split("\n") if isinstance(value, str) else []
        if len(lines) > 1:
            first, *inner, last = (line.count("\t") for line in lines)
            ends_one = last > 0 and last in (place, tabs)
            if first == tabs - place and (tabs in inner or ends_one):
                return True
    return False


def texts_of(value: Any) -> list[str]:
    """Return the texts in a field: a string, a list, or records with texts of their own."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in texts_of(each)]
    if isinstance(value, dict):
        return [text for name in TEXT_FIELDS if name in value for text in texts_of(value[name])]
    return []
