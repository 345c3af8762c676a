"""What stands beside the images of a table's rows, joined to them: Arrow in, Arrow out."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import types

from vlmt_cli.mixtures.image_fields import OFFICIAL

ADDRESS = r"(?i)^\s*(?:https?:)?//"
"""How an address begins, for RE2."""
Part = dict[str, pa.Array]
"""Some images: ``record``, counted from 0 and ascending, and any of the other columns of ``IMAGES``."""


def with_beside(shown: Part, beside: Mapping[str, Sequence[str]], columns: dict[str, pa.Array], n: int) -> Part:
    """Give images what stands beside them; further names and addresses are said also.

    Args:
        shown: some images.
        beside: by the column of ``IMAGES`` that they fill, which columns say more.
        columns: by name, of N rows.
        n: N; 0 where the columns' values are the images'.
    """
    owner = shown["record"].to_numpy()
    said: dict[str, list[pa.Array]] = {kind: [shown[kind]] if kind in shown else [] for kind in beside}
    for kind, names in beside.items():
        for name in names:
            values = beside_images(columns[name], owner, n)
            if kind in ("name", "url"):
                for of, part in _apart(kind, values).items():
                    said[of].append(part)
            elif values.null_count < len(values):
                said[kind].append(values)
    also = [shown["also"]] if "also" in shown else []
    for kind, every in said.items():
        every = [values for values in every if values.null_count < len(values)]
        if every:
            shown[kind] = _best(every) if kind == "name" else first_of(every)
        if len(every) > 1 and kind in ("name", "url"):
            also += [_others(values, shown[kind]) for values in every]
    also = [values for values in also if values.null_count < len(values)]
    if also:
        shown["also"] = _lists(also)
    if "url" in shown:
        shown["url"] = decoded(shown["url"])
    return shown


def beside_images(column: pa.Array, owner: NDArray[np.int64], n: int) -> pa.Array:
    """Give images what stands beside them: a list's by position, a single value where the record has one image.

    Args:
        column: of N rows, or of the images themselves.
        owner: the row of each image.
        n: N; 0 where the column's values are the images'.
    """
    if not n:
        return as_text(column)
    is_single = (np.bincount(owner, minlength=n) == 1)[owner]
    if is_list(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
        position = positions(owner)
        at = (np.cumsum(lengths) - lengths)[owner] + position
        return as_text(column.flatten()).take(pa.array(at, mask=position >= lengths[owner]))
    values = as_text(column)
    if len(owner) == n and is_single.all():
        return values
    return values.take(pa.array(owner, mask=~is_single))


def positions(owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of its record's images each image is, from 0, by their records."""
    is_first = np.diff(owner, prepend=-1) != 0
    if is_first.all():
        return np.zeros(len(owner), np.int64)
    row = np.arange(len(owner))
    return row - np.maximum.accumulate(np.where(is_first, row, 0))


def _apart(kind: str, values: pa.Array) -> dict[str, pa.Array]:
    """Tell names and addresses apart in a column of one of them; nearly all hold that alone."""
    is_other = per_value(values, lambda texts: pc.match_substring(texts, "//"))
    if kind == "url":
        is_other = pc.invert(is_other)
    if not pc.any(is_other, min_count=0).as_py():
        return {kind: values} if values.null_count < len(values) else {}
    is_url = per_value(values, lambda texts: pc.match_substring_regex(texts, ADDRESS))
    values = decoded(values)
    return {"name": pc.if_else(is_url, None, values), "url": pc.if_else(is_url, values, None)}


def _others(values: pa.Array, first: pa.Array) -> pa.Array:
    """Return the values that are others than the first; a number alone beside an official name says nothing more."""
    values, first = decoded(values), decoded(first)
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
        if is_list(column.type):
            owner, column = np.asarray(pc.list_parent_indices(column), np.int64), column.flatten()
        is_valid = column.is_valid().to_numpy(zero_copy_only=False)
        owners.append(owner[is_valid])
        values.append(column.drop_null().cast(pa.string()))
    owner, joined = np.concatenate(owners), pa.concat_arrays(values)
    order = np.argsort(owner, kind="stable")
    lengths = np.bincount(owner, minlength=len(every[0]))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, joined.take(pa.array(order)))


def _best(candidates: list[pa.Array]) -> pa.Array:
    """Return for each image the first name that says which image it is, or else the first name."""
    if len(candidates) == 1:
        return candidates[0]
    candidates = [decoded(values) for values in candidates]
    official = [pc.if_else(pc.match_substring_regex(values, OFFICIAL), values, None) for values in candidates]
    return first_of(official + candidates)


def first_of(candidates: list[pa.Array]) -> pa.Array:
    """Return for each image the first of some candidates that is there."""
    return candidates[0] if len(candidates) == 1 else pc.coalesce(*map(decoded, candidates))


def per_value(values: pa.Array, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Apply a function to each distinct value of a dictionary-encoded column, and to every value of any other."""
    if types.is_dictionary(values.type):
        return function(values.dictionary).take(values.indices)
    return function(values)


def as_text(column: pa.Array) -> pa.Array:
    """Return strings; those of a dictionary stay there, and numbers are written out, whole ones without a point."""
    if types.is_dictionary(column.type):
        return column.cast(pa.dictionary(column.type.index_type, pa.string()))
    if types.is_floating(column.type):
        return pc.replace_substring_regex(column.cast(pa.float64()).cast(pa.string()), r"\.0*$", "")
    return column.cast(pa.string())


def decoded(column: pa.Array) -> pa.Array:
    """Return a column without a dictionary."""
    return column.dictionary_decode() if types.is_dictionary(column.type) else column


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is a list."""
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is of numbers."""
    return bool(types.is_integer(kind) or types.is_floating(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is of texts, a dictionary of them included."""
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
