"""Which images the names in a mixture stand for: any official spelling, with any folders before it.

A name that says by itself which image it is, is believed wherever it lies: ``COCO_val2014_000000262148.jpg``,
``v7w_2372205.jpg``, ``dev-850-0-img0.png``, ``n161313.jpg``, ``sa_545504.jpg``. A number needs its folder:
``vg/VG_100K/2.jpg``, ``gqa/images/2.jpg`` (Visual Genome's as well), ``flickr30k-images/36979.jpg``; the innermost
folder that is known counts. Twelve digits that begin with 0 are COCO's, and COCO's numbers of 2014, 2015 and 2017 are
one series. What private folders hold, a file of rules says (``mixtures.rules``).

Work is done on distinct names, in compiled kernels whose time grows with the length of a name and no faster.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.addresses import official_images, paths_of, where_it_may_be
from vlmt_cli.base.keys import SOURCES, has_official_id, right_source
from vlmt_cli.mixtures.rules import NO_RULES, Rules

LONGEST_NAME = 4096
"""Bytes of a name that is looked at; longer ones name no file."""
_LONGEST_ID = 200
_MOST_SOURCES = 1_000
_ENDING = r"\.(?:jpe?g|png|webp|bmp|gif|tiff?|avif|jfif|jpe|jp2)"
_SUFFIX = rf"(?i){_ENDING}$"
_BEHIND = rf"(?i)({_ENDING})[?#].*$"
"""A query behind a name, as in an address, or what Flickr30k's captions have there: ``1000092795.jpg#0``."""
# Names that say which image they are: what they hold, the pattern, the source, what stands before the id.
_SPEAKING = (
    ("COCO_", r"^COCO_(?:train|val|test)20[0-9]{2}_0*(?P<id>0|[1-9][0-9]{0,11})(?:_[0-9]+)?$", "coco:"),
    ("v7w_", r"^v7w_0*(?P<id>0|[1-9][0-9]*)$", "vg:"),
    ("-img", r"^(?P<id>(?:train|dev|test1|test2)-[0-9]+-[0-9]+-img[01])$", "nlvr2:"),
    ("VisualDialog_", r"^VisualDialog_(?P<id>(?:val|test)2018_0*[0-9]+)$", "visdial:"),
    ("VizWiz_", r"^(?P<id>VizWiz_(?:train|val|test)_[0-9]+)$", "vizwiz:"),
    ("sa_", r"^sa_0*(?P<id>0|[1-9][0-9]*)$", "sam:"),
    ("GCC_train_", r"^GCC_train_0*(?P<id>0|[1-9][0-9]*)$", "cc:"),
    ("GCC_val_", r"^GCC_val_0*(?P<id>0|[1-9][0-9]*)$", "cc:val-"),
    ("n", r"^(?P<id>n[1-9][0-9]{0,7})$", "gqa:"),
)
_KEY = r"^(?P<id>[a-z][a-z0-9_]*:[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*)$"

# What folders say of the names in them.
_FOLDERS = {
    "vg": r"vg_100k(?:_2)?|vg|visual_?genome|gqa|v7w|visual7w",
    "coco": r"(?:ms_?)?coco(?:_?20[0-9]{2})?|(?:train|val|test)20(?:14|15|17)",
    "flickr30k": r"flickr_?30k.*",
    "cc": r"cc|cc3m.*|gcc",
    "openimages": r"text_?vqa|share_textvqa|textcaps|nocaps|open_?images.*",
    "ocrvqa": r"ocr[_-]?vqa",
    "nlvr2": r"nlvr2",
    "sam": r"sam|sa-?1b",
    "vizwiz": r"vizwiz",
    "visdial": r"visdial|visualdialog.*",
    "wikiart": r"wikiart",
    "web_celebrity": r"web-celebrity",
    "web_landmark": r"web-landmark",
    "chartqa": r"chart_?qa",
    "docvqa": r"doc_?vqa",
    "infographicvqa": r"info(?:graphics?)?_?vqa",
    "dvqa": r"dvqa",
    "ai2d": r"ai2d",
    "scienceqa": r"science_?qa",
    "geoqa": r"geo_?qa.*",
    "synthdog": r"synthdog.*",
    "mme": r"mme(?:_benchmark.*)?",
}
_HINT = re.compile("|".join(f"(?P<{source}>{pattern})" for source, pattern in _FOLDERS.items()), re.ASCII)
_NUMBERED = ("vg", "coco", "flickr30k", "cc")
_SPEAKING_SOURCES = ("nlvr2", "sam", "vizwiz", "visdial")
"""Sources whose names all say what they are: whatever else lies in their folders is not known."""
_NUMBER, _HEX, _BOOK, _OTHER = "number", "hex", "book", "other"
_PATTERNS = {
    _NUMBER: r"^0*(?P<id>0|[1-9][0-9]{0,18})$",
    _HEX: r"^(?P<id>[0-9a-f]{16})$",
    _BOOK: r"^(?P<id>[0-9]{9}[0-9Xx])$",
    _OTHER: r"^(?P<id>[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*)$",
}
_TAIL = re.compile(r"(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]+", re.ASCII)
_ADDRESS = "(?i)^https?://"
# What an address has in which a name may be official: a folder that is known, the beginning of a name, or all of it.
_IN_FOLDER = "|".join(pattern.replace(".*", "[^/%]*") for pattern in _FOLDERS.values())
_BEGINNING = "COCO_(?:train|val|test)20|v7w_[0-9]|VisualDialog_|VizWiz_|sa_[0-9]|GCC_(?:train|val)_"
_NUMBER_OF = r"(?i:coco).*(?:/|%2[Ff])0{6}[0-9]{6}|(?i:gqa).*(?:/|%2[Ff])n[1-9][0-9]{0,7}"
"""Twelve digits alone, or n and a number, are also what shops call their articles: 1 of 1,000 addresses of LAION."""
_MAY_BE_NAMED = (
    rf"(?:/|%2[Ff])(?:(?i:{_IN_FOLDER})(?:/|%2[Ff])|{_BEGINNING}|(?:train|dev|test[12])-[0-9]+-[0-9]+-img[01])"
    rf"|(?:{_NUMBER_OF})(?:[.?#]|$)|(?i:mscoco\.org[:/])"
)


@dataclass(frozen=True)
class Named:
    """What N names stand for.

    Attributes:
        keys: N image keys; null where a name does not say which image it is.
        folders: for names without a key N folders, numbers in them as ``*``; null for the others and for empty names.
    """

    keys: pa.Array
    folders: pa.Array


def keys_of(names: pa.Array, root: str = "", rules: Rules = NO_RULES, source: str | None = None) -> Named:
    """Name the images that N names stand for.

    Args:
        names: N strings as they stand in a mixture: paths, file names, ids, addresses, or image keys ``source:id``.
        root: what stands before them, such as ``./data/coco/train2014/``, but for addresses.
        rules: of the user; they come first.
        source: of names whose form and folders say none, but for addresses.
    """
    encoded = names.cast(pa.string()).dictionary_encode()
    distinct, codes = encoded.dictionary, encoded.indices
    is_address = pc.match_substring_regex(distinct, _ADDRESS)
    if not pc.any(is_address, min_count=0).as_py():
        named = _named(distinct, root, rules, source)
        return Named(named.keys.take(codes), named.folders.take(codes))
    named = _named(pc.if_else(is_address, None, distinct), root, rules, source)
    by_address = keys_of_addresses(pc.if_else(is_address, distinct, None), rules)
    hosts = pc.if_else(pc.is_null(by_address), _folder_class(_split(distinct)[0]), None)
    folders = pc.coalesce(named.folders, pc.if_else(is_address, hosts, None))
    return Named(pc.coalesce(named.keys, by_address).take(codes), folders.take(codes))


def keys_of_addresses(urls: pa.Array, rules: Rules = NO_RULES) -> pa.Array:
    """Name the images of N addresses by the official names that their paths end in; null where they end in none.

    The names, and the folders before them, are those of ``keys_of``; port, query and fragment do not count. Numbers
    need more than there, as those of most addresses are a web site's own: no ``source`` says here what a bare one
    means, twelve digits alone are COCO's only where the address says coco, or has a folder of it, and n and a number
    are GQA's only where it says gqa.
    """
    named = where_it_may_be(urls, _MAY_BE_NAMED, _official_keys)
    return pc.coalesce(rules.keys_of(paths_of(urls)), named) if rules.patterns else named


def _official_keys(urls: pa.Array) -> pa.Array:
    return pc.coalesce(_named(paths_of(urls), "", NO_RULES, None).keys, official_images(urls))


def _named(distinct: pa.Array, root: str, rules: Rules, source: str | None) -> Named:
    """Name the images that N names without addresses stand for."""
    safe = pc.less_equal(pc.binary_length(distinct), LONGEST_NAME)
    if _has_controls(distinct):
        safe = pc.and_(safe, pc.invert(pc.match_substring_regex(distinct, r"[\x00-\x1f\x7f]")))
    paths = pc.if_else(safe, distinct, None)
    if pc.any(pc.match_substring(paths, "\\"), min_count=0).as_py():
        paths = pc.replace_substring(paths, "\\", "/")
    if any(pc.any(pc.match_substring(paths, mark), min_count=0).as_py() for mark in "?#"):
        paths = pc.replace_substring_regex(paths, _BEHIND, r"\1")
    folders, stems = _split(paths)
    keys = rules.keys_of(paths, root)
    keys = _filled(keys, lambda rest: _speaking_keys(stems.filter(rest)))
    keys = _filled(keys, lambda rest: _keys_as_written(stems.filter(rest), folders.filter(rest)))
    hints = _hints(folders, root)
    keys = _filled(keys, lambda rest: _keys_by_folder(stems.filter(rest), hints.filter(rest), folders.filter(rest)))
    if source is not None:
        keys = _filled(keys, lambda rest: _keys_of_source(stems.filter(rest), source))
    unnamed = pc.if_else(pc.is_null(keys), pc.coalesce(_folder_class(folders), ""), None)
    unnamed = pc.if_else(pc.equal(distinct, ""), None, unnamed)
    return Named(keys, unnamed)


def _has_controls(names: pa.Array) -> bool:
    """Whether any of some names, or of the memory around them, has a control character: looked for in all at once."""
    data = names.buffers()[2]
    letters = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    return bool(((letters < 32) | (letters == 127)).any())


def _split(paths: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Split N paths into folders, "" where there is none, and file names without the suffix of an image."""
    parts = pc.split_pattern(paths, "/", max_splits=1, reverse=True)
    lengths = pc.list_value_length(parts).fill_null(0)
    flat, starts = parts.flatten(), parts.offsets[:-1]
    first = pc.cast(starts, pa.int64())
    has_folder = pc.equal(lengths, 2)
    folders = pc.if_else(has_folder, flat.take(pc.if_else(pc.equal(lengths, 0), None, first)), "")
    last = pc.if_else(pc.equal(lengths, 0), None, pc.subtract(pc.add(first, pc.cast(lengths, pa.int64())), 1))
    names = flat.take(last)
    plain = pc.ends_with(names, ".jpg")
    stems = pc.if_else(plain, pc.binary_replace_slice(names, -4, 1 << 30, ""), names)
    rest = pc.invert(plain.fill_null(True))
    others = names.filter(rest)
    return folders, pc.replace_with_mask(stems, rest, pc.replace_substring_regex(others, _SUFFIX, ""))


def _speaking_keys(stems: pa.Array) -> pa.Array:
    keys = pa.nulls(len(stems), pa.string())
    for hint, pattern, prefix in _SPEAKING:
        may_be = pc.match_substring(stems, hint) if hint == "-img" else pc.starts_with(stems, hint)
        if not pc.any(may_be, min_count=0).as_py():
            continue
        mine = pc.and_(may_be.fill_null(False), pc.is_null(keys))
        keys = pc.replace_with_mask(keys, mine, _id_of(stems.filter(mine), pattern, prefix))
    return keys


def _keys_as_written(stems: pa.Array, folders: pa.Array) -> pa.Array:
    """Take names that are image keys; those of a known source must have an id of its form, and none is misspelt."""
    mine = pc.and_(pc.equal(folders, ""), pc.match_substring(stems, ":")).fill_null(False)
    if not pc.any(mine, min_count=0).as_py():
        return pa.nulls(len(stems), pa.string())
    keys = _id_of(stems.filter(mine), _KEY, "")
    for source in SOURCES:
        wrong = pc.and_(pc.starts_with(keys, f"{source}:"), pc.invert(has_official_id(keys, source)))
        keys = pc.if_else(wrong, None, keys)
    sources = pc.struct_field(pc.extract_regex(keys, r"^(?P<source>[a-z0-9_]+):"), "source")
    misspelt = [each for each in sources.unique().to_pylist()[:_MOST_SOURCES] if each and right_source(each)]
    keys = pc.if_else(pc.is_in(sources, value_set=pa.array(misspelt, pa.string())), None, keys)
    return pc.replace_with_mask(pa.nulls(len(stems), pa.string()), mine, keys)


def _id_of(stems: pa.Array, pattern: str, prefix: str | pa.Array) -> pa.Array:
    """Return ``prefix`` and the id of each name that a pattern matches; null for the others."""
    if pattern == _PATTERNS[_NUMBER]:
        ids = _numbers(stems)
    else:
        ids = pc.struct_field(pc.extract_regex(stems, pattern), "id")
        ids = pc.if_else(pc.less_equal(pc.binary_length(ids), _LONGEST_ID), ids, None)
    return pc.binary_join_element_wise(prefix, ids, "")


def _numbers(stems: pa.Array) -> pa.Array:
    """Return what the pattern of numbers takes for an id, several times as fast as it does."""
    digits = pc.ascii_ltrim(stems, "0")
    digits = pc.if_else(pc.equal(digits, ""), "0", digits)
    is_number = pc.and_(pc.ascii_is_decimal(stems), pc.less_equal(pc.binary_length(digits), 19))
    return pc.if_else(is_number, digits, None)


@dataclass(frozen=True)
class _Hints:
    """What the folders of N names say: which form their ids have, and what stands before those in a key."""

    kinds: pa.Array
    prefixes: pa.Array

    def filter(self, mask: pa.Array) -> "_Hints":
        return _Hints(self.kinds.filter(mask), self.prefixes.filter(mask))


def _hints(folders: pa.Array, root: str) -> _Hints:
    encoded = folders.dictionary_encode()
    at_root = _hint(root)
    known = [_hint(folder) or at_root or (None, None) for folder in encoded.dictionary.to_pylist()]
    kinds, prefixes = (pa.array([each[part] for each in known], pa.string()) for part in (0, 1))
    return _Hints(kinds.take(encoded.indices), prefixes.take(encoded.indices))


def _hint(folder: str) -> tuple[str, str] | None:
    """Return the form of ids and the beginning of keys by the innermost known folder; None where none is known."""
    parts = folder.replace("\\", "/").strip("/").split("/")
    for position in reversed(range(len(parts))):
        if match := _HINT.fullmatch(parts[position].lower()):
            source = match.lastgroup or ""
            if source in _NUMBERED:
                return _NUMBER, f"{source}:"
            if source in _SPEAKING_SOURCES:
                return "speaking", ""
            if source in ("openimages", "ocrvqa"):
                return (_HEX if source == "openimages" else _BOOK), f"{source}:"
            # The names of other datasets repeat from folder to folder.
            tail = "/".join(parts[position + 1 :])
            if not tail:
                return _OTHER, f"{source}:"
            return (_OTHER, f"{source}:{tail.replace('/', '-')}-") if _TAIL.fullmatch(tail) else ("speaking", "")
    return None


def _keys_by_folder(stems: pa.Array, hints: _Hints, folders: pa.Array) -> pa.Array:
    """Name the images that numbers and ids are in the folders in which they lie."""
    keys = pa.nulls(len(stems), pa.string())
    unknown = pc.is_null(hints.kinds)
    looks = {  # COCO's twelve digits also lie in the folders of datasets that took them
        "coco:": (pc.equal(pc.binary_length(stems), 12), pc.starts_with(stems, "0"), _PATTERNS[_NUMBER]),
        "openimages:": (pc.equal(pc.binary_length(stems), 16), pc.equal(folders, ""), _PATTERNS[_HEX]),
    }
    for prefix, (is_long, may_be, pattern) in looks.items():
        where = pc.or_kleene(unknown, pc.equal(hints.kinds, _OTHER)) if prefix == "coco:" else unknown
        mine = pc.and_(pc.and_(where, is_long), may_be).fill_null(False)
        keys = pc.replace_with_mask(keys, mine, _id_of(stems.filter(mine), pattern, prefix))
    for kind, pattern in _PATTERNS.items():
        mine = pc.and_(pc.equal(hints.kinds, kind), pc.is_null(keys)).fill_null(False)
        keys = pc.replace_with_mask(keys, mine, _id_of(stems.filter(mine), pattern, hints.prefixes.filter(mine)))
    return keys


def _keys_of_source(stems: pa.Array, source: str) -> pa.Array:
    kind = _NUMBER if source in (*_NUMBERED, "gqa") else _HEX if source == "openimages" else _OTHER
    return _id_of(stems, _PATTERNS[kind], f"{'vg' if source == 'gqa' else source}:")


def _folder_class(folders: pa.Array) -> pa.Array:
    """Return folders with ``*`` for numbers, by which names are counted that say nothing."""
    encoded = folders.dictionary_encode()
    classes = pc.replace_substring_regex(encoded.dictionary, r"[0-9]{3,}", "*")
    return pc.utf8_slice_codeunits(classes, 0, 120).take(encoded.indices)


def _filled(keys: pa.Array, more: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Fill null keys with what a function makes of the rows that a mask marks."""
    rest = pc.is_null(keys)
    return pc.replace_with_mask(keys, rest, more(rest))
