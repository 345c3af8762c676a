"""The index of benchmarks: by which keys, addresses and hashes their test images are recognised.

One Parquet file holds facts, a row each: an image of a benchmark, with hashes of the texts about it
(``clean.texts``); or, where ``benchmark`` is null, a link between an image and an alias (``base.identity``), what an
image looks like (``clean.looks``), or its embedding (``clean.embeddings``). It has no picture and no readable text.
``vlmt_index`` in the schema's metadata is its header: a version, what is true of each benchmark, and the networks of
the embeddings. From the facts follow all aliases of every test image, over however many links, so that looking an image
up is one step (``aliases_of``).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.embedder import EmbeddingModel
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.identity import HOW, LINKS, all_links, same_image
from vlmt_cli.base.schema import nearest
from vlmt_cli.base.words import quoted

IMAGES = pa.schema([("benchmark", pa.string()), ("image", pa.string()), ("texts", pa.list_(pa.uint64()))])
LOOKS = pa.schema([("image", pa.string()), ("look", pa.binary())])
EMBEDDINGS = pa.schema([("model", pa.string()), ("image", pa.string()), ("embedding", pa.binary())])
"""``model`` by its SHA-256, ``embedding`` as float16 of length 1."""
ALIASES = pa.schema([("alias", pa.string()), ("benchmark", pa.string()), ("image", pa.string()), ("how", pa.string())])

OFFICIAL = "official files"
"""The source of a benchmark made from them; its facts replace those of other sources."""
AGAIN = "make it again with vlmt index add"
BENCHMARK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}", re.ASCII)
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


@dataclass(frozen=True)
class Index:
    """Benchmarks and their images.

    Attributes:
        benchmarks: by name.
        images: rows of ``IMAGES``, sorted and each once.
        links: of ``LINKS``, which join these images with others and with outside names.
        looks: of ``LOOKS``, those of images whose files were at hand; an image may have several.
        embeddings: of ``EMBEDDINGS``, of such images, where a network was at hand.
        models: the networks that made them, by their SHA-256.
    """

    benchmarks: Mapping[str, Benchmark]
    images: pa.Table
    links: pa.Table
    looks: pa.Table = field(default_factory=LOOKS.empty_table)
    embeddings: pa.Table = field(default_factory=EMBEDDINGS.empty_table)
    models: Mapping[str, EmbeddingModel] = field(default_factory=dict)

    @cached_property
    def known(self) -> dict[str, int]:
        """How many images of each benchmark are known."""
        counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(self.images["benchmark"]).to_pylist()}
        return {name: counts.get(name, 0) for name in self.benchmarks}

    @cached_property
    def linked(self) -> dict[str, NDArray[np.bool_]]:
        """For each relation of the links, which rows of ``images`` have such a link at either end."""
        linked = {}
        for relation in self.links["relation"].unique().to_pylist():
            mine = self.links.filter(pc.equal(self.links["relation"], relation))
            ends = (pc.is_in(self.images["image"], value_set=mine[end].combine_chunks()) for end in ("image", "alias"))
            linked[relation] = pc.or_(*ends).to_numpy()
        return linked

    def images_of(self, name: str) -> pa.Array:
        """Return the keys of one benchmark's images."""
        return self.images.filter(pc.equal(self.images["benchmark"], name))["image"].combine_chunks()

    def only(self, names: Sequence[str]) -> "Index":
        """Return an index of some of the benchmarks; links, looks and embeddings stay."""
        images = self.images.filter(pc.is_in(self.images["benchmark"], value_set=pa.array(names, pa.string())))
        return replace(self, benchmarks={name: self.benchmarks[name] for name in names}, images=images)


def make_index(
    benchmarks: Mapping[str, Benchmark],
    images: pa.Table,
    links: pa.Table,
    looks: pa.Table | None = None,
    embeddings: pa.Table | None = None,
    models: Mapping[str, EmbeddingModel] | None = None,
) -> Index:
    """Put facts into the index's order, each once; the texts of an image that stands there twice are joined."""
    assert all(map(BENCHMARK_NAME.fullmatch, benchmarks)), benchmarks
    return Index(
        dict(sorted(benchmarks.items())),
        _sorted_images(images),
        _distinct(links, LINKS),
        _distinct(LOOKS.empty_table() if looks is None else looks, LOOKS),
        _distinct(EMBEDDINGS.empty_table() if embeddings is None else embeddings, EMBEDDINGS),
        dict(sorted((models or {}).items())),
    )


def image_rows(benchmark: str, images: pa.Array, texts: pa.Array | None = None) -> pa.Table:
    """Make rows of ``IMAGES`` of N image keys and N hashes of texts, null for none; keys may stand there repeatedly."""
    hashes = texts if texts is not None else pa.nulls(len(images), pa.uint64())
    lists = pa.ListArray.from_arrays(np.arange(len(images) + 1, dtype=np.int32), hashes)
    return pa.table({"benchmark": pa.repeat(benchmark, len(images)), "image": images, "texts": lists}, schema=IMAGES)


def join_indexes(indexes: Iterable[Index]) -> Index:
    """Join indexes; a benchmark of several has the images of all.

    Its facts are those of the last index made from official files, or else of the first; all sources are named.
    """
    benchmarks: dict[str, Benchmark] = {}
    images, links, looks = [IMAGES.empty_table()], [LINKS.empty_table()], [LOOKS.empty_table()]
    embeddings, models = [EMBEDDINGS.empty_table()], dict[str, EmbeddingModel]()
    for index in indexes:
        images.append(index.images)
        links.append(index.links)
        looks.append(index.looks)
        embeddings.append(index.embeddings)
        models |= index.models
        for name, benchmark in index.benchmarks.items():
            before = benchmarks.get(name, benchmark)
            of = None if None in (before.of, benchmark.of) else max(before.of or 0, benchmark.of or 0)
            split = benchmark.coco_split or before.coco_split
            said = benchmark if benchmark.source == OFFICIAL else _with_source(before, benchmark.source)
            benchmarks[name] = msgspec.structs.replace(said, of=of, coco_split=split, replaced_by=benchmark.replaced_by)
    replaced = [
        name
        for name, benchmark in benchmarks.items()
        if benchmark.replaced_by and all(part in benchmarks for part in benchmark.replaced_by)
    ]
    joined = make_index(
        benchmarks,
        pa.concat_tables(images),
        pa.concat_tables(links),
        pa.concat_tables(looks),
        pa.concat_tables(embeddings),
        models,
    )
    return without(joined, replaced) if replaced else joined


def _with_source(benchmark: Benchmark, source: str) -> Benchmark:
    """Name a further source of a benchmark's images; the licence stays that of the first source, and says so."""
    sources = benchmark.source.split(" and ")
    if not source or source in sources:
        return benchmark
    licence = benchmark.licence
    if licence and len(sources) == 1:
        licence = f"{benchmark.source}: {licence}"
    joined = f"{benchmark.source} and {source}" if benchmark.source else source
    return msgspec.structs.replace(benchmark, source=joined, licence=licence)


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
        raise DataError("the links of the index join too many images", todo=AGAIN)
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


def _sorted_images(images: pa.Table) -> pa.Table:
    """Return rows of ``IMAGES`` sorted, each benchmark's image once, with its texts sorted and each once."""
    images = images.cast(IMAGES).combine_chunks()
    if images["texts"].null_count == len(images) and _ascends(images, ["benchmark", "image"]):
        return images
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
    table = table.cast(schema).combine_chunks()
    if _ascends(table, schema.names):
        return table
    table = table.group_by(schema.names, use_threads=False).aggregate([]).select(schema.names)
    return table.sort_by([(name, "ascending") for name in schema.names]).combine_chunks()


def _ascends(table: pa.Table, names: Sequence[str]) -> bool:
    """Whether every row stands behind the one before it in the order of some columns of strings, and none is alike.

    An index that was written is so; sorting it again takes longer than reading it.
    """
    is_behind, is_alike = pa.scalar(False), pa.scalar(True)
    for name in names:
        column = table[name].combine_chunks()
        before, after = column[:-1], column[1:]
        is_behind = pc.or_kleene(is_behind, pc.and_kleene(is_alike, pc.less(before, after)))
        is_alike = pc.and_kleene(is_alike, pc.equal(before, after))
    return pc.all(pc.fill_null(is_behind, False), min_count=0).as_py() is True
