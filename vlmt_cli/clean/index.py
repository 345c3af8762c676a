"""The index of benchmarks: by which keys, addresses and hashes their test images are recognised.

One Parquet file holds facts, a row each: an image of a benchmark, with hashes of the texts about it
(``clean.texts``); or, where ``benchmark`` is null, a link between an image and an alias (``base.identity``). It has no
picture and no readable text. ``vlmt_index`` in the schema's metadata is its header: a version, and what is true of each
benchmark. From the facts follow all aliases of every test image, over however many links, so that looking an image up
is one step (``aliases_of``).
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.files import atomic
from vlmt_cli.base.identity import HOW, LINKS, RELATIONS, all_links, same_image
from vlmt_cli.base.opening import check_file
from vlmt_cli.base.schema import check_version, nearest
from vlmt_cli.base.words import printable, quoted

INDEX_VERSION = 1
ROWS = pa.schema(
    [
        ("benchmark", pa.string()),
        ("image", pa.string()),
        ("alias", pa.string()),
        ("relation", pa.string()),
        ("texts", pa.list_(pa.uint64())),
    ]
)
IMAGES = pa.schema([("benchmark", pa.string()), ("image", pa.string()), ("texts", pa.list_(pa.uint64()))])
ALIASES = pa.schema([("alias", pa.string()), ("benchmark", pa.string()), ("image", pa.string()), ("how", pa.string())])

_HEADER = b"vlmt_index"
_TODO = "make it again with vlmt index add"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}", re.ASCII)
_IMAGE = r"^[a-z][a-z0-9_]*:[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*\z"
_ALIAS = r"^(?:url:https://[^\x00-\x20\x7f][^\x00-\x1f\x7f]*|[a-z][a-z0-9_]*:[A-Za-z0-9_](?:[A-Za-z0-9_-]|\.[A-Za-z0-9_-])*)\z"
_LONGEST = 8_300
_MOST_BYTES = 2 << 30
_MOST_ROWS = 100_000_000
_MOST_PAIRS = 50_000_000


class Benchmark(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is true of one benchmark.

    Attributes:
        title: its name in print.
        family: what it belongs to; ``--against refcoco`` means all scored members of the family.
        source: who published the list of its images.
        licence: of that list.
        of: how many images it has in truth; None where that is not known.
        is_scored: whether models are scored on it; validation sets beside a test set are only looked for by name.
        coco_split: of 2014, which holds its COCO images: train2014, val2014, trainval2014 or test2015.
        missing: what the list lacks, and what to do about it.
        replaced_by: benchmarks that hold the same images in parts; where all are known, this one is left out.
    """

    title: str
    family: str
    source: str = ""
    licence: str = ""
    of: int | None = None
    is_scored: bool = True
    coco_split: str | None = None
    missing: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    benchmarks: dict[str, Benchmark]


@dataclass(frozen=True)
class Index:
    """Benchmarks and their images.

    Attributes:
        benchmarks: by name.
        images: rows of ``IMAGES``, sorted and each once.
        links: of ``LINKS``, which join these images with others and with outside names.
    """

    benchmarks: Mapping[str, Benchmark]
    images: pa.Table
    links: pa.Table

    @cached_property
    def known(self) -> dict[str, int]:
        """How many images of each benchmark are known."""
        counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(self.images["benchmark"]).to_pylist()}
        return {name: counts.get(name, 0) for name in self.benchmarks}

    def images_of(self, name: str) -> pa.Array:
        """Return the keys of one benchmark's images."""
        return self.images.filter(pc.equal(self.images["benchmark"], name))["image"].combine_chunks()

    def only(self, names: Sequence[str]) -> "Index":
        """Return an index of some of the benchmarks; links stay."""
        images = self.images.filter(pc.is_in(self.images["benchmark"], value_set=pa.array(names, pa.string())))
        return Index({name: self.benchmarks[name] for name in names}, images, self.links)


def make_index(benchmarks: Mapping[str, Benchmark], images: pa.Table, links: pa.Table) -> Index:
    """Put facts into the index's order, each once; the texts of an image that stands there twice are joined."""
    assert all(map(_NAME.fullmatch, benchmarks)), benchmarks
    return Index(dict(sorted(benchmarks.items())), _sorted_images(images), _distinct(links, LINKS))


def image_rows(benchmark: str, images: pa.Array, texts: pa.Array | None = None) -> pa.Table:
    """Make rows of ``IMAGES`` of N image keys and N hashes of texts, null for none; keys may stand there repeatedly."""
    hashes = texts if texts is not None else pa.nulls(len(images), pa.uint64())
    lists = pa.ListArray.from_arrays(np.arange(len(images) + 1, dtype=np.int32), hashes)
    return pa.table({"benchmark": pa.repeat(benchmark, len(images)), "image": images, "texts": lists}, schema=IMAGES)


def join_indexes(indexes: Iterable[Index]) -> Index:
    """Join indexes; a benchmark of several has the images of all, and what the last says of it."""
    benchmarks: dict[str, Benchmark] = {}
    images, links = [IMAGES.empty_table()], [LINKS.empty_table()]
    for index in indexes:
        images.append(index.images)
        links.append(index.links)
        for name, benchmark in index.benchmarks.items():
            before = benchmarks.get(name, benchmark)
            of = None if None in (before.of, benchmark.of) else max(before.of or 0, benchmark.of or 0)
            split = benchmark.coco_split or before.coco_split
            benchmarks[name] = msgspec.structs.replace(benchmark, of=of, coco_split=split)
    replaced = [
        name
        for name, benchmark in benchmarks.items()
        if benchmark.replaced_by and all(part in benchmarks for part in benchmark.replaced_by)
    ]
    joined = make_index(benchmarks, pa.concat_tables(images), pa.concat_tables(links))
    return without(joined, replaced)


def without(index: Index, names: Iterable[str]) -> Index:
    """Return an index without some benchmarks."""
    gone = set(names)
    return index.only([name for name in index.benchmarks if name not in gone])


def choose(index: Index, against: str | None) -> list[str]:
    """Return the benchmarks that a list with commas names.

    Args:
        index: the benchmarks that are known.
        against: names of benchmarks; of families, for their scored members; ``all``, or None, for all that are scored.

    Raises:
        UsageError: a name is not known.
    """
    chosen: list[str] = []
    families = {benchmark.family for benchmark in index.benchmarks.values()}
    for name in ((against or "all").strip(", ")).split(","):
        name = name.strip()
        if name in index.benchmarks and name not in families:
            chosen.append(name)
        elif name == "all" or name in families:
            chosen += [
                each
                for each, benchmark in index.benchmarks.items()
                if (benchmark.is_scored and name in ("all", benchmark.family)) or each == name
            ]
        else:
            what = f"there is no benchmark {quoted(name)} in the index"
            todo = f"{nearest(name, sorted({*index.benchmarks, *families}))}; vlmt index lists them"
            raise UsageError(what, todo=todo)
    return list(dict.fromkeys(chosen))


def aliases_of(index: Index) -> pa.Table:
    """Return all names by which the benchmarks' images are recognised.

    Returns:
        Rows of ``ALIASES``, sorted by alias: an alias, the benchmark whose image it is, that image's own key, and the
        first relation that says so; ``id`` where the alias is the image's own key.

    Raises:
        DataError: links join so many images that no official file can have said so.
    """
    images = index.images["image"].combine_chunks()
    # A Flickr30k name is its photo's id, whoever shows that photo.
    photos = index.links["alias"].filter(pc.starts_with(index.links["alias"], "flickr:")).combine_chunks()
    twins = pc.replace_substring(photos, "flickr:", "flickr30k:", max_replacements=1).unique()
    links = all_links(pa.concat_arrays([images, twins]), index.links)
    nodes = pa.concat_arrays(
        [images, links["image"].combine_chunks().cast(pa.string()), links["alias"].combine_chunks().cast(pa.string())]
    ).unique()
    numbers = same_image(nodes, links)
    own = pc.index_in(images, nodes).to_numpy()
    last = numbers[HOW[-1]]
    order = np.argsort(last[own], kind="stable")
    behind = last[own][order]
    first, end = np.searchsorted(behind, last, "left"), np.searchsorted(behind, last, "right")
    counts = (end - first).astype(np.int64)
    if counts.sum() > _MOST_PAIRS:
        raise DataError("the links of the index join too many images", todo=_TODO)
    node = np.repeat(np.arange(len(nodes)), counts)
    row = order[np.arange(len(node)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)]
    rank = np.full(len(node), len(HOW) - 1, np.int8)
    for level in range(len(HOW) - 2, -1, -1):
        number = numbers[HOW[level]]
        rank[number[node] == number[own[row]]] = level
    chosen = pa.array(row)
    table = pa.table(
        {
            "alias": nodes.take(pa.array(node)),
            "benchmark": index.images["benchmark"].combine_chunks().take(chosen),
            "image": images.take(chosen),
            "how": pa.array(HOW).take(pa.array(rank)),
        },
        schema=ALIASES,
    )
    return table.sort_by([("alias", "ascending"), ("benchmark", "ascending"), ("image", "ascending")])


def write_index(path: Path, index: Index) -> None:
    """Write an index as one Parquet file, whole or not at all."""
    header = _Header(INDEX_VERSION, dict(index.benchmarks))
    rows = [
        _as_rows(index.images, alias=None, relation=None),
        _as_rows(index.links, benchmark=None, texts=None),
    ]
    table = pa.concat_tables(rows).replace_schema_metadata({_HEADER: msgspec.json.encode(header)})
    with atomic(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=19,
            use_dictionary=["benchmark", "relation"],
            column_encoding={"image": "DELTA_BYTE_ARRAY", "alias": "DELTA_BYTE_ARRAY"},
        )


def read_index(path: Path) -> Index:
    """Read an index.

    Raises:
        DataError: it is no index, a newer vlmt's, or holds what no index has.
    """
    check_file(path)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError("is too large for an index", where=path, todo=_TODO)
        with pq.ParquetFile(path) as file:
            metadata, rows = file.schema_arrow.metadata or {}, file.metadata.num_rows
            if _HEADER not in metadata:
                raise DataError("is not an index of benchmarks", where=path, todo="make one with vlmt index add")
            benchmarks = _header(metadata[_HEADER], path)
            if rows > _MOST_ROWS:
                raise DataError(f"has {rows:,} rows, more than an index has", where=path, todo=_TODO)
            table = file.read().replace_schema_metadata(None)
            table.validate(full=True)
    except FileNotFoundError as error:
        raise DataError("there is no such index", where=path, todo="make one with vlmt index add") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"is damaged ({printable(error)})", where=path, todo=_TODO) from error
    try:
        table = table.select(ROWS.names).cast(ROWS) if set(table.schema.names) == set(ROWS.names) else None
    except (pa.ArrowException, KeyError):
        table = None
    if table is None:
        raise DataError("has other columns than an index", where=path, todo=_TODO)
    is_link = pc.is_null(table["benchmark"])
    images, links = table.filter(pc.invert(is_link)).select(IMAGES.names), table.filter(is_link).select(LINKS.names)
    _check(images, links, benchmarks, path)
    return make_index(benchmarks, images, links)


def _header(data: bytes, path: Path) -> dict[str, Benchmark]:
    try:
        raw: Any = json.loads(data)
        version = raw.get("version") if isinstance(raw, dict) else None
        if isinstance(version, int):
            check_version(version, INDEX_VERSION, path)
        benchmarks = msgspec.convert(raw, _Header).benchmarks
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise DataError(f"has a damaged header ({printable(error)})", where=path, todo=_TODO) from error
    for name, benchmark in benchmarks.items():
        if not _NAME.fullmatch(name) or not _NAME.fullmatch(benchmark.family):
            raise DataError(f"has a benchmark of the name {quoted(name)}", where=path, todo=_TODO)
        texts = (benchmark.title, benchmark.source, benchmark.licence, *benchmark.missing)
        if any(len(text) > 1_000 or not text.isprintable() for text in texts):
            raise DataError(f"says of {name} what cannot be printed", where=path, todo=_TODO)
    return benchmarks


def _check(images: pa.Table, links: pa.Table, benchmarks: Mapping[str, Benchmark], path: Path) -> None:
    """Refuse what no vlmt writes: unknown benchmarks and relations, and keys that are none."""
    wrong = [
        (
            images["benchmark"],
            pc.is_in(images["benchmark"], value_set=pa.array(benchmarks, pa.string())),
            "a benchmark",
        ),
        (images["image"], pc.match_substring_regex(images["image"], _IMAGE), "an image"),
        (links["image"], pc.match_substring_regex(links["image"], _IMAGE), "an image"),
        (links["alias"], pc.match_substring_regex(links["alias"], _ALIAS), "an alias"),
        (links["relation"], pc.is_in(links["relation"], value_set=pa.array(RELATIONS)), "a relation"),
    ]
    for column, is_right, what in wrong:
        is_right = pc.and_(is_right, pc.less_equal(pc.binary_length(column), _LONGEST)).fill_null(False)
        if not pc.all(is_right, min_count=0).as_py():
            value = column.filter(pc.invert(is_right))[0].as_py()
            raise DataError(f"has {quoted(value)}, which is not {what}", where=path, todo=_TODO)


def _sorted_images(images: pa.Table) -> pa.Table:
    """Return rows of ``IMAGES`` sorted, each benchmark's image once, with its texts sorted and each once."""
    images = images.cast(IMAGES).combine_chunks()
    keys = images.select(["benchmark", "image"]).group_by(["benchmark", "image"], use_threads=False).aggregate([])
    keys = keys.sort_by([("benchmark", "ascending"), ("image", "ascending")])
    texts = images["texts"].combine_chunks()
    if not len(texts.flatten()):
        return pa.table([*keys.columns, pa.nulls(len(keys), IMAGES.field("texts").type)], schema=IMAGES)
    flat = pa.table(
        {
            **{name: images[name].take(pc.list_parent_indices(texts)) for name in ("benchmark", "image")},
            "text": texts.flatten(),
        }
    ).filter(pc.is_valid(texts.flatten()))
    flat = flat.group_by(flat.schema.names, use_threads=False).aggregate([])
    flat = flat.sort_by([(name, "ascending") for name in flat.schema.names])
    order = pa.table({**{name: keys[name] for name in keys.schema.names}, "row": np.arange(len(keys))})
    rows = flat.join(order, ["benchmark", "image"], join_type="inner", use_threads=False).sort_by(
        [("row", "ascending"), ("text", "ascending")]
    )
    counts = np.bincount(rows["row"].to_numpy(), minlength=len(keys))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), rows["text"].combine_chunks())
    lists = pc.if_else(pa.array(counts > 0), lists, None)
    return pa.table([keys["benchmark"], keys["image"], lists], schema=IMAGES)


def _distinct(table: pa.Table, schema: pa.Schema) -> pa.Table:
    table = table.cast(schema).group_by(schema.names, use_threads=False).aggregate([]).select(schema.names)
    return table.sort_by([(name, "ascending") for name in schema.names]).combine_chunks()


def _as_rows(table: pa.Table, **empty: None) -> pa.Table:
    columns = [
        pa.nulls(len(table), field.type) if field.name in empty else table[field.name].cast(field.type)
        for field in ROWS
    ]
    return pa.table(columns, schema=ROWS)
