"""Which columns of a table name images, and the images of a batch of its rows.

Tables that people train on agree on little, so columns are known by their names (``image_fields.py``), by their type
(the image feature of Hugging Face is ``struct<bytes, path>``), or, where neither helps, by what their first values look
like.

=========  ============================================================================================
images     the images themselves: structs such as ``struct<bytes, path>``, paths, addresses, bytes, or lists of them
names      a record's file name or image id beside them: ``file_name``, ``image_source``, ``image_id``
urls       ``URL``, ``url``, ``image_url``
sha256     ``sha256``, ``image_sha256``, ``sha256hash``; md5 likewise; other hashes are not used
ids        the record's own: ``id``, ``uid``, ``question_id``, ``key``
texts      ``conversations``, ``messages``, ``texts``, ``text``, ``caption``, ``question``, ``answer``
turns      those of the texts that name images themselves: blocks of content, ``<img>`` marks
=========  ============================================================================================
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from vlmt_cli.base.image_names import EMBEDDED, SUFFIXES, begins_as_image
from vlmt_cli.mixtures.image_fields import IDS, IMAGES, MD5, NAMES, SHA256, URLS, field_of
from vlmt_cli.mixtures.views import plain_schema

_IDS = "id uid question_id questionid sample_id example_id key __key__".split()
_TEXTS = (
    "conversations conversation messages texts text txt caption captions sentences prompt query question questions"
    " chosen rejected response answer answers"
).split()
_TURNS = "conversations conversation messages prompt query chosen rejected".split()
INSIDE = ("bytes", "data", "value", "base64")
"""Fields of an image's struct that hold its file."""
_MARKS = r'<img>.*</img>|"image|\'image'
_LOOKS_LIKE = {
    "urls": r"^https?://",
    "names": rf"(?i)(?:{'|'.join(map(re.escape, SUFFIXES))})(?:[?#].*)?$",
    "images": rf"^(?:data:image/|{'|'.join(EMBEDDED)})",
}
_FEW = 100
"""Rows that are looked at where a value may be an image of megabytes."""


@dataclass(frozen=True)
class Roles:
    """The columns of a table by what they say of images and records, the best first.

    Those of names, addresses and hashes are of the images whose slot they have in ``slots``; of all that have none.
    """

    images: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    md5: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    turns: tuple[str, ...] = ()
    slots: Mapping[str, str] = field(default_factory=dict)

    def columns(self, texts: bool) -> list[str]:
        """Return the columns to read."""
        every = (*self.images, *self.names, *self.urls, *self.sha256, *self.md5, *self.ids, *self.turns)
        return list(dict.fromkeys([*every, *(self.texts if texts else ())]))

    def slot(self, column: str) -> str:
        """Return of which of a record's images a column speaks."""
        return self.slots.get(column, "")


def roles_of(schema: pa.Schema, sample: Callable[[list[str]], pa.Table]) -> Roles | None:
    """Say which columns of a table name images.

    Args:
        schema: of the table.
        sample: returns some rows of the named columns; it is called only where names of columns do not suffice.

    Returns:
        The roles; without images where the table holds text alone, and None where nothing is known of it.
    """
    schema = plain_schema(schema)
    kinds = {name: schema.field(name).type for name in schema.names}
    by_name = {name.lower(): name for name in reversed(schema.names)}
    said = {name: each for name in schema.names if (each := field_of(name))}
    features = _image_features(schema)
    images = tuple(name for name in schema.names if _is_image(name, kinds[name], features))
    beside = {name: each for name, each in said.items() if name not in images}

    def known(kind: str, is_fit: Callable[[pa.DataType], bool]) -> tuple[str, ...]:
        return tuple(name for name, each in beside.items() if each.kind == kind and is_fit(_item(kinds[name])))

    def named(names: Sequence[str], is_fit: Callable[[pa.DataType], bool]) -> tuple[str, ...]:
        return tuple(
            by_name[name]
            for name in names
            if name in by_name and is_fit(kinds[by_name[name]]) and by_name[name] not in images
        )

    ids = (*known(IDS, _is_id), *(name for name in known(IMAGES, _is_number) if _item(kinds[name]) is kinds[name]))
    roles = Roles(
        images,
        (*known(NAMES, _is_id), *ids),
        known(URLS, _is_text),
        known(SHA256, _is_text),
        known(MD5, _is_text),
        named(_IDS, _is_id)[:1],
        named(_TEXTS, _has_text),
        slots={name: each.slot for name, each in said.items() if each.slot},
    )
    lists = [name for name in (*roles.urls, *roles.names) if _item(kinds[name]) is not kinds[name]]
    if lists and not roles.images:
        roles = replace(roles, images=(lists[0],))
    roles = _with_turns(_with_slots(roles), kinds, sample)
    if roles.images or roles.names:
        return roles
    if roles.urls:  # perhaps of pages, with the names of images beside them
        others = [name for name, kind in kinds.items() if _is_text(kind) and name not in roles.columns(texts=True)]
        return replace(roles, names=_by_content(others, sample)["names"])
    looks = _by_content([name for name, kind in kinds.items() if _is_text(kind) and name not in roles.turns], sample)
    others = [name for name, kind in kinds.items() if name not in roles.texts and _may_hold_images(kind)]
    images = _images_by_content([*looks["images"], *others], sample)
    if looks["urls"] or looks["names"] or images or roles.turns:
        return replace(roles, images=images, names=looks["names"], urls=looks["urls"])
    spoken = [kinds[name] for name in roles.texts]
    # Text alone: conversations that hold no images themselves, which would be passed over.
    is_text = any(map(types.is_nested, spoken)) and not any(map(_holds_images, spoken))
    return roles if is_text and not _show_images(others, sample) else None


def _with_slots(roles: Roles) -> Roles:
    """Take names or addresses for images where these are of one of several images, which has none of its own."""
    images = list(roles.images)
    for name in (*roles.names, *roles.urls):
        slot = roles.slot(name)
        if slot and slot not in map(roles.slot, images):
            images.append(name)
    return replace(roles, images=tuple(images))


def _with_turns(roles: Roles, kinds: dict[str, pa.DataType], sample: Callable[[list[str]], pa.Table]) -> Roles:
    """Find the columns of turns that name images themselves: by their type, or by their first values."""
    turns = [name for name in roles.texts if name.lower() in _TURNS]
    having = {name for name in turns if _holds_images(kinds[name])}
    if turns and not (roles.images or roles.names or roles.urls):  # texts are long, and may lie far away
        rows = sample(turns)
        having |= {name for name in turns if _says_images(rows[name])}
    return replace(roles, turns=tuple(name for name in turns if name in having))


def _says_images(values: pa.ChunkedArray) -> bool:
    """Whether a text, wherever it stands in some values, has a mark with an image, or blocks of content in JSON."""
    values = values.combine_chunks()
    kind = values.type
    if types.is_struct(kind):
        return any(_says_images(pa.chunked_array([part])) for part in values.flatten())
    if _item(kind) is not kind:
        return _says_images(pa.chunked_array([values.flatten()]))
    if types.is_dictionary(kind):
        return _says_images(pa.chunked_array([values.dictionary]))
    return _is_text(kind) and bool(pc.any(pc.match_substring_regex(values, _MARKS), min_count=0).as_py())


def with_fields(roles: Roles | None, fields: Sequence[str], names: Sequence[str]) -> Roles | None:
    """Return roles with the columns of images that a list of mixtures names, as far as the table has them."""
    named = tuple(name for name in fields if name in names)
    if not named:
        return roles
    roles = roles or Roles()

    def others(columns: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in columns if name not in named)

    return replace(
        roles,
        images=named + others(roles.images),
        names=others(roles.names),
        urls=others(roles.urls),
        texts=others(roles.texts),
        turns=others(roles.turns),
    )


def leaves(roles: Roles, paths: Iterable[str], texts: bool, data: bool) -> list[str]:
    """Return those of a Parquet file's column paths that hold what is wanted: of images' structs all but the files."""
    paths = list(paths)
    chosen = []
    for column in roles.columns(texts):
        below = [path for path in paths if path == column or path.startswith(f"{column}.")]
        if column in roles.images and not data:
            below = [path for path in below if path.rpartition(".")[2] not in INSIDE] or below
        chosen += below
    return list(dict.fromkeys(chosen))


def _by_content(columns: list[str], sample: Callable[[list[str]], pa.Table]) -> dict[str, tuple[str, ...]]:
    """Say which columns hold addresses, names of image files, or images in base64, in most of their first values."""
    looks: dict[str, tuple[str, ...]] = {"urls": (), "names": (), "images": ()}
    rows = sample(columns) if columns else pa.table({})
    for column in columns:
        values = rows[column].cast(pa.string()).drop_null()
        values = values.filter(pc.not_equal(values, ""))
        for role, pattern in _LOOKS_LIKE.items():
            if len(values) and 2 * pc.sum(pc.match_substring_regex(values, pattern)).as_py() > len(values):
                looks[role] += (column,)
                break
    return looks


def _images_by_content(columns: list[str], sample: Callable[[list[str]], pa.Table]) -> tuple[str, ...]:
    """Say which columns hold images, in most of their first values: lists of names, bytes, structs with either."""
    rows = sample(columns).slice(0, _FEW) if columns else pa.table({})
    shown = {column: [*map(_is_shown, _flat(rows[column].to_pylist()))] for column in columns}
    return tuple(column for column, shows in shown.items() if 2 * sum(shows) > len(shows))


def _flat(values: Iterable[object]) -> Iterator[object]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        elif value not in (None, "", b""):
            yield value


def _is_shown(value: object) -> bool:
    """Whether a value is an image, or names one: bytes, a text, or a struct of Hugging Face's."""
    if isinstance(value, dict):
        return any(_is_shown(value.get(name)) for name in ("path", "bytes"))
    if isinstance(value, bytes):
        return begins_as_image(value[:16])
    return isinstance(value, str) and any(re.search(pattern, value) for pattern in _LOOKS_LIKE.values())


def _show_images(columns: list[str], sample: Callable[[list[str]], pa.Table]) -> bool:
    """Whether anything in some columns is an image, or names one, however deep."""
    rows = sample(columns).slice(0, _FEW) if columns else pa.table({})
    below: list[object] = rows.to_pylist()
    while below:
        value = below.pop()
        if _is_shown(value):
            return True
        below += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return False


def _image_features(schema: pa.Schema) -> set[str]:
    """Return the columns that the features of Hugging Face call images, or lists of images."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name for name, feature in features.items() if '"_type": "Image"' in json.dumps(feature)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return set()


def _is_image(name: str, kind: pa.DataType, features: set[str]) -> bool:
    item, said = _item(kind), field_of(name)
    if types.is_struct(item):
        parts = {field.name for field in item}
        has_image = {"bytes", "path"} <= parts and not re.search("audio|video|sound", name.lower())
        is_known = name in features or (said is not None and said.kind in (IMAGES, NAMES, URLS))
        return has_image or (is_known and any(part in INSIDE or field_of(part) for part in parts))
    fits = _is_text(item) or types.is_binary(item) or types.is_large_binary(item) or types.is_null(item)
    return fits and (name in features or (said is not None and said.kind == IMAGES))


def _may_hold_images(kind: pa.DataType) -> bool:
    """Whether a column is of bytes, structs, or lists of these or of texts."""
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_struct(kind):
        return True
    return _item(kind) is not kind and (_is_text(kind.value_type) or _may_hold_images(kind.value_type))


def _holds_images(kind: pa.DataType) -> bool:
    """Whether a field within a column is an image, by its name: ``messages[].content[].image_url``."""
    if types.is_struct(kind):
        return any(field_of(part.name) or _holds_images(part.type) for part in kind)
    return _item(kind) is not kind and _holds_images(_item(kind))


def _item(kind: pa.DataType) -> pa.DataType:
    """Return of what a type is a list, or a list of lists."""
    while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        kind = kind.value_type
    return kind


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_id(kind: pa.DataType) -> bool:
    return _is_text(kind) or _is_number(kind)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _has_text(kind: pa.DataType) -> bool:
    item = _item(kind)
    return any(_is_text(field.type) for field in item) if types.is_struct(item) else _is_text(item)
