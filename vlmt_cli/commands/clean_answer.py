"""The answer of ``vlmt clean``: the split, written and shown."""

from pathlib import Path
from typing import TYPE_CHECKING

from vlmt_cli.base.without_pandas import without_pandas

if TYPE_CHECKING:
    from vlmt_cli.clean.question import CleanQuestion
    from vlmt_cli.clean.report import Report
    from vlmt_cli.datasets.options import Options


@without_pandas()
def answer(
    data: Path,
    asked: "CleanQuestion",
    options: "Options",
    missing: list[str],
    *,
    to: Path | None,
    replace: bool,
    fast: bool,
    dry_run: bool,
    croissant: bool,
    as_json: bool,
) -> None:
    """Answer the question: read, compare, remove, write, show.

    What must be read again is read beside ``DATA/examples`` and takes its place along with the split, so that both stay
    as they were when anything goes wrong.
    """
    from concurrent.futures import ThreadPoolExecutor
    from contextlib import ExitStack, nullcontext

    from vlmt_cli import __version__
    from vlmt_cli.base.files import locked
    from vlmt_cli.clean.answered import is_answered, remember
    from vlmt_cli.clean.split_folder import read_report
    from vlmt_cli.commands.reading import examples_of
    from vlmt_cli.commands.show import progress
    from vlmt_cli.datasets.prepare import NEXT, move_in, prepare
    from vlmt_cli.datasets.table import CROSSWALKS

    target, names = to or data / "clean", [*asked.datasets, *CROSSWALKS]
    with ExitStack() as stack:
        if dry_run:
            examples = stack.enter_context(examples_of(data, names, options))
        else:
            beside = to / "examples" if to else data / "examples" / NEXT if target.exists() else None
            with progress("Reading annotations", size=True) as update:
                examples = prepare(data, names, options, update, beside=beside, thorough=not fast)
            # A page with photos is made again, as these are not compared.
            is_plain = to is None and not croissant and not (data / "images").exists()
            if is_plain and is_answered(data, asked, examples):
                return _tell(read_report(target), data, target, [], as_json, stands=True)
        import pyarrow as pa

        from vlmt_cli.clean import split_write
        from vlmt_cli.clean.leaks import split_leaks
        from vlmt_cli.clean.overlap import compare_splits
        from vlmt_cli.clean.removal import LAST_RELATION, remove_test_images, removed_table
        from vlmt_cli.clean.report import make_report
        from vlmt_cli.clean.text_leaks import text_leaks
        from vlmt_cli.commands.clean_images import compare_image_files
        from vlmt_cli.commands.clean_input import crosswalk_of, files_of, read_splits, warnings_of
        from vlmt_cli.commands.clean_mixtures import scan_mixtures
        from vlmt_cli.commands.clean_question import command_of, refuse_to_lose
        from vlmt_cli.datasets.official import absent_tests

        splits, links = read_splits(examples, asked.image_lists, options.clean.test_files, bool(asked.mixtures))
        if not dry_run and not replace:
            refuse_to_lose(data, target, splits)
        duplicates = None
        if asked.image_files:
            verdicts = Path(asked.image_files.verdicts) if asked.image_files.verdicts else None
            gallery = None if dry_run else data / "near_duplicates" / "gallery.html"
            folders = asked.image_files.folders
            more, duplicates = compare_image_files(data, splits, links, folders, verdicts, options, gallery)
            links = pa.concat_tables([links, more])
        overlap = compare_splits(splits, links)
        removal = remove_test_images(overlap, asked.identity)
        mixtures = scan_mixtures(asked.mixtures, overlap, LAST_RELATION[asked.identity], target)
        # Arrow counts the texts while the rest is laid out.
        texts = stack.enter_context(ThreadPoolExecutor(1)).submit(text_leaks, splits, removal.kept)
        removed = removed_table(removal)
        leaks = None if dry_run else split_leaks(removal, removed, data)
        report = make_report(
            removal,
            removed,
            version=__version__,
            question=asked,
            files=files_of(data, examples),
            warnings=warnings_of(splits, links, examples, asked.datasets, missing),
            texts=texts.result(),
            absent_test_files=[file for name in examples for file in absent_tests(data, name)],
            notes={name: each.manifest.notes for name, each in examples.items() if each.manifest.has_images},
            near_duplicates=duplicates,
            crosswalk=crosswalk_of(examples, links),
            mixtures=mixtures,
        )
        if leaks:
            with locked(data) if to is None else nullcontext():
                if to is None:
                    move_in(data, examples.values())
                hashes = {name: each.manifest.links_hash for name, each in examples.items()}
                command = command_of(asked, bool(missing))
                split_write.write(target, removal, removed, report, hashes, command, leaks, croissant, mixtures)
                if to is None:
                    remember(data, asked, names)
    read_beside = [name for name, each in examples.items() if to and each.beside]
    _tell(report, data, None if dry_run else target, read_beside, as_json)


def _tell(
    report: "Report", data: Path, folder: Path | None, beside: list[str], as_json: bool, stands: bool = False
) -> None:
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        _show(report, data, folder, beside, stands)


def _show(report: "Report", data: Path, folder: Path | None, beside: list[str], stands: bool) -> None:
    """Show the answer.

    Args:
        report: of the split.
        data: the data folder.
        folder: where the split was written; None for a dry run.
        beside: datasets whose examples are there, too.
        stands: whether nothing was written, as the split there is what would be written.
    """
    from vlmt_cli.clean.claim import detectors, mixtures
    from vlmt_cli.clean.mixture_report import FOLDER as MIXTURES
    from vlmt_cli.commands.clean_tables import images_table, matrix_table
    from vlmt_cli.commands.show import stdout

    console = stdout()
    console.print(matrix_table(report))
    console.print(images_table(report))
    for warning in report.warnings:
        console.print(f"Warning: {warning}", style="yellow")
    for sentence in [report.verdict, *detectors(report), *mixtures(report)]:
        console.print(sentence)
    console.print(f"Split hash {report.split_hash}")
    if folder is None:
        return
    if stands:
        console.print(f"Nothing changed since {folder} was written: it stands as it is.")
        return
    entries = sorted(path.name for path in folder.iterdir() if path.name not in ("examples", MIXTURES))
    console.print(f"Written to {folder}: {', '.join(entries)}")
    for each in report.mixtures:
        console.print(f"Written to {folder / MIXTURES / each.name}: the mixture, hash {each.hash}")
    if beside:
        console.print(
            f"The examples of {', '.join(beside)} are in {folder / 'examples'}, as they differ from those in"
            f" {data / 'examples'}.",
        )
