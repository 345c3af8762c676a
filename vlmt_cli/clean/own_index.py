"""Making an index of one's own: from official files, from benchmarks' files, and from folders of images."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.addresses import flickr_photos, normal_addresses
from vlmt_cli.base.embedder import Embedder
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.identity import LINKS, links_table, same_image
from vlmt_cli.base.keys import SOURCES
from vlmt_cli.base.words import listed, printable
from vlmt_cli.clean.builtin_index import builtin_index
from vlmt_cli.clean.index import EMBEDDINGS, LOOKS, OFFICIAL, Benchmark, Index, image_rows, join_indexes, make_index
from vlmt_cli.clean.index_file import read_index
from vlmt_cli.clean.splits import role_of
from vlmt_cli.clean.texts import hash_texts
from vlmt_cli.datasets.prepared import Prepared
from vlmt_cli.datasets.table import DATASETS
from vlmt_cli.mixtures.benchmark_file import Shown, keys_of_shown, read_benchmark

OWN = "index.parquet"
"""The user's index, in the data folder."""

_PIXELS, _LOOK, _EMBEDDING = "pixels:", "look:", "embedding:"
"""What marks of an image's pixels, looks and embeddings begin with (``clean.pictures``)."""
_FEW, _NEARLY_EVERY = 20, 0.9
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_COCO_SPLITS = {"vqa": "test2015", "coco": "val2014", "refcoco": "train2014", "refcoco+": "train2014",
                "refcocog": "train2014", "guesswhat": "trainval2014"}  # fmt: skip


def known_index(data: Path | None = None, given: Sequence[Path] = ()) -> Index:
    """Join the built-in index, the user's own in the data folder, and given files; the later counts."""
    own = [data / OWN] if data is not None and (data / OWN).exists() else []
    return join_indexes([builtin_index(), *(read_index(path) for path in [*own, *given])])


def index_of_datasets(
    examples: Mapping[str, Prepared], val: bool, absent: Mapping[str, Sequence[str]] | None = None
) -> Index:
    """Make an index of the test sets of official files, and of all identity links that they give.

    Args:
        examples: datasets, and crosswalks, as they were read.
        val: whether validation sets join.
        absent: of some datasets the official test files that are not there, as paths below ``raw``.
    """
    benchmarks: dict[str, Benchmark] = {}
    rows, links = [image_rows("", pa.array([], pa.string()))], [LINKS.empty_table()]
    for name, each in examples.items():
        links.append(each.links())
        alone = each.images_alone()
        for split in dict.fromkeys((*each.manifest.splits, *alone)):
            if role_of(split) != "test" and not (val and role_of(split) == "val"):
                continue
            keys = alone.get(split, pa.array([], pa.string()))
            said = pa.nulls(len(keys), pa.uint64())  # of an image that no example shows nothing is said
            if split in each.manifest.splits:
                table = pq.read_table(each.path(split), columns=["images", "text"])
                images, texts = table["images"].combine_chunks(), hash_texts(table["text"].combine_chunks())
                keys = pa.concat_arrays([images.flatten(), keys])
                said = pa.concat_arrays([texts.take(pc.list_parent_indices(images)), said])
            benchmark = f"{name}-{split}"
            is_test = role_of(split) == "test"
            benchmarks[benchmark] = Benchmark(
                f"{DATASETS[name].title} {split}",
                name,
                source=OFFICIAL,
                of=len(keys.unique()),
                is_scored=is_test,
                coco_split=_COCO_SPLITS.get(name) if is_test else None,
                missing=tuple(_not_there(file, name) for file in (absent or {}).get(name, ())) if is_test else (),
            )
            rows.append(image_rows(benchmark, keys, said))
    return make_index(benchmarks, pa.concat_tables(rows), pa.concat_tables(links))


def _not_there(file: str, name: str) -> str:
    """Say of an official test file that the index does not know its images, and what to do."""
    folder, _, file = file.rpartition("/")
    part = file.partition(".")[0]
    return f"{part} is not in the list; put {file} below raw/{folder} and run vlmt index add {name}"


class Lost(NamedTuple):
    """Which images of a benchmark's file are not in an index.

    Attributes:
        unnamed: how many nothing names: neither a name nor an address nor a hash.
        numbers: how many of these have a number.
        damaged: of how many others the picture that the file holds cannot be unpacked.
    """

    unnamed: int
    numbers: int
    damaged: int


def _lost(keys: pa.Array, shown: Shown) -> Lost:
    rows = [row for row, is_known in enumerate(keys.is_valid().to_pylist()) if not is_known]
    unnamed = [row for row in rows if not shown.damaged[row]]
    numbers = sum(any(name.isdigit() for name in shown.names[row]) for row in unnamed)
    return Lost(len(unnamed), numbers, len(rows) - len(unnamed))


def index_of_file(
    name: str,
    path: Path,
    source: str | None,
    images: bool,
    is_scored: bool = True,
    embedder: Embedder | None = None,
) -> tuple[Index, Lost]:
    """Make an index of one benchmark's file, or of a folder of its images.

    Args:
        name: of the benchmark.
        path: the file or folder.
        source: what bare numbers mean in it.
        images: hash the images that it holds, and say what they look like; those of a folder always are.
        is_scored: whether it is a test set.
        embedder: a network that embeds the images that it holds, too.

    Returns:
        The index, and which of the file's images are not in it.

    Raises:
        DataError: it cannot be read, or no image in it can be named.
    """
    from vlmt_cli.clean.pictures import marks_of  # decoders, which a scan of names does not need

    marks = partial(marks_of, embedder=embedder) if images or path.is_dir() else None
    shown = read_benchmark(path, marks, only_test=is_scored)
    keys = _keys_of(name, shown, path, source)
    if keys.null_count == len(keys):
        if all(shown.damaged):
            raise DataError("has no picture that can be unpacked", where=path, todo="get the file again")
        example = next((names[0] for names in shown.names if names), "")
        todo = "say with --source what its numbers mean, or hash the images that it holds with --images"
        such = f", such as {printable(repr(example), 80)}" if example else ""
        raise DataError(f"names no image by a name that is known{such}", where=path, todo=todo)
    pixels = [[mark for mark in marks if mark.startswith(_PIXELS)] for marks in shown.hashes]
    files = [[mark for mark in marks if not mark.startswith((_PIXELS, _LOOK, _EMBEDDING))] for marks in shown.hashes]
    links = [_outside_links(keys, *each) for each in ((shown.urls, "url"), (files, "file"), (pixels, "pixels"))]
    rows = pc.list_parent_indices(texts := pa.array(shown.texts, pa.list_(pa.string())))
    said = _without_prompts(image_rows(name, keys.take(rows), hash_texts(texts.flatten())), len(keys))
    images_known = pa.concat_tables([image_rows(name, keys), said])
    images_known = images_known.filter(pc.is_valid(images_known["image"]))
    count = len(images_known["image"].unique())
    lost = [
        tuple(names) for names, is_known in zip(shown.names, keys.is_valid().to_pylist(), strict=True) if not is_known
    ]
    total = count + len({names for names in lost if names}) + sum(not names for names in lost)
    gone = _lost(keys, shown)
    origin = f"{path.name[:200]}{f', split {printable(listed(shown.splits))}' if shown.splits else ''}"
    benchmark = Benchmark(
        name, _family(name), source=origin, of=total, is_scored=is_scored, coco_split=_coco_split(shown)
    )
    looks = pa.table(_marked(keys, shown, _LOOK), schema=LOOKS)
    if embedder is None:
        return make_index({name: benchmark}, images_known, pa.concat_tables(links), looks), gone
    of, vectors = _marked(keys, shown, _EMBEDDING)
    embeddings = pa.table([pa.repeat(embedder.sha256, len(of)), of, vectors], schema=EMBEDDINGS)
    models = {embedder.sha256: embedder.model}
    index = make_index({name: benchmark}, images_known, pa.concat_tables(links), looks, embeddings, models)
    return index, gone


def files_of_benchmarks(given: Sequence[str]) -> dict[str, str]:
    """Return the image files of benchmarks by their keys, from ``NAME=DIR``.

    Raises:
        UsageError: a folder is not given so, or is missing.
    """
    files: dict[str, str] = {}
    for each in given:
        name, equals, folder = each.partition("=")
        if not (name and equals and Path(folder).is_dir()):
            raise UsageError(f"cannot take {each!r}", todo="write NAME=DIR: a benchmark and the folder of its images")
        path = Path(folder)
        shown = read_benchmark(path, lambda data: [_LOOK])  # a picture that has marks has a key of its own
        keys = _keys_of(name, shown, path, None).to_pylist()
        files |= {key: str(path / names[0]) for key, names in zip(keys, shown.names, strict=True) if key and names}
    return files


def _keys_of(benchmark: str, shown: Shown, path: Path, source: str | None) -> pa.Array:
    """Name the images of a benchmark's file; what has no official name gets a key of that benchmark's own."""
    keys = keys_of_shown(shown, source, str(path) if path.is_dir() else "")
    own = [
        f"{_source_of(benchmark)}:{_id_of(names[0]) if names else f'row-{number}'}" if urls or hashes else None
        for number, (names, urls, hashes) in enumerate(zip(shown.names, shown.urls, shown.hashes, strict=True))
    ]
    return pc.coalesce(keys, pa.array(own, pa.string()))


def without_idle_links(index: Index) -> Index:
    """Leave out links that lead to no benchmark's image, so that a file to share stays small."""
    nodes = pa.concat_arrays(
        [
            index.images["image"].combine_chunks(),
            index.links["image"].combine_chunks(),
            index.links["alias"].combine_chunks(),
        ]
    ).unique()
    behind = list(same_image(nodes, index.links).values())[-1]
    used = np.zeros(int(behind.max(initial=-1)) + 1, bool)
    used[behind[pc.index_in(index.images["image"].combine_chunks(), nodes).to_numpy()]] = True
    leads = used[behind[pc.index_in(index.links["image"].combine_chunks(), nodes).to_numpy()]]

    def needed(pictured: pa.Table) -> pa.Table:
        node = pc.index_in(pictured["image"].combine_chunks(), nodes)
        shown = used[behind[node.fill_null(0).to_numpy()]] & node.is_valid().to_numpy(zero_copy_only=False)
        return pictured.filter(pa.array(shown))

    return replace(
        index,
        links=index.links.filter(pa.array(leads)),
        looks=needed(index.looks),
        embeddings=needed(index.embeddings),
    )


def _marked(keys: pa.Array, shown: Shown, kind: str) -> tuple[list[str], list[bytes]]:
    """Return the marks of some kind of those of N images that have a key."""
    rows = [
        (key, bytes.fromhex(mark.removeprefix(kind)))
        for key, marks in zip(keys.to_pylist(), shown.hashes, strict=True)
        for mark in marks
        if key is not None and mark.startswith(kind)
    ]
    return [key for key, _ in rows], [value for _, value in rows]


def _outside_links(keys: pa.Array, aliases: Iterable[list[str]], relation: str) -> pa.Table:
    """Link N images to their addresses, and the Flickr photos these name, or to their files' hashes."""
    lists = pa.array(aliases, pa.list_(pa.string()))
    flat, images = lists.flatten(), keys.take(pc.list_parent_indices(lists))
    known = pc.is_valid(images)
    flat, images = flat.filter(known), images.filter(known)
    if relation != "url":
        return links_table(images, flat, relation)
    addresses = links_table(images, normal_addresses(flat), "url")
    return pa.concat_tables([addresses, links_table(images, flickr_photos(flat), "flickr")])


def _without_prompts(said: pa.Table, images: int) -> pa.Table:
    """Leave out what is said of nearly every image: a prompt is no question, and is in many a mixture."""
    texts = said["texts"].combine_chunks().flatten()
    counts = pc.value_counts(texts)
    often = pc.greater(counts.field("counts"), max(_FEW, _NEARLY_EVERY * images))
    prompts = counts.field("values").filter(often)
    return said.filter(pc.invert(pc.is_in(texts, value_set=prompts)))


def _coco_split(shown: Shown) -> str | None:
    """Return the split of 2014 that the names of COCO's images say; None where they say none, or several."""
    flat = pa.array([name for names in shown.names for name in names], pa.string())
    parts = pc.struct_field(pc.extract_regex(flat, r"COCO_(?P<part>(?:train|val|test)20[0-9]{2})_"), "part")
    known = frozenset(filter(None, parts.unique().to_pylist()))
    trained = {"train2014", "val2014"}
    return (
        "trainval2014"
        if known == trained
        else next(iter(known))
        if len(known) == 1 and known <= {*trained, "test2015"}
        else None
    )


def _source_of(name: str) -> str:
    """Return the source of images that only this benchmark has, by its name: ``my_bench``."""
    source = _UNSAFE.sub("_", name.lower()).replace("-", "_").strip("_")
    # In a source whose ids are known, a row's number would be another image.
    return source if source[:1].isalpha() and source not in SOURCES else f"own_{source}"


def _id_of(name: str) -> str:
    return _UNSAFE.sub("-", name).strip("-")[-200:].strip("-") or "image"


def _family(name: str) -> str:
    """Return the family that a name belongs to: what stands before the last hyphen, where that is a known dataset."""
    family = name.rpartition("-")[0]
    return family if family in DATASETS else name
