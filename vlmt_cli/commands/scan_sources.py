"""Files of a mixture passed over an index, with a bar; for ``vlmt scan`` and ``vlmt clean --mixture``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    import typer
    from numpy.typing import NDArray

    from vlmt_cli.base.progress import Progress
    from vlmt_cli.clean.drivers import Units, Work
    from vlmt_cli.clean.scan import Tally
    from vlmt_cli.clean.scan_drive import Pictures, Scanned
    from vlmt_cli.clean.scan_index import ScanIndex
    from vlmt_cli.clean.scan_report import ScannedFile
    from vlmt_cli.clean.verdicts import Verdicts
    from vlmt_cli.commands.scan_ways import Way
    from vlmt_cli.mixtures.batch import Source
    from vlmt_cli.mixtures.rules import Rules

    ScanUnits = Callable[[Work, Units, Progress], dict[int, Scanned]]


def scan_sources(
    sources: "Sequence[Source]",
    index: "ScanIndex",
    rules: "Rules",
    source: str | None,
    spans: "dict[Source, NDArray[np.int64]] | None" = None,
    pictures: "Pictures | None" = None,
    verdicts: "Verdicts | None" = None,
    scan_units: "ScanUnits | None" = None,
) -> "tuple[list[ScannedFile], Tally, pa.Table]":
    """Pass every file over the index.

    Args:
        sources: the files.
        index: to look in.
        rules: of the user, for names in private folders.
        source: of names whose form and folders say none.
        spans: where given, it is filled with where the records of each file stand that is faster to write so.
        pictures: how pictures are compared, too.
        verdicts: of a person, on pictures that look alike.
        scan_units: scans the units into which files are cut; else this process does.

    Returns:
        The files, what they have, and rows of ``HITS`` with the files' names, borderline ones among them.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from vlmt_cli.clean import scan_kept
    from vlmt_cli.clean.drivers import Work, in_process, units_of, whole
    from vlmt_cli.clean.scan import BORDERLINE_HIT, Tally, all_hits
    from vlmt_cli.clean.scan_report import ScannedFile
    from vlmt_cli.clean.verdicts import settled
    from vlmt_cli.commands.show import progress
    from vlmt_cli.mixtures.sampling import seen_records

    work = Work(index, rules, source, pictures, spans is not None)
    units, owner = units_of(sources)
    with progress("Scanning", size=True) as update:
        if scan_units is None:
            done = scan_kept.scan_units(work, units, in_process, progress=update)
        else:
            done = scan_units(work, units, update)
    tally, scanned, parts = Tally(), [], []
    by_file: list[list[Scanned]] = [[] for _ in sources]
    for unit, _ in units:
        by_file[owner[unit]].append(done.pop(unit))
    for each, of_file in zip(sources, by_file, strict=True):
        file = whole(of_file)
        tally.add(file.tally)
        hits = settled(file.hits, verdicts)
        hit = set(hits["record"].filter(pc.not_equal(hits["how"], BORDERLINE_HIT)).to_pylist())
        parts.append(hits.set_column(0, "file", pa.array([each.name] * len(hits), pa.string())))
        if spans is not None and file.spans is not None and all(part.spans is not None for part in of_file):
            spans[each] = file.spans
        seen = seen_records(each.sampling, file.records)
        scanned.append(
            ScannedFile(
                path=each.name,
                form=each.form,
                sampling=each.sampling,
                records=file.records,
                hit_records=len(hit),
                seen_records=None if seen is None else len(seen),
                seen_hit_records=None if seen is None else sum(record in seen for record in hit),
            )
        )
    return scanned, tally, all_hits(parts)


def scan_part(work: "Work", sources: "Sequence[Source]", folder: "Path", way: "Way") -> str:
    """Scan one shard of a mixture; returns what to say of it."""
    from vlmt_cli.base.words import count
    from vlmt_cli.clean.drivers import units_of
    from vlmt_cli.commands.show import progress

    assert way.shard is not None
    units, _ = units_of(sources)
    with progress("Scanning", size=True) as update:
        mine = way.scan_shard(folder, work, units, update)
    number, of = way.shard
    return f"Shard {number} of {of}, {count(mine, 'part')} of {len(units):,}; when all are there: the same with --merge"


def sources_given(context: "typer.Context", mixture: Sequence[str], form: str | None, way: "Way") -> "list[Source]":
    """Return the files of a mixture; those elsewhere are copied, if they must be, until the command ends.

    Where Daft scans they are read there, with its reader.
    """
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from vlmt_cli.base.file_systems import is_elsewhere
    from vlmt_cli.commands.show import progress
    from vlmt_cli.mixtures.elsewhere import sources_elsewhere
    from vlmt_cli.mixtures.opening import sources_of

    sources: list[Source] = []
    for given in mixture:
        if not is_elsewhere(given):
            sources += sources_of(given, form)
            continue
        if way.is_daft and not given.startswith("file://"):
            from vlmt_cli.clean.scan_daft import daft_sources

            sources += daft_sources(given, way.ray, way.workers)
            continue
        copies = TemporaryDirectory(prefix="vlmt-")
        context.call_on_close(copies.cleanup)
        with progress(f"Copying {given}", size=True) as update:
            sources += sources_elsewhere(given, form, Path(copies.name), update)
    return sources
