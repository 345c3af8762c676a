"""From a scan or a clean split to its page of leaks: the hits, and what is at hand to show beside them.

Records are read again for the first rows alone. A picture is shown only where it lies below the folder of the file that
names it: a mixture from elsewhere could name any file of this machine, and the page is made to be published.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.clean.image_files import image_files
from vlmt_cli.clean.index import Benchmark
from vlmt_cli.clean.leaks_page import MOST_SAID, PAGE, Beside, leak_rows, write_leaks
from vlmt_cli.clean.removal import LAST_RELATION, Removal
from vlmt_cli.clean.scan import HITS, IMAGE
from vlmt_cli.datasets.table import short_title
from vlmt_cli.mixtures.batch import Source, Wanted
from vlmt_cli.mixtures.forms import FORMS

_MOST_READ = 5_000
"""Records of a file that are read again for the page, the first ones, and those that are read with them."""


def write_scan_leaks(
    folder: Path,
    title: str,
    lead: str,
    hits: pa.Table,
    benchmarks: Mapping[str, Benchmark],
    sources: Sequence[Source],
    data: Path,
) -> Path:
    """Write the page of a scan into its folder.

    Args:
        folder: where ``hits.parquet`` lies.
        title, lead: of the page.
        hits: of ``scan.HITS``.
        benchmarks: that were looked for, by name.
        sources: the files of the mixture.
        data: the data folder, whose examples and photos are shown where they are there.
    """
    rows = leak_rows(hits)
    first = rows.slice(0, MOST_SAID)
    photos = {}
    for source in sources:
        mine = first.filter(pc.equal(first["file"], source.name))
        for written in mine["written"].drop_null().unique().to_pylist():
            if path := _below(source, written):
                photos[source.name, written] = path
    beside = Beside(
        said=_said(first, sources),
        asked=_asked(first, {name: each.family for name, each in benchmarks.items()}, data),
        photos=photos,
        test_photos=_photos(first, data),
    )
    titles = {name: each.title for name, each in benchmarks.items()}
    write_leaks(folder / PAGE, title, lead, rows, titles, beside, "hits.parquet")
    return folder / PAGE


def split_leaks(removal: Removal, removed: pa.Table, data: Path) -> Callable[[Path, str], None]:
    """Get the page of a clean split ready, while the tables of examples lie where they were read from.

    Args:
        removal: what cleaning took out.
        removed: its table.
        data: the data folder, whose photos are shown where they are there.

    Returns:
        What writes the page, given its path and what came out, in a sentence.
    """
    hits = _hits_of(removed, removal)
    rows = leak_rows(hits)
    first = rows.slice(0, MOST_SAID)
    tables = {_label(each.dataset, each.name): each.path for each in removal.overlap.splits if each.path}
    said: dict[tuple[str, int], str] = {}
    for file in first["file"].unique().to_pylist():
        numbers = pc.list_element(first.filter(pc.equal(first["file"], file))["record_list"], 0)
        texts = pq.read_table(tables[file], columns=["text"])["text"].take(numbers) if file in tables else ()
        said |= {
            (file, row): text.as_py() or "" for row, text in zip(numbers.to_pylist(), texts, strict=bool(len(texts)))
        }
    tests: dict[str, list[Path]] = {}
    for split in removal.overlap.splits:
        if split.role == "test" and split.path:
            tests.setdefault(split.test_set, []).append(split.path)
    photos = _photos(first, data)
    own = {
        (row["file"], row["written"]): photos[row["written"]] for row in first.to_pylist() if row["written"] in photos
    }
    titles = {each.test_set: short_title(each.test_set) for each in removal.overlap.splits if each.role == "test"}
    asked = {key: texts for name, paths in tests.items() for key, texts in _texts_of(first, name, paths).items()}
    beside = Beside(said, asked, own, photos)
    title, table = "Test images in training data", "removed.parquet"
    return lambda path, lead: write_leaks(path, title, lead, rows, titles, beside, table, "split")


def _hits_of(removed: pa.Table, removal: Removal) -> pa.Table:
    """Lay out removed examples as hits: a row an image of an example and a test set that it belongs to."""
    overlap = removal.overlap
    number = overlap.numbers[LAST_RELATION[removal.identity]]
    removed = removed.combine_chunks()
    hits = removed["hits"].combine_chunks()
    of = pc.list_parent_indices(hits)
    each = hits.flatten()
    names = [removed[name].cast(pa.string()) for name in ("dataset", "split")]
    titles = {name: short_title(name) for name in names[0].unique().to_pylist()}
    files = pc.binary_join_element_wise(_mapped(names[0], titles), names[1], " ")
    key, test = pc.struct_field(each, "image"), pc.struct_field(each, "test_set")
    shown, image = pc.index_in(key, value_set=overlap.keys).to_numpy(), np.zeros(len(key), np.int64)
    for name in overlap.tests:  # under which key the test set has the image
        own = np.full(number.max() + 1, -1)
        for split, codes in zip(overlap.splits, overlap.codes, strict=True):
            if split.role == "test" and split.test_set == name:
                own[number[codes]] = codes
        mine = pc.equal(test, name).to_numpy(zero_copy_only=False)
        image[mine] = own[number[shown[mine]]]
    columns = {
        "file": files.take(of),
        "record": removed["row"].take(of).cast(pa.int64()),
        "record_id": removed["example_id"].take(of),
        "position": pa.nulls(len(of), pa.int32()),
        "written": key,
        "key": key,
        "benchmark": test,
        "image": overlap.keys.take(pa.array(image)),
        "how": pc.struct_field(each, "how"),
        "shows": pa.repeat(pa.scalar(IMAGE), len(of)),
        "distance": pa.nulls(len(of), pa.int32()),
        "cosine": pa.nulls(len(of), pa.float32()),
        "pixels": pa.nulls(len(of), pa.string()),
    }
    return pa.table(columns).cast(HITS)


def _mapped(column: pa.ChunkedArray, names: Mapping[str, str]) -> pa.ChunkedArray:
    """Put another name for each."""
    place = pc.index_in(column, value_set=pa.array(list(names), pa.string()))
    return pa.chunked_array([pa.array(list(names.values()), pa.string())]).take(place)


def _label(dataset: str, split: str) -> str:
    return f"{short_title(dataset)} {split}"


def _said(first: pa.Table, sources: Sequence[Source]) -> dict[tuple[str, int], str]:
    """Read what the first record of each row says."""
    said = {}
    for source in sources:
        mine = first.filter(pc.equal(first["file"], source.name))
        wanted = sorted(set(pc.list_element(mine["record_list"], 0).to_pylist()))
        batches = FORMS[source.form].read(source, Wanted(texts=True, texts_of=frozenset(wanted))) if wanted else ()
        for batch in batches:
            while wanted and wanted[0] < batch.first + batch.records:
                number = wanted.pop(0)
                turns = batch.texts[number - batch.first].as_py() if batch.texts is not None else None
                said[source.name, number] = "\n\n".join(turns or ())
            if not wanted or batch.first + batch.records >= _MOST_READ:
                break
    return said


def _asked(first: pa.Table, families: Mapping[str, str], data: Path) -> dict[tuple[str, str], list[str]]:
    """Read what the datasets behind benchmarks ask of the images, where their examples are there."""
    asked: dict[tuple[str, str], list[str]] = {}
    for name in first["benchmark"].unique().to_pylist():
        folder = data / "examples" / families.get(name, name)
        splits = [path for path in sorted(folder.glob("*.parquet")) if not path.stem.startswith("train")]
        paths = [path for path in splits if {"images", "text"} <= set(pq.read_schema(path).names)]
        asked |= _texts_of(first, name, paths)
    return asked


def _texts_of(first: pa.Table, benchmark: str, paths: Sequence[Path]) -> dict[tuple[str, str], list[str]]:
    """Read the texts of a benchmark's images from tables of examples."""
    wanted = first.filter(pc.equal(first["benchmark"], benchmark))["image"].combine_chunks().unique()
    texts: dict[tuple[str, str], list[str]] = {}
    for path in paths if len(wanted) else ():
        table = pq.read_table(path, columns=["images", "text"]).combine_chunks()
        images = table["images"].combine_chunks()
        shown = pc.is_in(images.flatten(), value_set=wanted)
        rows = pc.list_parent_indices(images).filter(shown)
        for image, text in zip(
            images.flatten().filter(shown).to_pylist(), table["text"].take(rows).to_pylist(), strict=True
        ):
            texts.setdefault((benchmark, image), []).append(text or "")
    return {key: list(dict.fromkeys(each)) for key, each in texts.items()}


def _photos(first: pa.Table, data: Path) -> dict[str, Path]:
    """Find the files of images among the photos of a data folder."""
    if not (data / "images").is_dir():
        return {}
    wanted = {*first["image"].to_pylist(), *first["key"].to_pylist()}
    with suppress(VlmtError):  # a folder without photos
        files, _ = image_files([str(data / "images")])
        return {file.image: Path(file.path) for file in files if file.image in wanted}
    return {}


def _below(source: Source, written: str) -> Path | None:
    """Return the file that a record names, if it lies below the folder of the mixture's file."""
    folder = (source.path if source.path.is_dir() else source.path.parent).resolve()
    for name in dict.fromkeys((str(Path(source.root) / written), written)):
        with suppress(OSError, ValueError):
            path = (folder / name).resolve()
            if path.is_relative_to(folder) and path.is_file():
                return path
    return None
