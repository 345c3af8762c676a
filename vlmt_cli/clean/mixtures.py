"""Mixtures that are cleaned beside the datasets: scanned for their test images, and given back without them.

What is kept of the datasets does not depend on a mixture, and so the split hash does not either: a mixture has a hash
of its own, which ``sha256sum`` gives, too. A record that shows a test image of the union goes, as whoever scans for it
by name, address or link would see it.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.files import write_parquet, write_text
from vlmt_cli.base.identity import HOW
from vlmt_cli.clean.croissant import files_below
from vlmt_cli.clean.index import Benchmark, Index, aliases_of, image_rows
from vlmt_cli.clean.mixture_report import FOLDER, CleanedFile, MixtureReport
from vlmt_cli.clean.overlap import Overlap, Share
from vlmt_cli.clean.question import Mixture, list_hash
from vlmt_cli.clean.scan import Tally
from vlmt_cli.clean.scan_index import ScanIndex
from vlmt_cli.clean.scan_report import ScannedFile
from vlmt_cli.clean.scan_write import write_mixture
from vlmt_cli.clean.splits import with_role
from vlmt_cli.mixtures.batch import Source
from vlmt_cli.mixtures.datacomp import SUBSET


@dataclass(frozen=True)
class ScannedMixture:
    """A mixture passed over the datasets' test images.

    Attributes:
        given: as it was asked for.
        sources: its files.
        files: what they have.
        tally: what else was met.
        hits: rows of ``HITS``; benchmarks are test sets.
        partly: images that were not compared with all test sets, though they could be looked up.
    """

    given: Mixture
    sources: Sequence[Source]
    files: Sequence[ScannedFile]
    tally: Tally
    hits: pa.Table
    partly: int = 0


def index_of_tests(overlap: Overlap, last: str, tests: Collection[str] | None = None) -> ScanIndex:
    """Make an index of the datasets' own test images, as the relations up to ``last`` let them be recognised.

    Args:
        overlap: the datasets.
        last: the last relation to believe.
        tests: the test sets to look for; all by default.
    """
    splits = [each for each in with_role(overlap.splits, "test") if tests is None or each.test_set in tests]
    rows = pa.concat_tables(
        [
            image_rows("", pa.nulls(0, pa.string())),
            *(image_rows(each.test_set, each.images.flatten()) for each in splits),
        ]
    )
    images = rows.group_by(["benchmark", "image"], use_threads=False).aggregate([])
    images = images.append_column("texts", pa.nulls(len(images), pa.list_(pa.uint64())))
    index = Index({each.test_set: Benchmark(each.test_set, each.test_set) for each in splits}, images, overlap.links)
    aliases = aliases_of(index)
    believed = pc.is_in(aliases["how"], value_set=pa.array(HOW[: HOW.index(last) + 1]))
    return ScanIndex(index, aliases.filter(believed).combine_chunks())


def shares(
    mixture: ScannedMixture, overlap: Overlap, hits: pa.Table, last: str
) -> tuple[dict[str, Share], dict[str, Share]]:
    """Return for each test set the share of its images that some hits show, and of the records that show them."""
    number = overlap.numbers[last]
    images, records = {}, {}
    for test in overlap.tests:
        codes = [
            c for s, c in zip(overlap.splits, overlap.codes, strict=True) if s.role == "test" and s.test_set == test
        ]
        mine = hits.filter(pc.equal(hits["benchmark"], test))
        shown = pc.index_in(mine["image"].unique(), overlap.keys).to_numpy()
        of = len(np.unique(np.concatenate([number[each] for each in codes])))
        images[test] = Share(len(np.unique(number[shown])), of)
        records[test] = Share(len(_records(mine)), mixture.tally.records)
    return images, records


def hits_of(mixture: ScannedMixture, tests: Collection[str], last: str) -> pa.Table:
    """Return the hits on some test sets that relations up to ``last`` explain."""
    hits, how = mixture.hits, pa.array(HOW[: HOW.index(last) + 1])
    return hits.filter(
        pc.and_(
            pc.is_in(hits["benchmark"], value_set=pa.array(sorted(tests), pa.string())),
            pc.is_in(hits["how"], value_set=how),
        )
    )


def hits_left(mixture: ScannedMixture, removing: pa.Table) -> pa.Table:
    """Return the hits of the records that stay where the records of some hits go."""
    return mixture.hits.join(_records(removing), ["file", "record"], join_type="left anti", use_threads=False)


def report_of(mixture: ScannedMixture, removing: pa.Table, by_paper: pa.Table) -> MixtureReport:
    """Report on a mixture whose records of some hits go; ``by_paper`` are those of the paper's identity."""
    gone = _records(removing)
    per_file = {each["values"]: each["counts"] for each in pc.value_counts(gone["file"]).to_pylist()}
    return MixtureReport(
        name=mixture.given.name,
        files=[
            CleanedFile(
                path=file.path,
                form=file.form,
                root=source.root,
                fields=source.fields,
                records=file.records,
                removed=per_file.get(file.path, 0),
            )
            for file, source in zip(mixture.files, mixture.sources, strict=True)
        ],
        records=mixture.tally.records,
        removed=len(gone),
        removed_under_paper_identity=len(_records(by_paper)),
        images=mixture.tally.images,
        unnamed=sum(mixture.tally.unnamed.values()),
        unnamed_examples=[name for names in mixture.tally.examples.values() for name in names][:3],
        partly=mixture.partly,
        damaged=mixture.tally.damaged_records,
        unmet=mixture.tally.unmet,
        by_test_set=_counted(removing, "benchmark"),
        by_relation={how: n for how in HOW if (n := _counted(removing, "how").get(how))},
    )


def refuse_inside(mixture: Mixture, sources: Sequence[Source], folder: Path) -> None:
    """Refuse to clean what lies in the split's own folder, which is replaced as a whole.

    Raises:
        UsageError: it does.
    """
    inside = folder.resolve() / FOLDER
    for source in sources:
        if source.path.resolve().is_relative_to(inside):
            todo = "give the mixture that it was made of, or write to another folder with --to"
            raise UsageError(
                f"is what cleaning {mixture.name} wrote, and would be replaced", where=source.path, todo=todo
            )


def write_cleaned(
    mixture: ScannedMixture, report: MixtureReport, removing: pa.Table, new: Path, to: Path
) -> MixtureReport:
    """Write a mixture in its own form without the records of some hits, and these hits beside it.

    Args:
        mixture: that was scanned.
        report: about it.
        removing: its hits.
        new: the split's folder while it is written.
        to: where that folder goes, which lists of mixtures name.

    Returns:
        The report with what was written.
    """
    folder = new / FOLDER / report.name
    counts = [each.records for each in mixture.files]
    paths, _ = write_mixture([mixture.given.path], mixture.sources, counts, removing, folder)
    own = list(dict.fromkeys(source.path for source in mixture.sources))
    written = {path: copy.relative_to(folder).as_posix() for path, copy in zip(own, paths, strict=False)}
    for path in paths[len(own) :]:  # lists, which name the others by their path
        if path.name != SUBSET:
            write_text(path, path.read_text(encoding="utf-8").replace(str(folder), str(to / FOLDER / report.name)))
    write_parquet(new / FOLDER / f"{report.name}.removed.parquet", removing)
    sha256 = hashes_below(folder)
    files = [
        file.model_copy(update={"written": written[source.path]})
        for file, source in zip(report.files, mixture.sources, strict=True)
    ]
    return report.model_copy(update={"files": files, "sha256": sha256, "hash": hash_of_files(sha256)})


def hashes_below(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files in a folder, pictures left out, by their path in it."""
    return {path.relative_to(folder).as_posix(): list_hash(path) for path in files_below(folder)}


def hash_of_files(sha256: dict[str, str]) -> str:
    """Hash a mixture: the SHA-256 of the lines that ``sha256sum`` prints of its files, sorted by path."""
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(sha256.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def written_sources(folder: Path, report: MixtureReport) -> list[Source]:
    """Return the files that were written of a mixture in a split's folder."""
    return [
        Source(folder / FOLDER / report.name / file.written, file.form, file.root, fields=file.fields)
        for file in report.files
        if file.written
    ]


def _records(hits: pa.Table) -> pa.Table:
    return hits.group_by(["file", "record"], use_threads=False).aggregate([])


def _counted(hits: pa.Table, column: str) -> dict[str, int]:
    """Count the records of each value of a column."""
    distinct = hits.group_by([column, "file", "record"], use_threads=False).aggregate([])
    return {each["values"]: each["counts"] for each in pc.value_counts(distinct[column]).to_pylist()}
