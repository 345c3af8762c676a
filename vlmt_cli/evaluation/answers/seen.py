"""Which images of a benchmark's rows a model's training saw: by a scan's hits, by scanning its mixture, or by a proxy.

An image that could not be looked up is neither seen nor unseen. A proxy is a dataset that the model is only supposed to
have been trained on: COCO's train2017 (train2014 and val2014 less val2017), or the training split of a dataset here.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.file_systems import is_elsewhere
from vlmt_cli.base.keys import sources_of_keys
from vlmt_cli.base.progress import Progress
from vlmt_cli.base.schema import parse
from vlmt_cli.base.words import count, listed, quoted
from vlmt_cli.clean.index import Benchmark, Index, image_rows, make_index
from vlmt_cli.clean.own_index import known_index
from vlmt_cli.clean.scan import HITS, Tally, all_hits, scan_batch
from vlmt_cli.clean.scan_claim import partly_compared
from vlmt_cli.clean.scan_index import ready
from vlmt_cli.clean.scan_report import ScanReport
from vlmt_cli.datasets.prepared import prepared
from vlmt_cli.datasets.table import DATASETS
from vlmt_cli.evaluation.answers.apart import told_apart
from vlmt_cli.evaluation.answers.rows import Rows
from vlmt_cli.evaluation.contamination import seen_in_training
from vlmt_cli.evaluation.leaks import read_links
from vlmt_cli.mixtures.batch import Wanted
from vlmt_cli.mixtures.elsewhere import sources_elsewhere
from vlmt_cli.mixtures.forms import FORMS
from vlmt_cli.mixtures.opening import sources_of
from vlmt_cli.paper import numbers
from vlmt_cli.tasks.tables import read_columns

TRAIN2017 = "coco-train2017"
_VAL2017 = "coco2017-val"
_TRAINVAL = ("train2014", "val2014", "trainval2014")
_UNNAMED = ("row:", "name:")
_LINKED = {"coco", "vg", "flickr30k", "nlvr2"}
"""Sources whose images crosswalks or addresses name elsewhere."""
_COCO_OF = {"pope": "val2014", "coco": "val2014", "refcoco": "train2014", "refcoco+": "train2014",
            "refcocog": "train2014", "guesswhat": "trainval2014"}  # fmt: skip
"""Benchmarks all of whose COCO images are of 2014's train and val."""
_NAME_THEM = "give a file to --rows whose records name their images"
_TRAINED_ON_VAL = ("vqa", "gqa")
"""Datasets whose training set holds most of their official val."""
_NEARLY_ALL = 0.9
"""What share of the examples that the paper counts a training set has at least, if it is whole."""


@dataclass(frozen=True)
class Saw:
    """What training saw of N rows' images.

    Attributes:
        seen: which were seen, (N,).
        known: which could be looked up, (N,).
        what: where that is from, in words.
        caveats: what it leaves open, in sentences.
        is_proxy: whether it is only supposed.
    """

    seen: NDArray[np.bool_]
    known: NDArray[np.bool_]
    what: str
    caveats: tuple[str, ...]
    is_proxy: bool = False


def seen_by_scan(rows: Rows, hits: Path, data: Path) -> Saw:
    """Take what a scan found.

    Args:
        rows: N.
        hits: ``hits.parquet`` of ``vlmt scan``, or its folder; ``report.json`` beside it says what was looked for.
        data: the data folder.

    Raises:
        DataError: a file is missing or damaged, or the scan did not look for any of these images.
    """
    folder = hits if hits.is_dir() else hits.parent
    path = hits / "hits.parquet" if hits.is_dir() else hits
    todo = "give --seen the folder that vlmt scan wrote, or scan again"
    if not path.exists():
        raise DataError("there is no such file", where=path, todo="make it with vlmt scan MIXTURE")
    _check_is_of_scan(path, todo)
    table = read_columns(path, ["benchmark", "image", "key"])
    try:
        report = parse(ScanReport, read_json(folder / "report.json", todo), folder / "report.json", todo=todo)
    except FileNotFoundError as error:
        what = "there is no report.json beside it, which says what the scan looked for"
        raise DataError(what, where=path, todo=todo) from error
    index = known_index(data if data.is_dir() else None)
    links = _links(data, index)
    looked_for = index.images.filter(pc.is_in(index.images["benchmark"], value_set=pa.array(list(report.benchmarks))))
    images = rows.table["images"]
    hit = pa.concat_arrays([table[name].combine_chunks().drop_null().cast(pa.string()) for name in ("image", "key")])
    seen = seen_in_training(images, hit, links)
    known = seen | seen_in_training(images, looked_for["image"], links)
    if not known.any():
        lost = sorted(report.benchmarks.keys() - index.benchmarks.keys())
        what = f"the scan did not look for the images of {rows.name}"
        what += f", as far as is known here: {listed(lost)} is of another index" if lost else ""
        raise DataError(what, where=path, todo="scan with --against, or give the mixture to --trained-on")
    _check_compared(path, "is of a scan that found", report.records, report.images, report.compared)
    unnamed = sum(each.images for each in report.unnamed.values())
    unnamed += sum(each.images for each in partly_compared(report))
    mixture = listed([Path(each.path).name for each in report.mixture[:2]]) + (
        f" and {len(report.mixture) - 2} more" if len(report.mixture) > 2 else "")  # fmt: skip
    caveats = _caveats(unnamed, report.damaged, report.unmet, _names_alone(rows, known & ~seen))
    return Saw(seen, known, f"a scan of {mixture}", caveats)


def _check_is_of_scan(path: Path, todo: str) -> None:
    """Refuse a file that does not hold a scan's hits, such as a clean split's removed.parquet."""
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowException) as error:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
        if is_parquet:
            return  # and damaged, which is said where it is read
        raise DataError("is not hits.parquet of a scan: it is not Parquet", where=path, todo=todo) from error
    if lacking := [name for name in ("benchmark", "image", "key") if name not in names]:
        what = f"is not hits.parquet of a scan: it has no column {listed(lacking)}"
        raise DataError(what, where=path, todo=todo)


def seen_by_mixture(rows: Rows, mixture: str, data: Path, progress: Progress = lambda name, done, total: None) -> Saw:
    """Scan a mixture for the rows' images.

    Raises:
        DataError: it is missing, damaged, or of no known form.
    """
    images = rows.table["images"].combine_chunks()
    keys = images.flatten().unique()
    named = keys.filter(pc.invert(_is_unnamed(keys)))
    known = _rows_with(images, ~_is_unnamed(images.flatten()).to_numpy(zero_copy_only=False))
    if not len(named):
        raise DataError(f"nothing names the images of {rows.name}", todo=_NAME_THEM)
    links = _links(data, known_index(data if data.is_dir() else None))
    only = make_index({"rows": Benchmark(rows.name, "rows")}, image_rows("rows", named), links)
    index = ready(only, ["rows"])
    tally, parts = Tally(), []
    with TemporaryDirectory(prefix="vlmt-") as copies:
        if is_elsewhere(mixture):
            sources = sources_elsewhere(mixture, None, Path(copies), progress)
        else:
            sources = sources_of(mixture)
        for number, source in enumerate(sources):
            progress(Path(source.name).name, number, len(sources))
            for batch in FORMS[source.form].read(source, Wanted()):
                hits, met = scan_batch(batch, index, source.root)
                tally.add(met)
                parts.append(hits)
    _check_compared(mixture, "has", tally.records, tally.images, tally.compared)
    hits = all_hits(parts)
    is_hit = pc.is_in(images.flatten(), value_set=hits["image"].combine_chunks().cast(HITS.field("image").type))
    seen = _rows_with(images, is_hit.to_numpy(zero_copy_only=False)) & known
    alone = _names_alone(rows, known & ~seen)
    caveats = _caveats(tally.images - tally.compared, tally.damaged_records, tally.unmet, alone)
    return Saw(seen, known, f"a scan of {Path(mixture).name}", caveats)


def _check_compared(where: object, has: str, records: int, images: int, compared: int) -> None:
    """Refuse a mixture of which no image was looked up: it does not tell what training saw."""
    if compared:
        return
    what = f"{count(records, 'record')} without an image that is read" if records else "no records"
    todo = "give the model's training data, with images"
    if images:
        what = f"{count(images, 'image')} that no name, address or hash identifies"
        todo = "vlmt scan of the model's training data, with --check, says what would help"
    raise DataError(f"{has} {what}, so that it does not tell what training saw", where=where, todo=todo)


def seen_by_dataset(rows: Rows, name: str, data: Path) -> Saw:
    """Suppose that a model was trained on COCO's train2017, or on the training split of a dataset here.

    Raises:
        UsageError: there is neither a file nor a dataset of that name.
        DataError: its examples were not prepared, or nothing is known of the rows' images.
    """
    index = known_index(data if data.is_dir() else None)
    links, images = _links(data, index), rows.table["images"]
    known = _rows_with(
        images.combine_chunks(), ~_is_unnamed(images.combine_chunks().flatten()).to_numpy(zero_copy_only=False)
    )
    lacking: tuple[str, ...] = ()
    if name == TRAIN2017:
        val2017 = seen_in_training(images, index.images_of(_VAL2017), links)
        trainval = seen_in_training(images, _trainval2014(rows, index), links)
        seen, known = trainval & ~val2017, trainval | val2017
        title, training = "COCO's train2017", pa.array(["coco:1"])
    elif name in DATASETS:
        table = read_columns(data / "examples" / name / "train.parquet", ["images"])
        training = pc.list_flatten(table["images"]).unique().cast(pa.string())
        seen = seen_in_training(images, training, links) & known
        known &= seen | told_apart(images.combine_chunks(), training, links, name)
        title = f"{DATASETS[name].title}'s training images"
        lacking = _lacking(data, name, len(table))
    else:
        todo = f"give a mixture's file, {TRAIN2017}, or one of {listed(list(DATASETS))}"
        raise UsageError(f"{quoted(name)} is neither a file nor a dataset", todo=todo)
    if pc.all(_is_unnamed(images.combine_chunks().flatten())).as_py():
        raise DataError(f"nothing names the images of {rows.name}", todo=_NAME_THEM)
    if not known.any():
        what = f"nothing tells whether the images of {rows.name}, which {_named_as(images.combine_chunks().flatten())}"
        what += f", are among {title}, which {_named_as(training)}"
        raise DataError(what, todo="scan the model's mixture")
    whole = "those that are known here" if lacking else "all of them"
    caveat = (
        f"This is a proxy: it supposes that training saw {title}, {whole} and nothing else of these images; a scan of"
        " the model's own mixture (--trained-on FILE) says what it saw."
    )
    return Saw(seen, known, title, (*lacking, caveat), is_proxy=True)


def _lacking(data: Path, name: str, examples: int) -> tuple[str, ...]:
    """Say what a dataset's training set lacks here: official files, or examples of those that are there."""
    made = prepared(data, name)
    read = set(made.manifest.raw) if made else set()
    files = [names for names in DATASETS[name].files if not any(_is_read(each, read) for each in names.split("|"))]
    others = ("test",) if name in _TRAINED_ON_VAL else ("test", "val", "dev")
    absent = [names.partition("|")[0] for names in files if not any(part in names.lower() for part in others)]
    official = numbers("table8_samples", "dataset", "full_train").get(name, 0)
    said = []
    if absent:
        said.append(f"{listed(absent)} {'is' if len(absent) == 1 else 'are'} missing")
    if examples < _NEARLY_ALL * official:
        said.append(f"it has {examples:,} of {official:,.0f} examples")
    if not said:
        return ()
    title = DATASETS[name].title
    return (f"{title}'s training set is incomplete here: {' and '.join(said)}; images of the rest count as not seen.",)


def _named_as(keys: pa.Array) -> str:
    """Say by whose names some images go."""
    names = keys.filter(pc.invert(_is_unnamed(keys)))
    sources = sorted(sources_of_keys(names).unique().to_pylist())
    return f"are named as those of {listed(sources)}" if sources else "nothing names"


def _is_read(file: str, read: set[str]) -> bool:
    return file in read or f"{file}.gz" in read


def seen_of(rows: Rows, given: str, data: Path, progress: Progress = lambda name, done, total: None) -> Saw:
    """Return what training saw, by what ``--trained-on`` names: files of a mixture, or else a dataset."""
    if is_elsewhere(given) or Path(given).exists() or set(given) & set("*?["):
        return seen_by_mixture(rows, given, data, progress)
    return seen_by_dataset(rows, given, data)


def _trainval2014(rows: Rows, index: Index) -> pa.Array:
    """Return the COCO images that are known to be of 2014's train and val, those of the rows among them."""
    names = [name for name, each in index.benchmarks.items() if each.coco_split in _TRAINVAL]
    known = index.images.filter(pc.is_in(index.images["benchmark"], value_set=pa.array(names, pa.string())))["image"]
    own = rows.table["images"].combine_chunks().flatten().unique()
    is_trainval = rows.task in _COCO_OF or (rows.task == "vqa" and not rows.split.startswith("test"))
    mine = own.filter(pc.starts_with(own, "coco:")) if is_trainval else own.slice(0, 0)
    return pa.concat_arrays([known.combine_chunks().cast(pa.string()), mine.cast(pa.string())]).unique()


def _links(data: Path, index: Index) -> pa.Table:
    return pa.concat_tables([index.links, read_links(data)]) if data.is_dir() else index.links


def _caveats(missed: int, damaged: int, unmet: int, alone: list[str]) -> tuple[str, ...]:
    said = []
    if missed:
        what = f"{count(missed, 'image')} of the mixture could not be compared"
        said.append(f"{what}, with no name that says which: any may be one that counts as unseen.")
    if unmet:
        what = f"{count(unmet, 'record')} of the mixture {'speaks' if unmet == 1 else 'speak'} of an image"
        said.append(f"{what} in no field that is known: any may be one that counts as unseen.")
    if damaged:
        said.append(f"{count(damaged, 'record')} of the mixture could not be read.")
    if alone:
        said.append(
            f"Images of {listed(alone)} are known by name alone: the same photo under another name counts as unseen."
        )
    return tuple(said)


def _names_alone(rows: Rows, unseen: NDArray[np.bool_]) -> list[str]:
    """Name the sources of unseen images of which no crosswalk says what they are called elsewhere."""
    keys = rows.table["images"].combine_chunks().filter(pa.array(unseen)).flatten().unique()
    named = keys.filter(pc.invert(_is_unnamed(keys)))
    return sorted(set(sources_of_keys(named).unique().to_pylist()) - _LINKED)


def _is_unnamed(keys: pa.Array) -> pa.Array:
    return pc.or_(*(pc.starts_with(keys, prefix) for prefix in _UNNAMED))


def _rows_with(images: pa.ListArray, marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Say which of N lists have a marked image."""
    parents = pc.list_parent_indices(images).to_numpy()
    return np.bincount(parents, marked, minlength=len(images)) > 0
