"""``vlmt scan``: which benchmarks' test images a training mixture shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlmt_cli.commands.embedding import Cosine, Embed, with_embeddings
from vlmt_cli.commands.index import IndexFiles
from vlmt_cli.commands.options import DATA, Croissant, DataFolder, Json, Launcher, Sbatch, check_named
from vlmt_cli.commands.scan_ways import Engine, Merge, Ray, Shard, Shards

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from vlmt_cli.clean.scan_report import ScanReport
    from vlmt_cli.mixtures.batch import Source

_GAPS = 4
"""Lines about what the index lacks that a terminal shows."""


def scan(
    context: typer.Context,
    mixture: Annotated[
        list[str],
        typer.Argument(
            metavar="MIXTURE...",
            help="Files, globs or folders of training data, here or in an object store, or lists of such files.",
        ),
    ],
    against: Annotated[
        str | None, typer.Option(help="Benchmarks with commas, refcoco,pope; else all that vlmt index lists.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="DIR", help="Write the mixture in its own form without the records that hit."),
    ] = None,
    only_images: Annotated[
        bool,
        typer.Option(
            "--only-images",
            help="With --write: a record of several images loses those that hit alone, where its form allows that.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Exit with 4 on a hit, with 3 where nothing is checked; write no results."),
    ] = False,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append report.md's text to this file, with --check as well."),
    ] = None,
    form: Annotated[str | None, typer.Option(help="The mixture's form, where its content does not tell.")] = None,
    rules: Annotated[
        Path | None, typer.Option(help="A file that says what names in private folders mean: pics/{number}.jpg = coco.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="What bare numbers mean, such as coco or vg.")] = None,
    files: IndexFiles = None,
    images: Annotated[
        bool, typer.Option("--images", help="Compare the pictures, too: recognises copies without a name.")
    ] = False,
    image_folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --images: where the files are that records name; else beside the mixture's file."
        ),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --images: what a person has judged in gallery.html.")
    ] = None,
    test_images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIR", help="With --images: a benchmark's pictures, to be shown in gallery.html. Repeatable."
        ),
    ] = None,
    embed: Embed = None,
    cosine: Cosine = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes that scan; else one, or with --images as many as there are cores."),
    ] = None,
    shard: Shard = None,
    merge: Merge = False,
    launcher: Launcher = None,
    shards: Shards = 16,
    sbatch: Sbatch = None,
    engine: Engine = None,
    ray: Ray = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; else DATA/scans/MIXTURE.")] = None,
    croissant: Croissant = False,
    data: DataFolder = DATA,
    as_json: Json = False,
) -> None:
    """Find benchmarks' test images in training data, by names, addresses and hashes; with --images by pictures, too.

    Reads LLaVA's JSON, messages, Parquet and Arrow of the hub, webdataset, image folders, tables of addresses, lists of
    images, and lists of such files. What names no image is counted. An interrupted scan resumes when it is run again.

    Examples:

      vlmt scan llava_v1_5_mix665k.json

      vlmt scan train-*.parquet --against refcoco,gqa,pope --write clean/

      vlmt scan mixture.yaml --check --index benchmarks.parquet

      vlmt scan cauldron/*.parquet --images --index ours.parquet

      vlmt scan pool/*.parquet --shard 3/64      (on each machine its own, then with --merge)

      vlmt scan pool/*.parquet --launcher slurm --shards 64 --sbatch partition=cpu

      vlmt scan s3://bucket/pool/*.parquet --engine daft --ray HOST:6379
    """
    from vlmt_cli.base.without_pandas import without_pandas

    context.with_resource(without_pandas())
    import os
    from functools import partial

    import pyarrow.compute as pc

    from vlmt_cli.base.errors import DataError, LeakError, UsageError
    from vlmt_cli.base.file_systems import is_elsewhere
    from vlmt_cli.base.keys import right_source
    from vlmt_cli.base.words import count
    from vlmt_cli.clean.drivers import Work
    from vlmt_cli.clean.index import choose
    from vlmt_cli.clean.leaks import write_scan_leaks
    from vlmt_cli.clean.own_index import OWN, files_of_benchmarks, known_index
    from vlmt_cli.clean.scan import BORDERLINE_HIT
    from vlmt_cli.clean.scan_check import unchecked
    from vlmt_cli.clean.scan_claim import conclusion, markdown
    from vlmt_cli.clean.scan_drive import Pictures
    from vlmt_cli.clean.scan_index import ready
    from vlmt_cli.clean.scan_report import make_report, refuse_other
    from vlmt_cli.clean.scan_write import targets, write_mixture
    from vlmt_cli.clean.verdicts import NONE, read_verdicts
    from vlmt_cli.commands.scan_sources import scan_part, scan_sources, sources_given
    from vlmt_cli.commands.scan_ways import read_way, remove_kept
    from vlmt_cli.commands.show import say
    from vlmt_cli.mixtures.rules import NO_RULES, read_rules

    check_named(data)
    if check and write:
        raise UsageError("--check and --write exclude each other", todo="leave one of them out")
    if check and croissant:
        raise UsageError(
            "--croissant describes what is written, and --check writes nothing", todo="leave one of them out"
        )
    if only_images and not write:
        raise UsageError("--only-images goes with --write", todo="give --write a folder")
    if source is not None and (todo := right_source(source)):
        raise UsageError(f"{source!r} is not a source of images", todo=todo)
    if not images and (image_folder or verdicts or test_images):
        what = "--image-folder, --verdicts and --test-images go with --images"
        raise UsageError(what, todo="add --images")
    of_all = {"--write": write, "--check": check, "--croissant": croissant, "--summary": summary, "--json": as_json}
    whole = [option for option, value in of_all.items() if value]
    way = read_way(workers, shard, merge, launcher, shards, sbatch, engine, ray, whole)
    index = known_index(data if data.is_dir() else None, files or ())
    wanted = with_embeddings(ready(index, choose(index, against)), images, embed, cosine)
    sources = sources_given(context, mixture, form, way)
    if (write or croissant) and any(each.origin for each in sources):
        what = f"{'--write' if write else '--croissant'} needs the mixture on this machine"
        raise UsageError(what, todo="copy it here first")
    own_rules = read_rules(rules) if rules else NO_RULES
    named = [each if is_elsewhere(each) else str(Path(each).absolute()) for each in mixture]
    folder = out or data / "scans" / _name_of(mixture)
    if not (out or check):
        refuse_other(folder, named, wanted.index.benchmarks, images)
    if write:
        targets(mixture, sources, write, form)  # before a long scan
    spans: dict[Source, NDArray[np.int64]] = {}
    judged, test_files = read_verdicts(verdicts) if verdicts else NONE, files_of_benchmarks(test_images or ())
    pictures = Pictures(image_folder, workers or os.cpu_count() or 1) if images else None
    if way.shard:
        say(scan_part(Work(wanted, own_rules, source, pictures), sources, folder, way))
        return
    scan_units = partial(way.scan, folder, not check)
    scanned, tally, all_hits = scan_sources(
        sources, wanted, own_rules, source, spans if write else None, pictures, judged, scan_units
    )
    report = make_report(scanned, tally, all_hits, wanted, named, images, own_rules)
    hits = all_hits.filter(pc.not_equal(all_hits["how"], BORDERLINE_HIT))
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        _show(report)
    if summary:
        _append(summary, markdown(report))
    if check:
        if report.hit_records:
            todo = "take them out with vlmt scan --write DIR"
            raise LeakError(conclusion(report).rstrip("."), todo=todo)
        if unsaid := unchecked(report, None if against or not files else _within(files)):
            raise DataError(f"not checked: {unsaid.why}", where=", ".join(mixture), todo=unsaid.todo)
        return
    results = _write_results(folder, _name_of(mixture), report, hits)
    results.append(
        write_scan_leaks(
            folder,
            f"Test images in {_name_of(mixture)}",
            conclusion(report),
            hits,
            wanted.index.benchmarks,
            sources,
            data,
        )
    )
    if images:
        from vlmt_cli.clean.scan_gallery import write_hit_gallery  # decoders

        if write_hit_gallery(folder / "gallery.html", all_hits, tally.shown, judged, test_files):
            results.append(folder / "gallery.html")
    remove_kept(folder)
    say(f"Written to {folder}: {', '.join(path.name for path in results)}")
    if write:
        copies, written = write_mixture(
            mixture, sources, [each.records for each in scanned], hits, write, only_images, form, spans
        )
        stay = "stays as it is" if report.damaged == 1 else "stay as they are"
        unread = f"; {count(report.damaged, 'record')} that could not be read {stay}" if report.damaged else ""
        say(f"Written to {write}: {written}{unread}")
        results += copies
    if croissant:
        indexes = [*([data / OWN] if (data / OWN).exists() else []), *(files or ())]
        _describe(folder, mixture, form, sources, [*indexes, *([rules] if rules else [])], results, report)


def _show(report: "ScanReport") -> None:
    from vlmt_cli.clean.scan_claim import conclusion, gaps, notes, rows_of, without_hit
    from vlmt_cli.commands.show import stdout, table

    header, rows = rows_of(report)
    console = stdout()
    shown = [row for row in rows if row[1] not in ("0", "-")]
    if shown:
        console.print(table(header, shown, "Test images that the mixture shows"))
    for line in without_hit(report):
        console.print(line)
    console.print(conclusion(report))
    for note in notes(report):
        console.print(f"  {note}", soft_wrap=True)
    if lacking := gaps(report):
        console.print("What the index lacks, and what that could hide:")
    for gap in lacking[:_GAPS]:
        console.print(f"  {gap}", soft_wrap=True)
    if len(lacking) > _GAPS:
        console.print(f"  and {len(lacking) - _GAPS} more: vlmt index and report.md list them.")


def _write_results(folder: Path, name: str, report: "ScanReport", hits: "pa.Table") -> list[Path]:
    from vlmt_cli.base.files import write_parquet, write_text
    from vlmt_cli.clean.publish import CARD_FILE, CONDA_FILE, card_of_mixture, conda_rows, shared_in_mixture
    from vlmt_cli.clean.scan_claim import markdown

    shared = shared_in_mixture(report, name)
    texts = {
        "report.md": markdown(report),
        "report.json": report.model_dump_json(indent=2) + "\n",
        CARD_FILE: card_of_mixture(report, shared),
        CONDA_FILE: conda_rows(shared),
    }
    write_parquet(folder / "hits.parquet", hits)
    for file, text in texts.items():
        write_text(folder / file, text)
    return [folder / file for file in ("hits.parquet", *texts)]


def _describe(
    folder: Path,
    mixture: Sequence[str],
    form: str | None,
    sources: "Sequence[Source]",
    more: Sequence[Path],
    results: Sequence[Path],
    report: "ScanReport",
) -> None:
    """Write croissant.json: the results and the written mixture, made from the mixture, its lists, and indexes."""
    from vlmt_cli.clean.croissant import files_below, sha256_of, write_croissant
    from vlmt_cli.clean.scan_claim import conclusion
    from vlmt_cli.clean.scan_write import lists_of

    lists = [path for given in mixture for path in lists_of(given, form)]
    inputs = [file for path in [*lists, *(each.path for each in sources), *more] for file in files_below(path)]
    written = [file for path in results for file in files_below(path)]
    hashes = {str(path): sha256_of(path) for path in inputs}
    write_croissant(folder, f"scan of {_name_of(mixture)}", conclusion(report), written, hashes)


def _within(files: "Sequence[Path]") -> set[str]:
    """Return the benchmarks of some index files."""
    from vlmt_cli.clean.index_file import read_index

    return {name for path in files for name in read_index(path).benchmarks}


def _append(path: Path, text: str) -> None:
    """Append to a file that other programs write to as well, such as a summary of continuous integration."""
    from vlmt_cli.base.files import explained

    with explained(path), path.open("a", encoding="utf-8") as file:
        file.write(text)


def _name_of(mixture: Sequence[str]) -> str:
    """Name a scan after its first file."""
    import re

    name = Path(mixture[0]).name or Path(mixture[0]).resolve().name
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip(".") or "mixture"
