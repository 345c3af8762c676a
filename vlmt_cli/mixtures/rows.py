"""The records of a batch of a table's rows: Arrow in, Arrow out, and no Python for a single row."""

import base64
import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from vlmt_cli.base.image_names import EMBEDDED
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.batch import IMAGES, Batch, Damaged, Wanted
from vlmt_cli.mixtures.columns import Roles
from vlmt_cli.mixtures.views import without_views

LONGEST = 1 << 16
"""Bytes of a name or an address; a record with a longer one is damaged."""

_SPEAKERS = ("from", "role", "source")
# Names that say by themselves which image they are.
_OFFICIAL = r"(?:^|/)(?:COCO_(?:train|val|test)20\d\d_\d{12}|v7w_\d|0\d{11}(?:\.\w+)?$)|-img[01](?:\.\w+)?$"
_FILE = rf"(?i)\.(?:jpe?g|png|webp|gif|bmp|tiff?)$|{_OFFICIAL}"
_ADDRESS = "^https?://"
_EMBEDDED = f"^(?:data:image/|{'|'.join(EMBEDDED)})"
"""An image in the text itself: base64."""

Part = dict[str, pa.Array]
"""Some images: ``record``, counted from 0 and ascending, and any of the other columns of ``IMAGES``."""


def batch_of(rows: pa.RecordBatch, roles: Roles, first: int, wanted: Wanted) -> Batch:
    """Say which records and images some rows of a table are.

    Args:
        rows: N rows with the columns of ``roles``; of the images' structs perhaps the path alone.
        roles: what the columns are.
        first: the number of the first row in its file.
        wanted: texts and bytes are given where it asks for them.

    Raises:
        pa.ArrowInvalid: a string is not UTF-8, or a list reaches outside its values.
    """
    n, rows = rows.num_rows, without_views(rows)
    columns = {name: rows.column(name) for name in rows.schema.names}
    shown = _images(n, columns, roles, wanted)
    damaged = _too_long(shown)
    if damaged:
        good = pa.array(~np.isin(shown["record"].to_numpy(), list(damaged)))
        shown = {name: column.filter(good) for name, column in shown.items()}
    for name in ("name", "url"):
        if name in shown:
            shown[name].validate(full=True)
    shown["record"] = pc.add(shown["record"], pa.scalar(first, pa.int64()))
    names = [name for name in IMAGES.names if name in shown]
    return Batch(
        first,
        n,
        pa.RecordBatch.from_arrays([shown[name] for name in names], names),
        _decoded(_text(columns[roles.ids[0]])) if roles.ids else pa.nulls(n, pa.string()),
        _texts(n, [columns[name] for name in roles.texts]) if wanted.texts else None,
        damaged=tuple(Damaged(first + record, reason) for record, reason in damaged.items()),
    )


def is_official(name: str) -> bool:
    """Whether a name says by itself which image it is."""
    return re.search(_OFFICIAL, name) is not None


def _images(n: int, columns: dict[str, pa.Array], roles: Roles, wanted: Wanted) -> Part:
    """Return the images of N rows."""
    parts = [_inside(columns[name], wanted) for name in roles.images]
    beside = {"name": roles.names, "url": roles.urls, "sha256": roles.sha256, "md5": roles.md5}
    # A record without an image of its own shows what its name or address beside it says.
    bare = np.zeros(n, bool)
    for name in (*roles.names, *roles.urls):
        bare |= pc.is_valid(columns[name]).to_numpy(zero_copy_only=False)
    for part in parts:
        bare[part["record"].to_numpy()] = False
    parts.append({"record": pa.array(np.flatnonzero(bare))})
    shown = _together([part for part in parts if len(part["record"])] or parts[:1])
    owner = shown["record"].to_numpy()
    is_first = np.diff(owner, prepend=-1) != 0
    position, is_single = np.zeros(len(owner), np.int64), np.ones(len(owner), bool)
    if not is_first.all():
        row = np.arange(len(owner))
        position = row - np.maximum.accumulate(np.where(is_first, row, 0))
        is_single = (np.bincount(owner, minlength=n) == 1)[owner]
    shown["position"] = pa.array(position, pa.int32())
    for kind, names in beside.items():
        values = [shown[kind]] if kind in shown else []
        values += [_beside(columns[name], owner, position, is_single, n) for name in names]
        values = [value for value in values if value.null_count < len(value)]
        if values:
            shown[kind] = _best(values) if kind == "name" else _first(values)
    if "url" in shown:
        shown["url"] = _decoded(shown["url"])
    for kind, length in (("sha256", 64), ("md5", 32)):
        if kind in shown:
            shown[kind] = _hashes(shown[kind], length)
    unnamed = "name" not in shown or shown["name"].null_count > 0
    if roles.ids and unnamed and "url" not in shown and len(owner):
        ids = _beside(columns[roles.ids[0]], owner, position, is_single, n)
        ids = pc.if_else(pc.match_substring_regex(ids, _FILE), ids, None)
        shown["name"] = _first([shown["name"], ids] if "name" in shown else [ids])
    return shown


def _inside(column: pa.Array, wanted: Wanted) -> Part:
    """Return the images of a column of images: structs, strings or bytes, or lists of them."""
    if _is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        record, values = np.repeat(np.arange(len(column)), lengths), column.flatten()
    else:
        record, values = np.arange(len(column)), column
    if values.null_count:
        record, values = record[pc.is_valid(values).to_numpy(zero_copy_only=False)], values.drop_null()
    part: Part = {"record": pa.array(record, pa.int64())}
    if types.is_struct(values.type):
        fields = {field.name: values.field(number) for number, field in enumerate(values.type)}
        path, data = fields.get("path"), fields.get("bytes")
    elif types.is_binary(values.type) or types.is_large_binary(values.type):
        path, data = None, values
    else:
        path, data = values, None
    if path is not None and path.null_count < len(path):
        part |= _named(_text(path), wanted)
    if data is not None and wanted.data:
        part["data"] = data.cast(pa.binary())
    return part


def _named(values: pa.Array, wanted: Wanted) -> Part:
    """Tell names, addresses, and images in base64 from each other."""
    is_url = _per_value(values, lambda texts: pc.match_substring_regex(texts, _ADDRESS))
    is_embedded = _per_value(values, lambda texts: pc.match_substring_regex(texts, _EMBEDDED))
    if not pc.any(pc.or_(is_url, is_embedded)).as_py():
        return {"name": values}
    values = _decoded(values)
    is_name = pc.invert(pc.or_(is_url, is_embedded))
    part = {"name": pc.if_else(is_name, values, None), "url": pc.if_else(is_url, values, None)}
    if wanted.data and pc.any(is_embedded).as_py():
        part["data"] = pa.array(map(_unpacked, pc.if_else(is_embedded, values, None).to_pylist()), pa.binary())
    return part


def _unpacked(text: str | None) -> bytes | None:
    """Decode base64; what cannot be decoded is an image that nobody can see."""
    try:
        return None if text is None else base64.b64decode(text.partition(",")[2] or text)
    except ValueError:
        return None


def _together(parts: list[Part]) -> Part:
    """Join images of several columns, by record and then by column."""
    if len(parts) == 1:
        return dict(parts[0])
    order = pa.array(np.argsort(np.concatenate([part["record"].to_numpy() for part in parts]), kind="stable"))
    joined: Part = {}
    for kind in dict.fromkeys(kind for part in parts for kind in part):
        pieces = [part.get(kind, pa.nulls(len(part["record"]), IMAGES.field(kind).type)) for part in parts]
        joined[kind] = pa.concat_arrays([_decoded(piece) for piece in pieces]).take(order)
    return joined


def _beside(
    column: pa.Array, owner: NDArray[np.int64], position: NDArray[np.int64], is_single: NDArray[np.bool_], n: int
) -> pa.Array:
    """Give images what stands beside them: a list's by position, a single value where the record has one image."""
    if _is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        at = (np.cumsum(lengths) - lengths)[owner] + position
        return _text(column.flatten()).take(pa.array(at, mask=position >= lengths[owner]))
    values = _text(column)
    if len(owner) == n and is_single.all():
        return values
    return values.take(pa.array(owner, mask=~is_single))


def _best(candidates: list[pa.Array]) -> pa.Array:
    """Return for each image the first name that says which image it is, or else the first name."""
    if len(candidates) == 1:
        return candidates[0]
    candidates = [_decoded(values) for values in candidates]
    official = [pc.if_else(pc.match_substring_regex(values, _OFFICIAL), values, None) for values in candidates]
    return _first(official + candidates)


def _first(candidates: list[pa.Array]) -> pa.Array:
    return candidates[0] if len(candidates) == 1 else pc.coalesce(*map(_decoded, candidates))


def _hashes(values: pa.Array, length: int) -> pa.Array:
    """Return hexadecimal hashes in small letters; what is none becomes null."""
    values = pc.ascii_lower(_decoded(values))
    return pc.if_else(pc.match_substring_regex(values, rf"^[0-9a-f]{{{length}}}\z"), values, None)


def _too_long(shown: Part) -> dict[int, str]:
    """Return the records with a name or an address that nobody could have meant, and what is wrong with them."""
    damaged = {}
    for kind, what in (("name", "image name"), ("url", "address")):
        if kind not in shown:
            continue
        lengths = _per_value(shown[kind], pc.binary_length)
        if (pc.max(lengths).as_py() or 0) > LONGEST:
            for row in np.flatnonzero(pc.fill_null(pc.greater(lengths, LONGEST), False)):
                start = shown[kind].cast(pa.binary())[row].as_py()[:40].decode(errors="replace")
                reason = f"its {what} has {lengths[row].as_py():,} bytes: '{printable(start, 40)}...'"
                damaged[shown["record"][row].as_py()] = reason
    return damaged


def _texts(n: int, columns: list[pa.Array]) -> pa.Array:
    """Return for each of N records what its columns say, column by column and turn by turn."""
    owners, values = [], []
    for column in columns:
        owner = np.arange(n)
        if _is_list(column.type):
            owner, column = np.repeat(owner, pc.fill_null(pc.list_value_length(column), 0)), column.flatten()
        if types.is_struct(column.type):
            names = [field.name for field in column.type if field.name not in _SPEAKERS and _is_text(field.type)]
            turns = [_decoded(_text(pc.struct_field(column, name))) for name in names]
            turn = np.arange(len(turns) * len(column)).reshape(len(turns), len(column)).T.ravel()
            column = pa.concat_arrays(turns).take(pa.array(turn)) if turns else pa.nulls(0, pa.string())
            owner = np.repeat(owner, len(turns))
        column = _decoded(_text(column))
        owners.append(owner[pc.is_valid(column).to_numpy(zero_copy_only=False)])
        values.append(column.drop_null())
    owner = np.concatenate(owners) if owners else np.empty(0, np.int64)
    said = pa.concat_arrays(values) if values else pa.nulls(0, pa.string())
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=n))])
    order = pa.array(np.argsort(owner, kind="stable"))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), said.take(order))


def _per_value(values: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Apply a function to each distinct value of a dictionary-encoded column, and to every value of any other."""
    if types.is_dictionary(values.type):
        return function(values.dictionary).take(values.indices)
    return function(values)


def _text(column: pa.Array) -> pa.Array:
    """Return strings; those of a dictionary stay there, and integers are written out."""
    if types.is_dictionary(column.type):
        return column.cast(pa.dictionary(column.type.index_type, pa.string()))
    return column.cast(pa.string())


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
