"""What a scan found, as ``report.json`` and ``report.md`` have it."""

import math
from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from vlmt_cli.base.documents import read_json
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.clean.index_gaps import gaps_of
from vlmt_cli.clean.scan import BORDERLINE_HIT, IMAGE_AND_TEXT, Tally
from vlmt_cli.clean.scan_index import WAYS, ScanIndex, hit_images
from vlmt_cli.mixtures.rules import NO_RULES, Rules

SCAN_VERSION = 3
_EXAMPLES = 3


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScannedFile(_Model):
    """A file of the mixture.

    Attributes:
        path: as it was given, or as its list names it.
        form: its key in ``mixtures.forms.FORMS``.
        sampling: how its list samples it.
        records, hit_records: of it, all of them.
        seen_records, seen_hit_records: those of them that training sees, as its list samples it; None where these are
            drawn at random.
    """

    path: str
    form: str
    sampling: str | None
    records: NonNegativeInt
    hit_records: NonNegativeInt
    seen_records: NonNegativeInt | None = None
    seen_hit_records: NonNegativeInt | None = None


class HitBenchmark(_Model):
    """A benchmark that was looked for.

    Attributes:
        title: in print.
        images: its test images that the mixture shows.
        known, of: how many of them the index knows, and how many there are; None where that is not known.
        records: of the mixture that show any.
        with_text: those of them that also have a text that the benchmark asks about the image.
        has_texts: whether the index has the benchmark's texts.
        how: images by how they are known; an image may be known in several ways.
        ways: by which of ``clean.scan_index.WAYS`` the mixture's images are compared with it.
        lacks: what the index lacks of it, and what that could hide.
    """

    title: str
    images: NonNegativeInt
    known: NonNegativeInt
    of: int | None
    records: NonNegativeInt
    with_text: NonNegativeInt
    has_texts: bool
    how: dict[str, int]
    ways: tuple[str, ...] = WAYS
    lacks: tuple[str, ...]


class Unnamed(_Model):
    """Images of one folder whose names say nothing."""

    images: NonNegativeInt
    examples: tuple[str, ...]


class ScanReport(_Model):
    """A scan.

    Attributes:
        version: of this file.
        given: what was scanned, as absolute paths.
        mixture: the files.
        records, images, hit_records: all in all.
        without_image, videos, damaged: records without an image; videos, which are not compared; records that could
            not be read.
        damaged_examples: the first of them.
        unmet: records without an image whose text says ``<image>``.
        compared: images that were compared with any of the benchmarks.
        ways: images by which of ``clean.scan_index.WAYS`` they can be looked up, with + between them.
        way_examples: of these, but for names, the first as they stand there.
        pictures: images whose picture was compared; None where pictures were not asked for.
        unseen: images whose picture was not compared, by the reason.
        embedding: by which network's embeddings pictures were compared, and from which cosine they count.
        to_judge: pairs of a picture and a test image that look alike, and that a person must judge.
        other_sources: images of sources that none of the benchmarks uses.
        unnamed: images that nothing names, by folder.
        idle_rules: of the user that fit no name, as they are written.
        benchmarks: by name.
    """

    version: PositiveInt = SCAN_VERSION
    given: tuple[str, ...] = ()
    mixture: tuple[ScannedFile, ...]
    records: NonNegativeInt
    images: NonNegativeInt
    hit_records: NonNegativeInt
    without_image: NonNegativeInt
    videos: NonNegativeInt
    unmet: NonNegativeInt = 0
    damaged: NonNegativeInt
    damaged_examples: tuple[str, ...]
    compared: NonNegativeInt
    ways: dict[str, int] = {}
    way_examples: dict[str, tuple[str, ...]] = {}
    pictures: int | None = None
    unseen: dict[str, int] = {}
    embedding: str | None = None
    to_judge: NonNegativeInt = 0
    other_sources: dict[str, int]
    unnamed: dict[str, Unnamed]
    idle_rules: tuple[str, ...] = ()
    benchmarks: dict[str, HitBenchmark]


def make_report(
    files: Sequence[ScannedFile],
    tally: Tally,
    hits: pa.Table,
    index: ScanIndex,
    given: Sequence[str] = (),
    pictures: bool = False,
    rules: Rules = NO_RULES,
) -> ScanReport:
    """Put the report of a scan together.

    Args:
        files, tally, hits: what was scanned and met; borderline hits count as pairs to judge alone.
        index: that was looked in.
        given: what was scanned, as absolute paths.
        pictures: whether pictures were compared.
        rules: of the user.
    """
    is_borderline = pc.equal(hits["how"], BORDERLINE_HIT)
    to_judge, hits = hits.filter(is_borderline), hits.filter(pc.invert(is_borderline))
    images = hit_images(hits)
    benchmarks = {}
    for name, benchmark in index.index.benchmarks.items():
        mine = hits.filter(pc.equal(hits["benchmark"], name))
        ways = mine.group_by(["how", "image"]).aggregate([])
        with_text = mine.filter(pc.equal(mine["shows"], IMAGE_AND_TEXT))
        benchmarks[name] = HitBenchmark(
            title=benchmark.title,
            images=images.get(name, 0),
            known=index.index.known[name],
            of=benchmark.of,
            records=_records(mine),
            with_text=_records(with_text),
            has_texts=any(of == name for of, _ in index.texts),
            how={each["values"]: each["counts"] for each in pc.value_counts(ways["how"]).to_pylist()},
            ways=tuple(way for way in WAYS if way in index.ways[name]),
            lacks=(*gaps_of(index.index, name), *(_not_pictured(index, name) if pictures else ())),
        )
    return ScanReport(
        given=tuple(given),
        mixture=tuple(files),
        records=tally.records,
        images=tally.images,
        hit_records=_records(hits),
        without_image=tally.without_image,
        videos=tally.videos,
        unmet=tally.unmet,
        damaged=tally.damaged_records,
        damaged_examples=tuple(f"record {each.record}: {each.reason}" for each in tally.damaged),
        compared=tally.compared,
        ways=dict(tally.ways.most_common()),
        way_examples={ways: tuple(examples) for ways, examples in tally.way_examples.items()},
        pictures=tally.pictures if pictures else None,
        unseen=dict(tally.unseen.most_common()),
        embedding=_embedding(index) if pictures and index.embeddings else None,
        to_judge=len(to_judge.group_by(["image", "pixels"]).aggregate([])),
        other_sources=dict(tally.other_sources.most_common()),
        unnamed={
            folder: Unnamed(images=images, examples=tuple(tally.examples[folder]))
            for folder, images in tally.unnamed.most_common()
        },
        idle_rules=tuple(rule for rule in rules.written if rule not in tally.rules),
        benchmarks=benchmarks,
    )


def _not_pictured(index: ScanIndex, name: str) -> list[str]:
    """Say how many images of a benchmark cannot be recognised by what they look like."""
    known, pictured = index.index.known[name], index.pictured.get(name, 0)
    embedded = index.embedded.get(name, 0)
    if index.embeddings and embedded < known:
        todo = "vlmt index add NAME=FOLDER --embed adds them"
        return [f"embeddings of {embedded:,} of {known:,} images are known: crops of others can be missed; {todo}"]
    if pictured >= known:
        return []
    todo = "vlmt index add NAME=FOLDER adds pictures"
    if not pictured:
        return [f"what its images look like is not known: a copy without a name is not recognised; {todo}"]
    what = f"what {pictured:,} of {known:,} images look like is known"
    return [f"{what}: a copy of another without a name is not recognised; {todo}"]


def _embedding(index: ScanIndex) -> str:
    """Say by which network's embeddings pictures were compared, and which thresholds are nobody's."""
    assert index.embeddings
    embedder, (same, borderline) = index.embeddings.load(), index.embeddings.cosines
    name = f"Compared by embeddings of {embedder.model.name} (SHA-256 {embedder.sha256[:16]})"
    if math.isinf(same):
        todo = "vlmt index calibrate measures where copies begin, and --cosine takes it"
        return f"{name}; no threshold was calibrated: from cosine {borderline:g} a person must judge; {todo}"
    return f"{name}: the same from cosine {same:g}, to be judged from {borderline:g}, as --cosine says"


def _records(hits: pa.Table) -> int:
    return len(hits.group_by(["file", "record"]).aggregate([]))


def refuse_other(folder: Path, given: Sequence[str], benchmarks: Collection[str], pictures: bool) -> None:
    """Refuse to replace the results of another mixture's scan, which has the same name, or of one that looked for more.

    Args:
        folder: of the results.
        given: what is scanned, as absolute paths.
        benchmarks: that are looked for.
        pictures: whether pictures are compared.

    Raises:
        UsageError: the folder has such results.
    """
    try:
        report = read_json(folder / "report.json")
        before, looked_for = tuple(report["given"]), list(report["benchmarks"])
        compared = report.get("pictures") is not None
    except (DataError, OSError, KeyError, TypeError):
        return
    todo = f"give this one another folder with --out, or delete {folder}"
    if before and before != tuple(given):
        raise UsageError(f"holds the scan of {', '.join(map(str, before))}", where=folder, todo=todo)
    if more := [name for name in looked_for if name not in benchmarks]:
        what = f"holds a scan that also looked for {', '.join(more[:_EXAMPLES])}"
        what += f" and {len(more) - _EXAMPLES} more" if len(more) > _EXAMPLES else ""
        raise UsageError(what, where=folder, todo=todo)
    if compared and not pictures:
        raise UsageError("holds a scan that also compared pictures", where=folder, todo=todo)
