"""Addresses of images: their normal form, and the Flickr photo or official image that they name.

The normal form of an address, ``https://host/path?query``: ``http`` counts as ``https``, the host stands in small
letters and without the default port, what stands after ``#`` and spaces around it are gone, ``&amp;`` is ``&``.
Nothing else changes: paths and queries may tell images apart by capital letters and by order.
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PLAIN = r"^https?://[a-z0-9._-]+/(?:[^#&\s]|&[^a#&\s]|&a[^m#&\s])*$"
_ADDRESS = (
    r"^(?i:https?:)?//(?:[^/?#\s@]*@)?(?P<host>[^/?#\s@:]+)(?P<port>(?::[0-9]+)?)(?P<rest>(?:[/?][^#]*)?)(?:#.*)?$"
)
_LONGEST = 8192

# live.staticflickr.com/65535/ID_SECRET_z.jpg, farm9.static.flickr.com/8186/ID_SECRET.jpg, flickr.com/photos/USER/ID
_HOST = r"^https?://(?:[a-z0-9-]+\.)*(?:static)?flickr\.com/"
_PHOTO = rf"(?i){_HOST}(?:(?:[^?#]*/)?(?P<file>[0-9]+)_[0-9a-f]+|photos/[^/?#]+/(?P<page>[0-9]+)(?:[/?#]|$))"
_OFFICIAL = (
    (r"(?i)^images\.cocodataset\.org/(?:.*[/_])?0*(?P<id>0|[1-9][0-9]{0,11})\.jpg$", "coco:"),
    (r"(?i)^(?:www\.)?mscoco\.org/(?:images/|.*?[/_]0*)(?P<id>[1-9][0-9]{0,11})(?:\.jpg)?$", "coco:"),
    (r"(?i)/VG_100K(?:_2)?/(?P<id>[1-9][0-9]{0,11})\.jpg$", "vg:"),
)
_MAY_BE_OFFICIAL = r"(?i)cocodataset\.org[:/]|mscoco\.org[:/]|VG_100K"
_MAY_BE_FLICKR = r"lickr\.com/"


def flickr_photos(urls: pa.Array) -> pa.Array:
    """Name the Flickr photos of N addresses, ``flickr:8119368305``; null where an address names none."""
    photo = where_it_may_be(urls, _MAY_BE_FLICKR, _photo_ids)
    return pc.binary_join_element_wise("flickr", photo, ":")


def normal_addresses(urls: pa.Array) -> pa.Array:
    """Bring N addresses into their normal form, ``url:https://host/path``; null for what is not an address."""
    urls = urls.cast(pa.string())
    is_odd = pc.invert(pc.match_substring_regex(urls, _PLAIN)).fill_null(False)
    normal = pc.replace_substring_regex(urls, "^https?", "url:https")
    if not pc.any(is_odd, min_count=0).as_py():
        return normal
    row = np.arange(len(urls))
    odd = is_odd.to_numpy(zero_copy_only=False)
    row[odd] = len(urls) + np.arange(odd.sum())
    return pa.concat_arrays([normal, _normalised(urls.filter(is_odd))]).take(pa.array(row))


def official_images(urls: pa.Array) -> pa.Array:
    """Name the images that N official addresses of COCO and Visual Genome are of; null for other addresses."""
    return where_it_may_be(urls, _MAY_BE_OFFICIAL, _official_keys)


def paths_of(urls: pa.Array) -> pa.Array:
    """Return hosts and paths of N addresses, ``host/a/b.jpg``: without port, query and fragment; null for others.

    A slash that a path has as ``%2F``, as object stores write it, counts as one.
    """
    paths = pc.replace_substring_regex(normal_addresses(urls), r"^url:https://|\?.*$", "")
    paths = pc.replace_substring_regex(paths, "^([^/:]+):[0-9]+/", r"\1/")
    return pc.replace_substring_regex(paths, "%2[Ff]", "/")


def where_it_may_be(urls: pa.Array, hint: str, extract: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Extract from the few of N rows in which a pattern is; null in the others."""
    urls = urls.cast(pa.string())
    may_be = pc.match_substring_regex(urls, hint).fill_null(False)
    mask = may_be.to_numpy(zero_copy_only=False)
    return extract(urls.filter(may_be)).take(pa.array(np.cumsum(mask) - 1, mask=~mask))


def _normalised(urls: pa.Array) -> pa.Array:
    urls = pc.utf8_trim_whitespace(urls)
    urls = pc.if_else(pc.less_equal(pc.binary_length(urls), _LONGEST), urls, None)
    urls = pc.replace_substring(urls, "&amp;", "&")
    parts = pc.extract_regex(urls, _ADDRESS)
    host, port, rest = (pc.struct_field(parts, name) for name in ("host", "port", "rest"))
    port = pc.if_else(pc.is_in(port, value_set=pa.array([":80", ":443"])), "", port)
    rest = pc.if_else(pc.starts_with(rest, "/"), rest, pc.binary_join_element_wise("/", rest, ""))
    return pc.binary_join_element_wise("url:https://", pc.utf8_lower(host), port, rest, "")


def _photo_ids(urls: pa.Array) -> pa.Array:
    parts = pc.extract_regex(urls, _PHOTO)
    file, page = (pc.struct_field(parts, name) for name in ("file", "page"))
    ids = pc.utf8_ltrim(pc.if_else(pc.equal(file, ""), page, file), "0")
    return pc.if_else(pc.equal(ids, ""), None, ids)


def _official_keys(urls: pa.Array) -> pa.Array:
    keys, paths = pa.nulls(len(urls), pa.string()), paths_of(urls)
    for pattern, prefix in _OFFICIAL:
        ids = pc.struct_field(pc.extract_regex(paths, pattern), "id")
        keys = pc.coalesce(keys, pc.binary_join_element_wise(prefix, ids, ""))
    return keys
