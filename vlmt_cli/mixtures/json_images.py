"""Which images a record in JSON shows, whatever the field is called, and what it says."""

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import msgspec

from vlmt_cli.base.image_names import EMBEDDED
from vlmt_cli.base.words import count, printable
from vlmt_cli.mixtures.rows import LONGEST

_LISTS = ("image", "images")
_NAMES = ("image_path", "img_path", "image_file", "file_name", "filename", "img", "image_name", "image_source")
_URLS = ("image_url", "url", "URL", "coco_url", "flickr_url")
_IDS = ("image_id", "imageId", "img_id", "cocoid")
OWN_IDS = ("id", "question_id", "questionId", "uid")
_TURNS = ("conversations", "messages", "conversation")
_SAID = (
    *("query", "response", "history", "prompt", "chosen", "rejected", "rejected_response"),
    *("text", "caption", "question", "answer", "sent", "expression", "instruction", "input", "output", "label"),
)
_VIDEOS = ("video", "videos")
_INSIDE = ("path", "image", "url", "image_url", "file_name", "value", "data")
_HASHES = ("sha256", "image_sha256", "md5", "image_md5")
IMAGE_FIELDS = (*_LISTS, *_NAMES, *_URLS, *_IDS)
ESCAPED_MARK = rb"\u003"
"""How every ``<`` begins that an encoder has escaped; those that escape it escape all."""
_SHOWING = (*_TURNS, "history", "query", "prompt", "chosen", "rejected", "instruction", "input")
TURN_FIELDS = (*_TURNS, *_VIDEOS, "query", "response", "chosen", "prompt", "instruction", "output")

SHORTEST_EMBEDDED = 100
_RAW = (*_TURNS, *_SAID)
TEXT_FIELDS = frozenset((*_RAW, *OWN_IDS, *_HASHES, "content", "value", "user", "assistant", "from", "role", "model"))
"""Fields that hold what is said and what is meant by it, and no image as long as it is a text."""
Record: Any = msgspec.defstruct(
    "Record",
    [(name, Any, None) for name in (*IMAGE_FIELDS, *OWN_IDS, *_VIDEOS, *_HASHES)]
    + [(name, msgspec.Raw, msgspec.UNSET) for name in _RAW],
    gc=False,
)
"""The fields of a record that are read; what is said in it stays JSON until it is asked for."""


_DECODER = msgspec.json.Decoder(Record | list[Record])
Image = tuple[str | None, str | None, str | None, str | None, bytes | None]
"""Name, address, SHA-256, MD5, and the file."""


def decoded(text: bytes | memoryview) -> list[Any]:
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
    return [_from_value(part) for part in _flat(value)]


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
    return _checked(text_of(value))


def texts_in(record: Any) -> list[str]:
    """Return what a record says, turn by turn."""
    return [text for name in _RAW for text in _strings(_value(getattr(record, name)))]


def images_in(record: Any, wants_data: bool = False) -> list[Image]:
    """Return the images that a record shows.

    Raises:
        ValueError: a name is longer than any could be, or not text.
    """
    images = []
    for value in (record.image, record.images):
        if value is not None:
            images += _images(value, wants_data)
    for name in _SHOWING:
        said = getattr(record, name)
        if said is not msgspec.UNSET and names_images(said):
            images += [image for image in _in_said(_value(said), wants_data) if image not in images]
    return _beside(record, images)


def names_images(turns: Any) -> bool:
    """Whether turns, as JSON, may name images themselves."""
    if not isinstance(turns, msgspec.Raw):
        return True
    # Few turns have more than their list's bracket and the mark <image>; single letters are counted much faster.
    text = bytes(turns)
    if text.count(b"[") > 1 and b'"image' in text and (b'"image"' in text or b'"image_url"' in text):
        return True
    first = text.find(b"<")
    if first < 0:
        return ESCAPED_MARK in text
    return not (text.startswith(b"<image", first) and text.count(b"<") == 1) and b"<img>" in text


def _beside(record: Any, images: list[Image]) -> list[Image]:
    """Give a single image, or a record without one, what stands beside it."""
    if len(images) > 1:
        return images
    url = sha256 = md5 = None
    for name in _URLS:
        value = getattr(record, name)
        if isinstance(value, str) and value:
            url = _checked(value)
            break
    for value in (record.sha256, record.image_sha256):
        sha256 = sha256 or (value.lower() if isinstance(value, str) and len(value) == 64 else None)
    for value in (record.md5, record.image_md5):
        md5 = md5 or (value.lower() if isinstance(value, str) and len(value) == 32 else None)
    if images:
        if url is None and sha256 is None and md5 is None:
            return images
        had = images[0]
        return [(had[0], had[1] or url, had[2] or sha256, had[3] or md5, had[4])]
    for name in (*_NAMES, *_IDS):
        value = getattr(record, name)
        if value is not None and value != "" and not isinstance(value, list | dict | bool):
            image = image_of(text_of(value), False)
            return [(image[0], image[1] or url, sha256, md5, None)]
    return [(None, url, sha256, md5, None)] if url or sha256 or md5 else []


def _images(value: Any, wants_data: bool) -> list[Image]:
    """Return the images of a field: names, addresses, data URIs, Hugging Face's structs, and lists of them."""
    if isinstance(value, str):
        return [image_of(value, wants_data)] if value else []
    if isinstance(value, list):
        return [image for part in value for image in _images(part, wants_data)]
    if isinstance(value, dict):
        parts = [value[key] for key in _INSIDE if value.get(key)]
        return _images(parts[0], wants_data) if parts else []
    if value is None or isinstance(value, bool):
        return []
    return [image_of(text_of(value), wants_data)]


def image_of(name: str, wants_data: bool) -> Image:
    """Return the image that a name, an address, a data URI or base64 stands for."""
    if ":" in name[:8]:
        if name.startswith(("http://", "https://")):
            return None, _checked(name), None, None, None
        if name.startswith("data:"):
            return _embedded(name, wants_data)
        if name.startswith("file:"):
            name = unquote(urlsplit(name).path)
    if len(name) > SHORTEST_EMBEDDED and name.startswith(EMBEDDED):
        return _embedded(name, wants_data)
    return _checked(name), None, None, None, None


def _embedded(text: str, wants_data: bool) -> Image:
    """Decode a data URI, or base64 alone; its hashes say which file it is. Damaged ones say nothing."""
    head, _, content = text.partition(",") if text.startswith("data:") else (";base64", "", text)
    try:
        is_packed = head.endswith(";base64")
        data = base64.b64decode("".join(content.split()), validate=True) if is_packed else unquote_to_bytes(content)
    except ValueError:
        return None, None, None, None, None
    hashes = hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
    return None, None, *hashes, data if wants_data else None


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
                keys = ("image_url", "image", "value", "url", "path", "source")
                yield from next((_images(part[key], wants_data) for key in keys if part.get(key)), [])


def _marked(text: str, wants_data: bool) -> list[Image]:
    """Return what stands between ``<img>`` and ``</img>``."""
    parts = [part for part in text.split("<img>")[1:] if "</img>" in part]
    return [image_of(part.partition("</img>")[0].strip(), wants_data) for part in parts]


def _checked(name: str) -> str:
    if len(name) > LONGEST:
        raise ValueError(f"its image name has {count(len(name), 'character')}: '{printable(name, 40)}'")
    return name if name.isascii() else _whole(name)


def _whole(text: str) -> str:
    """Return a text that UTF-8 can hold: half a pair of surrogates, which JSON allows, becomes a question mark."""
    return text.encode(errors="replace").decode()


def text_of(value: Any) -> str:
    """Write out an id; floats that are whole numbers, as pandas writes ids, without their point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _whole(value) if isinstance(value, str) else json.dumps(value)


def _from_value(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"is neither an object nor a list of objects: '{printable(json.dumps(value))}'")
    return Record(**{name: value[name] for name in Record.__struct_fields__ if name in value})


def _flat(value: Any) -> Iterator[Any]:
    """Give the records that are packed in lists, however deep."""
    if isinstance(value, list):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _value(raw: Any) -> Any:
    """Decode what was left as JSON."""
    if raw is msgspec.UNSET:
        return None
    if not isinstance(raw, msgspec.Raw):
        return raw
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        try:
            return json.loads(bytes(raw).decode(errors="replace"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is not JSON ({printable(error)})") from error


def _strings(value: Any) -> list[str]:
    """Return the texts of a turn, a list of turns, or a text; not who speaks."""
    if isinstance(value, str):
        return [_whole(value)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    if isinstance(value, dict):
        return [text for key in ("content", "value", "text", "user", "assistant") for text in _strings(value.get(key))]
    return []
