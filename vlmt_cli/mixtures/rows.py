"""The records of a batch of a table's rows: Arrow in, Arrow out, and no Python for a single row."""

import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from vlmt_cli.base.image_names import EMBEDDED
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.batch import IMAGES, Batch, Damaged, Wanted
from vlmt_cli.mixtures.columns import INSIDE, Roles
from vlmt_cli.mixtures.image_fields import IMAGES as IMAGE_FIELDS
from vlmt_cli.mixtures.image_fields import LONGEST, MD5, OFFICIAL, SHA256, URLS, field_of
from vlmt_cli.mixtures.json_image import Image, unpacked
from vlmt_cli.mixtures.json_images import images_in
from vlmt_cli.mixtures.views import without_views

_SPEAKERS = ("from", "role", "source")
_FILE = rf"(?i)\.(?:jpe?g|png|webp|gif|bmp|tiff?)$|{OFFICIAL}"
_ADDRESS = r"(?i)^\s*(?:https?:)?//"
_FILLS = {URLS: "url", SHA256: "sha256", MD5: "md5"}
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
    damaged: dict[int, str] = {}
    shown = _images(n, columns, roles, wanted, damaged)
    damaged |= _too_long(shown)
    if damaged:
        good = pa.array(~np.isin(shown["record"].to_numpy(), list(damaged)))
        shown = {name: column.filter(good) for name, column in shown.items()}
    for name in ("name", "url", "also"):
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


def _images(n: int, columns: dict[str, pa.Array], roles: Roles, wanted: Wanted, damaged: dict[int, str]) -> Part:
    """Return the images of N rows; adds the records that cannot be read to those that are damaged."""
    parts, slots = [], list(dict.fromkeys(map(roles.slot, roles.images)))
    for slot in slots:
        part = _together([_inside(columns[name], wanted) for name in roles.images if roles.slot(name) == slot])
        beside = _beside_of(roles, slot)
        parts.append(_with_beside(part, beside, columns, n) if len(slots) > 1 and any(beside.values()) else part)
    parts += [_in_turns(name, columns[name], wanted, damaged) for name in roles.turns]
    beside = _beside_of(roles, "")
    # A record without an image of its own shows what its name or address beside it says.
    bare = np.zeros(n, bool)
    for name in (*beside["name"], *beside["url"]):
        bare |= pc.is_valid(columns[name]).to_numpy(zero_copy_only=False)
    for part in parts:
        bare[part["record"].to_numpy()] = False
    parts.append({"record": pa.array(np.flatnonzero(bare))})
    shown = _together([part for part in parts if len(part["record"])] or parts[:1])
    owner = shown["record"].to_numpy()
    shown["position"] = pa.array(_positions(owner), pa.int32())
    shown = _with_beside(shown, beside, columns, n)
    for kind, length in (("sha256", 64), ("md5", 32)):
        if kind in shown:
            shown[kind] = _hashes(shown[kind], length)
    unnamed = "name" not in shown or shown["name"].null_count > 0
    if roles.ids and unnamed and "url" not in shown and len(owner):
        ids = _beside(columns[roles.ids[0]], owner, n)
        ids = pc.if_else(pc.match_substring_regex(ids, _FILE), ids, None)
        shown["name"] = _first([shown["name"], ids] if "name" in shown else [ids])
    return shown


def _beside_of(roles: Roles, slot: str) -> dict[str, list[str]]:
    """Return the columns that say more of the images of a slot, by the column of ``IMAGES`` that they fill."""
    every = {"name": roles.names, "url": roles.urls, "sha256": roles.sha256, "md5": roles.md5}
    return {
        kind: [name for name in names if name not in roles.images and roles.slot(name) == slot]
        for kind, names in every.items()
    }


def _positions(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of its record's images each image is, from 0, by their records."""
    is_first = np.diff(owner, prepend=-1) != 0
    if is_first.all():
        return np.zeros(len(owner), np.int64)
    row = np.arange(len(owner))
    return row - np.maximum.accumulate(np.where(is_first, row, 0))


def _with_beside(shown: Part, beside: Mapping[str, Sequence[str]], columns: dict[str, pa.Array], n: int) -> Part:
    """Give images what stands beside them; further names and addresses are said also."""
    owner = shown["record"].to_numpy()
    said: dict[str, list[pa.Array]] = {kind: [shown[kind]] if kind in shown else [] for kind in beside}
    for kind, names in beside.items():
        for name in names:
            values = _beside(columns[name], owner, n)
            if kind in ("name", "url"):
                for of, part in _apart(kind, values).items():
                    said[of].append(part)
            elif values.null_count < len(values):
                said[kind].append(values)
    also = [shown["also"]] if "also" in shown else []
    for kind, every in said.items():
        every = [values for values in every if values.null_count < len(values)]
        if every:
            shown[kind] = _best(every) if kind == "name" else _first(every)
        if len(every) > 1 and kind in ("name", "url"):
            also += [_others(values, shown[kind]) for values in every]
    also = [values for values in also if values.null_count < len(values)]
    if also:
        shown["also"] = _lists(also)
    if "url" in shown:
        shown["url"] = _decoded(shown["url"])
    return shown


def _apart(kind: str, values: pa.Array) -> dict[str, pa.Array]:
    """Tell names and addresses apart in a column of one of them; nearly all hold that alone."""
    is_other = _per_value(values, lambda texts: pc.match_substring(texts, "//"))
    if kind == "url":
        is_other = pc.invert(is_other)
    if not pc.any(is_other, min_count=0).as_py():
        return {kind: values} if values.null_count < len(values) else {}
    is_url = _per_value(values, lambda texts: pc.match_substring_regex(texts, _ADDRESS))
    values = _decoded(values)
    return {"name": pc.if_else(is_url, None, values), "url": pc.if_else(is_url, values, None)}


def _others(values: pa.Array, first: pa.Array) -> pa.Array:
    """Return the values that are others than the first; a number alone beside an official name says nothing more."""
    values, first = _decoded(values), _decoded(first)
    is_number = pc.and_(
        pc.match_substring_regex(values, r"^[0-9]+(?:\.\w+)?$"), pc.match_substring_regex(first, OFFICIAL)
    )
    is_same = pc.or_kleene(pc.equal(values, first), is_number)
    return pc.if_else(is_same, None, values)


def _lists(every: list[pa.Array]) -> pa.Array:
    """Join values, and lists of them, N each, into N lists without nulls and without repetitions next to each other."""
    owners, values = [], []
    for column in every:
        owner = np.arange(len(column))
        if _is_list(column.type):
            owner, column = np.asarray(pc.list_parent_indices(column), np.int64), column.flatten()
        is_valid = column.is_valid().to_numpy(zero_copy_only=False)
        owners.append(owner[is_valid])
        values.append(column.drop_null().cast(pa.string()))
    owner, joined = np.concatenate(owners), pa.concat_arrays(values)
    order = np.argsort(owner, kind="stable")
    lengths = np.bincount(owner, minlength=len(every[0]))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, joined.take(pa.array(order)))


def _in_turns(name: str, column: pa.Array, wanted: Wanted, damaged: dict[int, str]) -> Part:
    """Return the images that N turns name themselves: blocks of content, and ``<img>`` marks."""
    record = np.arange(len(column))
    if _is_text(column.type):
        column = _decoded(column)
        may_be = pc.match_substring_regex(column, r'<img>|"image').fill_null(False)
        record, column = record[may_be.to_numpy(zero_copy_only=False)], column.filter(may_be)
    rows: list[tuple[int, Image]] = []
    for number, value in zip(record.tolist(), column.to_pylist(), strict=True):
        try:
            is_json = isinstance(value, str) and value.lstrip().startswith(("[", "{"))
            said = json.loads(value) if is_json else value
            rows += [(number, image) for image in images_in({name.lower(): said}, wanted.data)]
        except (ValueError, RecursionError) as error:
            damaged[number] = f"its {printable(name, 40)} cannot be read ({printable(error, 80)})"
    part = {"record": pa.array([number for number, _ in rows], pa.int64())}
    for kind, values in zip(Image._fields, zip(*(image for _, image in rows), strict=True), strict=False):
        if any(values):
            part[kind] = pa.array([value or None for value in values], IMAGES.field(kind).type)
    return part


def _inside(column: pa.Array, wanted: Wanted) -> Part:
    """Return the images of a column of images: structs, strings or bytes, or lists of them."""
    record, values = np.arange(len(column)), column
    while _is_list(values.type):
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy().astype(np.int64)
        record, values = np.repeat(record, lengths), values.flatten()
    if values.null_count:
        record, values = record[pc.is_valid(values).to_numpy(zero_copy_only=False)], values.drop_null()
    part: Part = {"record": pa.array(record, pa.int64())}
    if types.is_struct(values.type):
        return _of_structs(part, values, wanted)
    if types.is_binary(values.type) or types.is_large_binary(values.type):
        return part | ({"data": values.cast(pa.binary())} if wanted.data else {})
    return part | (_named(_text(values), wanted) if values.null_count < len(values) else {})


def _of_structs(part: Part, values: pa.Array, wanted: Wanted) -> Part:
    """Add what N structs say of the images that they are: their file, and whatever names it."""
    inner = {each.name: values.field(number) for number, each in enumerate(values.type)}
    said: dict[str, list[str]] = {"name": [], "url": [], "sha256": [], "md5": []}
    for name in list(inner):
        kind, field = inner[name].type, field_of(name)
        if name in INSIDE and (types.is_binary(kind) or types.is_large_binary(kind)):
            if wanted.data:
                part["data"] = inner[name].cast(pa.binary())
        elif types.is_struct(kind) and field is not None and field.kind in (URLS, IMAGE_FIELDS):
            more = _of_structs({"record": part["record"]}, inner[name], wanted)
            for other in said:
                if other in more:
                    inner[f"{name}.{other}"] = more[other]
                    said[other].append(f"{name}.{other}")
        elif (name in INSIDE or field is not None) and _is_said(kind) and inner[name].null_count < len(values):
            said[_FILLS.get(field.kind, "name") if field else "name"].append(name)
    first = next((name for name in said["name"] if name == "path"), next(iter(said["name"]), None))
    if first is not None and not _is_number(inner[first].type):
        part |= _named(_text(inner[first]), wanted)
        said["name"].remove(first)
    return _with_beside(part, said, inner, 0) if any(said.values()) else part


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
        return None if text is None else unpacked(text.partition(",")[2] or text)
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


def _beside(column: pa.Array, owner: NDArray[np.int64], n: int) -> pa.Array:
    """Give images what stands beside them: a list's by position, a single value where the record has one image.

    Args:
        column: of N rows, or of the images themselves.
        owner: the row of each image.
        n: N; 0 where the column's values are the images'.
    """
    if not n:
        return _text(column)
    is_single = (np.bincount(owner, minlength=n) == 1)[owner]
    if _is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        position = _positions(owner)
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
    official = [pc.if_else(pc.match_substring_regex(values, OFFICIAL), values, None) for values in candidates]
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
    """Return strings; those of a dictionary stay there, and numbers are written out, whole ones without a point."""
    if types.is_dictionary(column.type):
        return column.cast(pa.dictionary(column.type.index_type, pa.string()))
    if types.is_floating(column.type):
        return pc.replace_substring_regex(column.cast(pa.float64()).cast(pa.string()), r"\.0*$", "")
    return column.cast(pa.string())


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def _is_list(kind: pa.DataType) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_said(kind: pa.DataType) -> bool:
    return _is_text(kind) or _is_number(kind)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
