"""What else is said of images than their first name and address: each may be the one that says which image it is.

{"image": "0.png", "url": "http://mirror.org/1.jpg", "coco_url": ..., "flickr_url": ..., "file_name": ...}
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.addresses import flickr_photos, normal_addresses
from vlmt_cli.mixtures.batch import column_of
from vlmt_cli.mixtures.names import keys_of, keys_of_addresses
from vlmt_cli.mixtures.rules import NO_RULES, Rules

_ADDRESS = r"(?i)^\s*(?:https?:)?//"


def said_also(
    images: pa.RecordBatch, keys: pa.Array, root: str = "", rules: Rules = NO_RULES, source: str | None = None
) -> tuple[NDArray[np.int64], dict[str, pa.Array]]:
    """Return what N images' further names and addresses stand for.

    A number alone may count anything: it is an image's where nothing else says which it is.

    Args:
        images: N rows of ``IMAGES``.
        keys: N image keys by their first names and addresses, without ``source``; null for none.
        root: what stands before their names.
        rules: of the user.
        source: of names whose form and folders say none.

    Returns:
        For each of M names and addresses which image it is of, from 0; and M aliases each as ``name``, an image key,
        ``flickr`` and ``url``, null where it has none.
    """
    if "also" not in images.schema.names:
        return np.empty(0, np.int64), {}
    also = column_of(images, "also")
    of, values = np.asarray(pc.list_parent_indices(also), np.int64), pc.list_flatten(also)
    is_address = pc.match_substring_regex(values, _ADDRESS)
    names, addresses = pc.if_else(is_address, None, values), pc.if_else(is_address, values, None)
    bare = keys_of(names, root, rules, source).keys
    named = pc.if_else(keys.take(pa.array(of)).is_valid(), keys_of(names, "", rules).keys, bare)
    named = pc.coalesce(named, keys_of_addresses(addresses, rules))
    return of, {"name": named, "flickr": flickr_photos(addresses), "url": normal_addresses(addresses)}


def differing(values: pa.Array, first: pa.Array) -> pa.Array:
    """Return N values with null for those that are the same as the first."""
    return pc.if_else(pc.equal(values, first), None, values)


def first_of(of: NDArray[np.int64], values: pa.Array, images: int) -> pa.Array:
    """Return for each of N images the first of M values that is one of its; null where it has none.

    Args:
        of: which image each value is of.
        values: M, null for none.
        images: N.
    """
    has = np.flatnonzero(values.is_valid().to_numpy(zero_copy_only=False))
    owner, first = np.unique(of[has], return_index=True)
    row = np.full(images, -1)
    row[owner] = has[first]
    return values.take(pa.array(row, mask=row < 0))
