"""The records of a batch of a table's rows: Arrow in, Arrow out, and no Python for a single row."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from vlmt_cli.base.image_names import EMBEDDED
from vlmt_cli.base.words import printable
from vlmt_cli.mixtures.batch import IMAGES, Batch, Damaged, Wanted
from vlmt_cli.mixtures.columns import INSIDE, Roles
from vlmt_cli.mixtures.image_fields import IMAGES as IMAGE_FIELDS
from vlmt_cli.mixtures.image_fields import LONGEST, MD5, OFFICIAL, SHA256, URLS, field_of
from vlmt_cli.mixtures.json_image import Image, unpacked
from vlmt_cli.mixtures.json_images import images_in
from vlmt_cli.mixtures.rows_beside import (
    ADDRESS,
    Part,
    as_text,
    beside_images,
    decoded,
    first_of,
    is_list,
    is_number,
    is_text,
    per_value,
    positions,
    with_beside,
)
from vlmt_cli.mixtures.views import without_views

_SPEAKERS = ("from", "role", "source")
_FILE = rf"(?i)\.(?:jpe?g|png|webp|gif|bmp|tiff?)$|{OFFICIAL}"
_NOTHING = ("", "nan", "none", "null")
"""What stands in a cell without an image, as pandas and databases write it."""
_FILLS = {URLS: "url", SHA256: "sha256", MD5: "md5"}
_EMBEDDED = f"^(?:data:image/|{'|'.join(EMBEDDED)})"
"""An image in the text itself: base64."""


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
    for name in {*roles.images, *roles.names, *roles.urls} & columns.keys():
        columns[name] = _without_empty(columns[name])
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
        decoded(as_text(columns[roles.ids[0]])) if roles.ids else pa.nulls(n, pa.string()),
        _texts(n, [columns[name] for name in roles.texts]) if wanted.texts else None,
        damaged=tuple(Damaged(first + record, reason) for record, reason in damaged.items()),
    )


def _without_empty(column: pa.Array) -> pa.Array:
    """Take texts that stand for nothing, such as an empty one, for missing values; in lists of texts, too."""
    if types.is_list(column.type) or types.is_large_list(column.type):
        if _without_empty(column.values) is column.values:
            return column
        column = pa.concat_arrays([column, column.slice(0, 0)])  # a part of an array takes no nulls of its own
        return type(column).from_arrays(column.offsets, _without_empty(column.values), mask=column.is_null())
    if not (types.is_string(column.type) or types.is_large_string(column.type)):
        return column
    is_short = pc.less_equal(pc.binary_length(column), max(map(len, _NOTHING)))
    if not pc.any(is_short, min_count=0).as_py():
        return column
    return pc.if_else(pc.is_in(pc.utf8_lower(column), value_set=pa.array(_NOTHING, column.type)), None, column)


def _images(n: int, columns: dict[str, pa.Array], roles: Roles, wanted: Wanted, damaged: dict[int, str]) -> Part:
    """Return the images of N rows; adds the records that cannot be read to those that are damaged."""
    parts, slots = [], list(dict.fromkeys(map(roles.slot, roles.images)))
    for slot in slots:
        part = _together([_inside(columns[name], wanted) for name in roles.images if roles.slot(name) == slot])
        beside = _beside_of(roles, slot)
        parts.append(with_beside(part, beside, columns, n) if len(slots) > 1 and any(beside.values()) else part)
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
    shown["position"] = pa.array(positions(owner), pa.int32())
    shown = with_beside(shown, beside, columns, n)
    for kind, length in (("sha256", 64), ("md5", 32)):
        if kind in shown:
            shown[kind] = _hashes(shown[kind], length)
    unnamed = "name" not in shown or shown["name"].null_count > 0
    if roles.ids and unnamed and "url" not in shown and len(owner):
        ids = beside_images(columns[roles.ids[0]], owner, n)
        ids = pc.if_else(pc.match_substring_regex(ids, _FILE), ids, None)
        shown["name"] = first_of([shown["name"], ids] if "name" in shown else [ids])
    return shown


def _beside_of(roles: Roles, slot: str) -> dict[str, list[str]]:
    """Return the columns that say more of the images of a slot, by the column of ``IMAGES`` that they fill."""
    every = {"name": roles.names, "url": roles.urls, "sha256": roles.sha256, "md5": roles.md5}
    return {
        kind: [name for name in names if name not in roles.images and roles.slot(name) == slot]
        for kind, names in every.items()
    }


def _in_turns(name: str, column: pa.Array, wanted: Wanted, damaged: dict[int, str]) -> Part:
    """Return the images that N turns name themselves: blocks of content, and ``<img>`` marks."""
    record = np.arange(len(column))
    if is_text(column.type):
        column = decoded(column)
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
    while is_list(values.type):
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy().astype(np.int64)
        record, values = np.repeat(record, lengths), values.flatten()
    if values.null_count:
        record, values = record[pc.is_valid(values).to_numpy(zero_copy_only=False)], values.drop_null()
    part: Part = {"record": pa.array(record, pa.int64())}
    if types.is_struct(values.type):
        return _of_structs(part, values, wanted)
    if types.is_binary(values.type) or types.is_large_binary(values.type):
        return part | ({"data": values.cast(pa.binary())} if wanted.data else {})
    return part | (_named(as_text(values), wanted) if values.null_count < len(values) else {})


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
    if first is not None and not is_number(inner[first].type):
        part |= _named(as_text(inner[first]), wanted)
        said["name"].remove(first)
    return with_beside(part, said, inner, 0) if any(said.values()) else part


def _named(values: pa.Array, wanted: Wanted) -> Part:
    """Tell names, addresses, and images in base64 from each other."""
    is_url = per_value(values, lambda texts: pc.match_substring_regex(texts, ADDRESS))
    is_embedded = per_value(values, lambda texts: pc.match_substring_regex(texts, _EMBEDDED))
    if not pc.any(pc.or_(is_url, is_embedded)).as_py():
        return {"name": values}
    values = decoded(values)
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
        joined[kind] = pa.concat_arrays([decoded(piece) for piece in pieces]).take(order)
    return joined


def _hashes(values: pa.Array, length: int) -> pa.Array:
    """Return hexadecimal hashes in small letters; what is none becomes null."""
    values = pc.ascii_lower(decoded(values))
    return pc.if_else(pc.match_substring_regex(values, rf"^[0-9a-f]{{{length}}}\z"), values, None)


def _too_long(shown: Part) -> dict[int, str]:
    """Return the records with a name or an address that nobody could have meant, and what is wrong with them."""
    damaged = {}
    for kind, what in (("name", "image name"), ("url", "address")):
        if kind not in shown:
            continue
        lengths = per_value(shown[kind], pc.binary_length)
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
        if is_list(column.type):
            owner, column = np.repeat(owner, pc.fill_null(pc.list_value_length(column), 0)), column.flatten()
        if types.is_struct(column.type):
            names = [field.name for field in column.type if field.name not in _SPEAKERS and is_text(field.type)]
            turns = [decoded(as_text(pc.struct_field(column, name))) for name in names]
            turn = np.arange(len(turns) * len(column)).reshape(len(turns), len(column)).T.ravel()
            column = pa.concat_arrays(turns).take(pa.array(turn)) if turns else pa.nulls(0, pa.string())
            owner = np.repeat(owner, len(turns))
        column = decoded(as_text(column))
        owners.append(owner[pc.is_valid(column).to_numpy(zero_copy_only=False)])
        values.append(column.drop_null())
    owner = np.concatenate(owners) if owners else np.empty(0, np.int64)
    said = pa.concat_arrays(values) if values else pa.nulls(0, pa.string())
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=n))])
    order = pa.array(np.argsort(owner, kind="stable"))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), said.take(order))


def _is_said(kind: pa.DataType) -> bool:
    return is_text(kind) or is_number(kind)
