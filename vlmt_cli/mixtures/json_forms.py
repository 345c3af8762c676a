"""Records in JSON, an array or lines: LLaVA's form, the messages forms, and any other that names images.

LLaVA (the DPO form has prompt, chosen and rejected; a list of records packs them into one)
    {"id": "000000033471", "image": "coco/train2017/000000033471.jpg", "conversations": [{"from": "human", ...}]}
messages (LLaMA-Factory, ms-swift, OpenAI)
    {"messages": [{"role": "user", "content": "<image>Who are they?"}, ...], "images": ["mllm_demo_data/1.jpg"]}
    {"query": "<img>https://.../demo.jpeg</img>55555", "response": "66666"}
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;..."}}]}
records (POPE, and lists of images with their ids)
    {"question_id": 1, "image": "COCO_val2014_000000310196.jpg", "text": "Is there a snowboard?", "label": "yes"}

All are read alike, so that a record of another form among them is read, too. Of a key that stands twice in a record the
last counts, as for Python. In lines a damaged record is counted, and kept when the file is written back; an array with
a damaged record is refused, since no reader of JSON would take it.
"""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.words import listed, quoted
from vlmt_cli.mixtures.batch import Batch, Form, Source, Wanted
from vlmt_cli.mixtures.json_images import FIELDS, TURN_FIELDS
from vlmt_cli.mixtures.json_records import BOM, LINES, Window, windows
from vlmt_cli.mixtures.json_rows import Rows
from vlmt_cli.mixtures.json_writing import write
from vlmt_cli.mixtures.plain_records import PLAIN

_RECORDS = 1 << 15
"""Records of a batch, at least."""
_KEY = re.compile(rb'"([A-Za-z_]\w*)"\s*:')
_LLAVA = {b"conversations", b"conversation", b"chosen", b"model"}
_MESSAGES = {b"messages", b"query", b"response"}


def read(source: Source, wanted: Wanted) -> Iterator[Batch]:
    """Read the records of a file.

    Raises:
        DataError: it is not JSON, or no record has a field that could name an image.
    """
    is_known, said = False, set[str]()
    fields = tuple(name for name in source.fields if not _is_known(name))
    rows, only = Rows(wanted, fields=fields), None
    for window in windows(source.path, None if wanted.texts and wanted.texts_of is None else PLAIN):
        if window.first == 0 and not window.is_array and len(window) == 1:
            only = bytes(window.records[0])
        rows.add_window(window)
        if rows.damaged and (window.is_array or (window.first == 0 and len(rows.damaged) == len(window))):
            bad = rows.damaged[0]
            where = f"{source.path}: record {bad.record}"
            raise DataError(bad.reason, where=where, todo="correct it, or get the file again")
        if not is_known:
            said = keys_of(window)
            is_known = bool(rows.names or any(map(_is_known, said)))
        if len(rows.ids) >= _RECORDS:
            yield rows.batch()
            rows = Rows(wanted, window.first + len(window), fields=fields)
    if only is not None and len(rows.ids) == 1 and rows.first == 0:
        _refuse_wrapped(only, source.path)
    if rows.ids:
        yield rows.batch()
    if not (said or is_known or rows.damaged) and rows.first + len(rows.ids) > 0:
        raise DataError("has records without a field", where=source.path, todo="give the file that has the records")
    if said and not is_known:
        keys = listed([quoted(key) for key in sorted(said)[:8]])
        todo = "name the field of the images as one of image, images, image_path, file_name, url, image_id"
        raise DataError(f"names images in no known field; its records have {keys}", where=source.path, todo=todo)


def _refuse_wrapped(text: bytes, path: Path) -> None:
    """Refuse a file that is one object, in a field of which, or under whose names, all records stand."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    if not isinstance(value, dict) or path.name.removesuffix(".gz").endswith(LINES) or any(map(_is_known, value)):
        return
    field = next((key for key, part in value.items() if _are_records(part)), None)
    if field is None and not _are_records(value):
        return
    what = f"is one object, whose field {quoted(field)} holds the records" if field is not None else (
        f"is one object, which holds each record under a name, such as {quoted(next(iter(value)))}")  # fmt: skip
    within = f".[{json.dumps(field)}][]" if field is not None else ".[]"
    todo = f"write a record a line: jq -c {shlex.quote(within)} {shlex.quote(str(path))} > records.jsonl"
    raise DataError(what, where=path, todo=todo)


def _are_records(value: object) -> bool:
    """Whether a list's parts, or what stands under an object's names, are objects with fields that are known."""
    parts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        return False
    return any(_is_known(key) for part in parts for key in part)


def _is_known(field: str) -> bool:
    return FIELDS[field] is not None or field in TURN_FIELDS


def keys_of(window: Window) -> set[str]:
    """Return the fields of the first record of a window; what is nested in them does not count."""
    try:
        value = msgspec.json.decode(window.records[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {key.decode() for key in _KEY.findall(bytes(window.records[0][:65536]))}
    parts = value if isinstance(value, list) else [value]
    return {key for part in parts if isinstance(part, dict) for key in part}


def is_llava(path: Path, head: bytes) -> bool:
    """Whether a file begins with records that have conversations."""
    return bool(_keys(path, head) & _LLAVA)


def is_messages(path: Path, head: bytes) -> bool:
    """Whether a file begins with records that have messages."""
    return bool(_keys(path, head) & _MESSAGES)


def is_records(path: Path, head: bytes) -> bool:
    """Whether a file begins with a record, whatever is in it."""
    return _keys(path, head) != {b""} and _begins(path, head)


def _keys(path: Path, head: bytes) -> set[bytes]:
    return set(_KEY.findall(head)) if _begins(path, head) else set()


def _begins(path: Path, head: bytes) -> bool:
    head = head.removeprefix(BOM).lstrip()
    return not path.is_dir() and (head.startswith(b"{") or re.match(rb"\[[\[\s]*[{\]]", head) is not None)


LLAVA = Form("LLaVA", is_llava, read, write, takes_spans=True)
MESSAGES = Form("messages", is_messages, read, write, takes_spans=True)
RECORDS = Form("records in JSON", is_records, read, write, takes_spans=True)
