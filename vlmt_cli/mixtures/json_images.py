"""Which images a record in JSON shows, whatever the field is called, and what it says."""

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import msgspec
import pyarrow as pa

from vlmt_cli.base.words import count, printable
from vlmt_cli.mixtures.batch import IMAGES, Batch, Damaged, Wanted
from vlmt_cli.mixtures.json_records import Window
from vlmt_cli.mixtures.rows import LONGEST

_LISTS = ("image", "images")
_NAMES = ("image_path", "img_path", "image_file", "file_name", "filename", "img", "image_name", "image_source")
_URLS = ("image_url", "url", "URL", "coco_url", "flickr_url")
_IDS = ("image_id", "imageId", "img_id", "cocoid")
_OWN_IDS = ("id", "question_id", "questionId", "uid")
_TURNS = ("conversations", "messages", "conversation")
_SAID = (
    *("query", "response", "history", "prompt", "chosen", "rejected", "rejected_response"),
    *("text", "caption", "question", "answer", "sent", "expression", "instruction", "input", "output", "label"),
)
_VIDEOS = ("video", "videos")
_HASHES = ("sha256", "image_sha256", "md5", "image_md5")
IMAGE_FIELDS = (*_LISTS, *_NAMES, *_URLS, *_IDS)
TURN_FIELDS = (*_TURNS, *_VIDEOS, "query", "response", "chosen", "prompt")

_EMBEDDED = ("/9j/", "iVBORw0KGgo", "UklGR", "R0lGOD")
"""With what the base64 of a JPEG, a PNG, a WebP or a GIF begins."""
_SHORTEST_EMBEDDED = 100
_RAW = (*_TURNS, *_SAID)
Record: Any = msgspec.defstruct(
    "Record",
    [(name, Any, None) for name in (*IMAGE_FIELDS, *_OWN_IDS, *_VIDEOS, *_HASHES)]
    + [(name, msgspec.Raw, msgspec.UNSET) for name in _RAW],
    gc=False,
)
"""The fields of a record that are read; what is said in it stays JSON until it is asked for."""


class _Plain(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What nearly all records of LLaVA's form are; read apart, since that is fast."""

    id: str | int | None = None
    image: str | None = None
    conversations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model: str | None = None


PLAIN: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[_Plain])
_DECODER = msgspec.json.Decoder(Record | list[Record])
_Image = tuple[str | None, str | None, str | None, str | None, bytes | None]
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


def decoded_names(text: bytes | memoryview) -> str:
    """Return a name or an id of a list, written out.

    Raises:
        ValueError: it is neither.
    """
    value = json.loads(bytes(text))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"is neither a name nor an id: '{printable(json.dumps(value))}'")
    return _checked(_text(value))


def texts_in(record: Any) -> list[str]:
    """Return what a record says, turn by turn."""
    return [text for name in _RAW for text in _strings(_value(getattr(record, name)))]


@dataclass
class Rows:
    """The records and images of a batch that is being read."""

    wanted: Wanted
    first: int = 0
    record: list[int] = field(default_factory=list)
    position: list[int] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    others: list[tuple[int, _Image]] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    texts: list[list[str]] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    videos: int = 0

    def add_window(self, window: Window) -> None:
        """Add the records of a window; those that cannot be read are counted as damaged."""
        if window.quick is None:
            for number, text in enumerate(window.records, window.first):
                self._add(number, text)
        else:
            record, position, names, ids = self.record, self.position, self.names, self.ids
            for number, each in enumerate(window.quick, window.first):
                name = each.image
                if not _is_plain(name) or (
                    each.conversations is not msgspec.UNSET and _names_images(each.conversations)
                ):
                    self._add(number, window.records[number - window.first])
                    continue
                ids.append(each.id if each.id is None else str(each.id))
                if name is not None:
                    record.append(number)
                    position.append(0)
                    names.append(name)

    def _add(self, number: int, text: bytes | memoryview) -> None:
        images: list[_Image] = []
        own, said = None, []
        try:
            for part in decoded(text):
                images += images_in(part, self.wanted.data)
                self.videos += sum(len(v) if isinstance(v, list) else v is not None for v in (part.video, part.videos))
                if own is None:
                    own = next((v for name in _OWN_IDS if (v := getattr(part, name)) is not None), None)
                if self.wanted.texts:
                    said += texts_in(part)
        except ValueError as error:
            images = []
            self.damaged.append(Damaged(number, str(error)))
        self.ids.append(None if own is None else _text(own))
        self.texts.append(said)
        self.record += [number] * len(images)
        self.position += range(len(images))
        self.others += [(row, image) for row, image in enumerate(images, len(self.names)) if any(image[1:])]
        self.names += [image[0] for image in images]

    def batch(self) -> Batch:
        """Return the batch of the records that were added."""
        arrays = {
            "record": pa.array(self.record, pa.int64()),
            "position": pa.array(self.position, pa.int32()),
            "name": pa.array(self.names, pa.string()),
        }
        for number, kind in enumerate(("url", "sha256", "md5", "data") if self.others else (), 1):
            values: list[str | bytes | None] = [None] * len(self.names)
            for row, image in self.others:
                values[row] = image[number]
            if any(value is not None for value in values):
                arrays[kind] = pa.array(values, IMAGES.field(kind).type)
        return Batch(
            self.first,
            len(self.ids),
            pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays)),
            pa.array(self.ids, pa.string()),
            pa.array(self.texts, pa.list_(pa.string())) if self.wanted.texts else None,
            videos=self.videos,
            damaged=tuple(self.damaged),
        )


def images_in(record: Any, wants_data: bool = False) -> list[_Image]:
    """Return the images that a record shows.

    Raises:
        ValueError: a name is longer than any could be, or not text.
    """
    images = []
    for value in (record.image, record.images):
        if value is not None:
            images += _images(value, wants_data)
    for name in _TURNS[:2]:
        turns = getattr(record, name)
        if turns is not msgspec.UNSET and _names_images(turns):
            images += [image for image in _in_turns(_value(turns), wants_data) if image not in images]
    if record.query is not msgspec.UNSET and _names_images(record.query):
        images += [image for text in _strings(_value(record.query)) for image in _marked(text, wants_data)]
    return _beside(record, images)


def _is_plain(name: str | None) -> bool:
    return name is None or (0 < len(name) <= _SHORTEST_EMBEDDED and ":" not in name[:8])


def _names_images(turns: Any) -> bool:
    if not isinstance(turns, msgspec.Raw):
        return True
    # Few turns have more than their list's bracket and the mark <image>; single letters are counted much faster.
    text = bytes(turns)
    if text.count(b"[") > 1 and b'"image' in text and (b'"image"' in text or b'"image_url"' in text):
        return True
    first = text.find(b"<")
    if first < 0:  # some encoders escape it, and then always
        return b"\\u003" in text
    return not (text.startswith(b"<image", first) and text.count(b"<") == 1) and b"<img>" in text


def _beside(record: Any, images: list[_Image]) -> list[_Image]:
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
            image = _image(_text(value), False)
            return [(image[0], image[1] or url, sha256, md5, None)]
    return [(None, url, sha256, md5, None)] if url or sha256 or md5 else []


def _images(value: Any, wants_data: bool) -> list[_Image]:
    """Return the images of a field: names, addresses, data URIs, Hugging Face's structs, and lists of them."""
    if isinstance(value, str):
        return [_image(value, wants_data)] if value else []
    if isinstance(value, list):
        return [image for part in value for image in _images(part, wants_data)]
    if isinstance(value, dict):
        parts = [value[key] for key in ("path", "image", "url", "image_url", "file_name", "value") if value.get(key)]
        return _images(parts[0], wants_data) if parts else []
    if value is None or isinstance(value, bool):
        return []
    return [_image(_text(value), wants_data)]


def _image(name: str, wants_data: bool) -> _Image:
    if ":" in name[:8]:
        if name.startswith(("http://", "https://")):
            return None, _checked(name), None, None, None
        if name.startswith("data:"):
            return _embedded(name, wants_data)
        if name.startswith("file:"):
            name = unquote(urlsplit(name).path)
    if len(name) > _SHORTEST_EMBEDDED and name.startswith(_EMBEDDED):
        return _embedded(name, wants_data)
    return _checked(name), None, None, None, None


def _embedded(text: str, wants_data: bool) -> _Image:
    """Decode a data URI, or base64 alone; its hashes say which file it is. Damaged ones say nothing."""
    head, _, content = text.partition(",") if text.startswith("data:") else (";base64", "", text)
    try:
        is_packed = head.endswith(";base64")
        data = base64.b64decode("".join(content.split()), validate=True) if is_packed else unquote_to_bytes(content)
    except ValueError:
        return None, None, None, None, None
    hashes = hashlib.sha256(data).hexdigest(), hashlib.md5(data, usedforsecurity=False).hexdigest()
    return None, None, *hashes, data if wants_data else None


def _in_turns(turns: Any, wants_data: bool) -> Iterator[_Image]:
    """Give the images that turns name themselves: blocks of content, and ``<img>`` marks."""
    for turn in turns if isinstance(turns, list) else []:
        if not isinstance(turn, dict):
            continue
        contents = [turn.get(key) for key in ("content", "value")]
        for part in (part for content in contents for part in (content if isinstance(content, list) else [content])):
            if isinstance(part, str):
                yield from _marked(part, wants_data)
            elif isinstance(part, dict) and str(part.get("type", "image")).startswith(("image", "input_image")):
                keys = ("image_url", "image", "value", "url", "path", "source")
                yield from next((_images(part[key], wants_data) for key in keys if part.get(key)), [])


def _marked(text: str, wants_data: bool) -> list[_Image]:
    """Return what stands between ``<img>`` and ``</img>``."""
    return [
        _image(part.partition("</img>")[0].strip(), wants_data) for part in text.split("<img>")[1:] if "</img>" in part
    ]


def _checked(name: str) -> str:
    if len(name) > LONGEST:
        raise ValueError(f"its image name has {count(len(name), 'character')}: '{printable(name, 40)}'")
    return name if name.isascii() else _whole(name)


def _whole(text: str) -> str:
    """Return a text that UTF-8 can hold: half a pair of surrogates, which JSON allows, becomes a question mark."""
    return text.encode(errors="replace").decode()


def _text(value: Any) -> str:
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
