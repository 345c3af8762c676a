"""Which images a record in JSON shows, whatever the field is called, and what it says."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from vlmt_cli.base.image_names import EMBEDDED
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.image_fields import (
    IDS,
    IMAGES,
    MD5,
    NAMES,
    SHA256,
    URLS,
    Field,
    field_of,
    is_official,
)
from vlmt_cli.mixtures.json_image import (
    Image,
    checked,
    image_of,
    joined,
    text_of,
    whole,
)
from vlmt_cli.mixtures.json_values import as_value

OWN_IDS = ("id", "question_id", "questionId", "uid")
_TURNS = ("conversations", "messages", "conversation")
_SAID = (
    *("query", "response", "history", "prompt", "chosen", "rejected", "rejected_response"),
    *("text", "caption", "question", "answer", "sent", "expression", "instruction", "input", "output", "label"),
)
_VIDEOS = ("video", "videos")
_INSIDE = ("value", "data", "source", "bytes")
"""Where the image itself may stand within the object that is an image."""
ESCAPED_MARK = rb"\u003"
"""How every ``<`` begins that an encoder has escaped; those that escape it escape all."""
_SHOWING = (*_TURNS, "history", "query", "prompt", "chosen", "rejected", "instruction", "input")
TURN_FIELDS = (*_TURNS, *_VIDEOS, "query", "response", "chosen", "prompt", "instruction", "output")

_PAIR = re.compile(r"((?:train|dev|test[12])-\d+-\d+)-\d+", re.ASCII)
_RAW = (*_TURNS, *_SAID)
TEXT_FIELDS = frozenset(
    (*_RAW, *OWN_IDS, SHA256, MD5, "content", "value", "user", "assistant", "from", "role", "model")
)
"""Fields that hold what is said and what is meant by it, and no image as long as it is a text."""
_SHOWS, _PAIRS = "shows", "pairs"
_HASHES = {SHA256: 64, MD5: 32}
_OF_IMAGES = (IMAGES, NAMES, URLS, IDS, SHA256, MD5)

Record = dict[str, Any]
"""A record's fields by their names; what stands in them stays JSON until it is asked for."""
_DECODER = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[dict[str, msgspec.Raw]])


class _Fields(dict[str, Field | None]):
    """What fields say of images, by their names; each name is looked at once."""

    def __missing__(self, name: str) -> Field | None:
        if len(self) > _MOST_NAMES:
            self.clear()
        kind = _SHOWS if name in _SHOWING else _PAIRS if name == "identifier" else None
        self[name] = Field(kind, "") if kind else field_of(name)
        return self[name]


_MOST_NAMES = 10_000
FIELDS = _Fields()


def decoded(text: bytes | memoryview) -> list[Record]:
    """Return a record, or those that are packed in it.

    Raises:
        ValueError: it is not JSON, or neither an object nor a list of objects.
    """
    try:
        record = _DECODER.decode(text)
        return record if isinstance(record, list) else [record]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        value = json.loads(bytes(text))
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON ({printable(error)})") from error
    return [_record(part) for part in _flat(value)]


def packed_in(text: bytes) -> list[Any]:
    """Return the values of a record, or of those that are packed in it, with all their fields."""
    try:
        return list(_flat(msgspec.json.decode(text)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return list(_flat(json.loads(text)))
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def decoded_names(text: bytes | memoryview) -> str:
    """Return a name or an id of a list, written out.

    Raises:
        ValueError: it is neither.
    """
    value = json.loads(bytes(text))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"is neither a name nor an id: '{printable(json.dumps(value))}'")
    return checked(text_of(value))


def texts_in(record: Record) -> list[str]:
    """Return what a record says, turn by turn."""
    return [text for name in _RAW if name in record for text in _strings(as_value(record[name]))]


def own_id(record: Record) -> str | None:
    """Return a record's own id; None where it has none."""
    for name in OWN_IDS:
        if name in record and (value := as_value(record[name])) is not None:
            return text_of(value)
    return None


def videos_in(record: Record) -> int:
    """Count the videos that a record shows."""
    values = [as_value(record[name]) for name in _VIDEOS if name in record]
    return sum(len(value) if isinstance(value, list) else value is not None for value in values)


def images_in(record: Record, wants_data: bool = False) -> list[Image]:
    """Return the images that a record shows.

    Raises:
        ValueError: a name is longer than any could be, or not text.
    """
    try:
        fields: list[tuple[Field, Any]] = []
        said: dict[str, Any] = {}
        for name, raw in record.items():
            field = FIELDS[name]
            if field is None:
                continue
            if field.kind is _SHOWS:
                if names_images(raw):
                    said[name] = raw
            elif field.kind is _PAIRS:
                fields += _pair(as_value(raw))
            else:
                fields.append((field, as_value(raw)))
        images = _shown(fields, wants_data) if fields else []
        for name in sorted(said, key=_SHOWING.index):
            images += [image for image in _in_said(as_value(said[name]), wants_data) if image not in images]
        return images
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def names_images(turns: Any) -> bool:
    """Whether turns, as JSON, may name images themselves."""
    if not isinstance(turns, msgspec.Raw):
        return True
    # Few turns have more than their list's bracket and the mark <image>; single letters are counted much faster.
    text = bytes(turns)
    is_nested = text.count(b"[") > 1 or b'": {' in text or b'":{' in text
    if is_nested and b'"image' in text:
        return True
    first = text.find(b"<")
    if first < 0:
        return ESCAPED_MARK in text
    return not (text.startswith(b"<image", first) and text.count(b"<") == 1) and b"<img>" in text


def _pair(value: Any) -> list[tuple[Field, Any]]:
    """Return the names of NLVR2's two images by the identifier of its record."""
    match = _PAIR.fullmatch(value) if isinstance(value, str) else None
    sides = enumerate(("left", "right")) if match else ()
    return [(Field(NAMES, side), f"{match[1]}-img{number}") for number, side in sides if match]


def _shown(fields: list[tuple[Field, Any]], wants_data: bool) -> list[Image]:
    """Return the images that some fields say: those of each slot, and what stands beside them."""
    if len(fields) == 1 and fields[0][0].kind is IMAGES:
        return images_of(fields[0][1], wants_data)
    slots: dict[str, tuple[list[Image], list[tuple[str, Any]]]] = {}
    for (kind, slot), value in fields:
        if slot not in slots:
            slots[slot] = [], []
        if kind is IMAGES:
            slots[slot][0].extend(images_of(value, wants_data))
        elif value is not None and value != "" and value is not True and value is not False:
            slots[slot][1].append((kind, value))
    if len(slots) == 1:
        return _with(*slots.popitem()[1], wants_data)
    images, beside = slots.get("", ([], []))
    if beside and not images:
        # Of which of several images it is said cannot be told.
        shown = [each for slot, each in slots.items() if slot and (each[0] or each[1])]
        if len(shown) == 1 and len(shown[0][0]) <= 1:
            shown[0][1].extend(beside)
        if shown:
            beside.clear()
    return [image for each in slots.values() for image in _with(*each, wants_data)]


def _with(images: list[Image], beside: list[tuple[str, Any]], wants_data: bool) -> list[Image]:
    """Give images what stands beside them: a list's values by position, a single value where there is one image."""
    if not beside:
        return images
    for kind, values in beside:
        if isinstance(values, list):
            said = [_said(kind, value, wants_data) for value in values]
            images = [joined(image, said[n]) if n < len(said) else image for n, image in enumerate(images)]
            images += [each for each in said[len(images) :] if each is not None]
    if len(images) > 1:
        return images
    every = [each for kind, value in beside if type(value) is not list and (each := _said(kind, value, wants_data))]
    if len(every) > 1 and not images:
        # A name that says by itself which image it is comes first.
        every.sort(key=lambda each: not (each.name and is_official(each.name)))
    image = images[0] if images else None
    for each in every:
        image = each if image is None else joined(image, each)
    return [] if image is None else [image]


def _said(kind: str, value: Any, wants_data: bool) -> Image | None:
    """Return what a value beside an image says of it; None where that is nothing."""
    if kind in _HASHES:
        is_hash = isinstance(value, str) and len(value) == _HASHES[kind]
        return Image(**{kind: value.lower()}) if is_hash else None
    if type(value) is str:
        return image_of(value, wants_data)
    if type(value) is int:
        return Image(str(value))
    images = images_of(value, wants_data)
    return images[0] if images else None


def images_of(value: Any, wants_data: bool) -> list[Image]:
    """Return the images of a field: names, addresses, data URIs, Hugging Face's structs, and lists of them."""
    if isinstance(value, str):
        return [image_of(value, wants_data)] if value else []
    if isinstance(value, list):
        return [image for part in value for image in images_of(part, wants_data)]
    if isinstance(value, dict):
        fields = [(field, part) for name, part in value.items() if (field := FIELDS[name]) and field.kind in _OF_IMAGES]
        given = [value[name] for name in _INSIDE if value.get(name)]
        given = [
            part for part in given if not (fields and isinstance(part, str)) or part.startswith(("data:", *EMBEDDED))
        ]
        inside = [(Field(IMAGES, ""), part) for part in given[:1]]
        return _shown([*inside, *fields], wants_data) if inside or fields else []
    if value is None or isinstance(value, bool):
        return []
    return [image_of(text_of(value), wants_data)]


def _in_said(value: Any, wants_data: bool) -> Iterator[Image]:
    """Give the images that turns, a text, or a history of texts name themselves."""
    if isinstance(value, list) and any(isinstance(turn, dict) for turn in value):
        yield from _in_turns(value, wants_data)
    else:
        for text in _strings(value):
            yield from _marked(text, wants_data)


def _in_turns(turns: list[Any], wants_data: bool) -> Iterator[Image]:
    """Give the images that turns name themselves: blocks of content, and ``<img>`` marks."""
    for turn in turns:
        if not isinstance(turn, dict):
            continue
        contents = [turn.get(key) for key in ("content", "value")]
        for part in (part for content in contents for part in (content if isinstance(content, list) else [content])):
            if isinstance(part, str):
                yield from _marked(part, wants_data)
            elif isinstance(part, dict) and str(part.get("type", "image")).startswith(("image", "input_image")):
                yield from images_of(part, wants_data)


def _marked(text: str, wants_data: bool) -> list[Image]:
    """Return what stands between ``<img>`` and ``</img>``."""
    return [
        image_of(part.partition("</img>")[0].strip(), wants_data)
        for part in text.split("<img>")[1:]
        if "</img>" in part
    ]


def _record(value: Any) -> Record:
    if not isinstance(value, dict):
        raise ValueError(f"is neither an object nor a list of objects: '{printable(json.dumps(value))}'")
    return value


def _flat(value: Any) -> Iterator[Any]:
    """Give the records that are packed in lists, however deep."""
    if isinstance(value, list):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _strings(value: Any) -> list[str]:
    """Return the texts of a turn, a list of turns, or a text; not who speaks."""
    if isinstance(value, str):
        return [whole(value)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    if isinstance(value, dict):
        return [text for key in ("content", "value", "text", "user", "assistant") for text in _strings(value.get(key))]
    return []
