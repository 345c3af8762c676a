"""``vlmt clean --check``: is the existing split still clean? Its report says how it was made."""

from pathlib import Path
from typing import TYPE_CHECKING

from vlmt_cli.base.without_pandas import without_pandas

if TYPE_CHECKING:
    from vlmt_cli.clean.check import Checked, Leak
    from vlmt_cli.clean.question import CleanQuestion
    from vlmt_cli.clean.report import Report
    from vlmt_cli.datasets.options import Options
    from vlmt_cli.datasets.prepared import Prepared


@without_pandas()
def check(data: Path, folder: Path, fast: bool, as_json: bool) -> None:
    """Check a split with the options that its report states.

    Every byte of the official files, the tables made of them and the split is read. Where all are what they were when
    this program made the split in this data folder, what it found then holds; else test images are looked for again.

    Args:
        data: the data folder; what changed in it is read into a temporary folder.
        folder: of the split.
        fast: trust size and time of change of official files instead of comparing their contents.
        as_json: print the result as JSON.

    Raises:
        LeakError: a kept example shows a test image; this comes before any other error.
        DataError: the split, or what it was made of, is not what it was.
    """
    import json
    from dataclasses import asdict

    from vlmt_cli.base.errors import DataError
    from vlmt_cli.base.words import count
    from vlmt_cli.clean.check import find_returned
    from vlmt_cli.clean.claim import known_to_scan, not_looked_for, without_tests
    from vlmt_cli.clean.split_folder import read_report
    from vlmt_cli.commands.show import say, stdout

    try:
        report = read_report(folder)
        checked, is_as_made = _look_again(data, folder, report, fast)
        returned, first = (0, []) if is_as_made else find_returned(folder)
    except DataError as error:
        returned, first = find_returned(folder)
        if returned:
            raise _leak(folder, returned, first, "make the split again with vlmt clean") from error
        raise
    if as_json:
        print(json.dumps(asdict(checked), indent=2))
    todo = _remedy(data, folder, report, checked.problems)
    if checked.leaks or returned:
        leaks = (checked.leaks, checked.first) if checked.leaks else (returned, first)
        raise _leak(folder, *leaks, todo)
    if checked.problems:
        for problem in checked.problems[1:]:
            say(f"Also: {problem}")
        raise DataError(checked.problems[0], where=folder / "keep.parquet", todo=todo)
    trusted = " Official files were trusted by size and time of change (--fast), and not read." if fast else ""
    records = f" and {count(checked.records, 'record')} of mixtures" if report.mixtures else ""
    unprotected = without_tests(not_looked_for(report), checked.tests)  # whose test set may have come since
    names = ", ".join(unprotected)
    unseen = f" Test images of {names} were not looked for{known_to_scan(unprotected)}." if unprotected else ""
    unseen += f" Still open: {'; '.join(checked.open)}." if checked.open else ""
    if not as_json:
        stdout().print(
            f"Clean: none of {count(checked.examples, 'kept example')}{records} shows a test image of"
            f" {', '.join(checked.tests) or 'no dataset'}, under {checked.identity} identity.{unseen}{trusted}"
            f" Split hash {checked.split_hash}.",
        )
    elif trusted:
        say(trusted.strip())


def _look_again(data: Path, folder: Path, report: "Report", fast: bool) -> "tuple[Checked, bool]":
    """Read what the split was made of, and look for test images in what it keeps.

    Returns:
        What was found, and whether that is what was found when the split was made, as nothing has changed since.
    """
    import tempfile
    from dataclasses import replace

    import pyarrow as pa

    from vlmt_cli.clean.answered import is_answered
    from vlmt_cli.clean.check import Checked, check_split
    from vlmt_cli.clean.claim import test_images_left
    from vlmt_cli.clean.split_folder import PAGES, REMOVED_FILE
    from vlmt_cli.clean.splits import CLEANED_ROLES
    from vlmt_cli.commands.clean_images import compare_image_files
    from vlmt_cli.commands.clean_input import files_of, read_splits, require_raw, warnings_of
    from vlmt_cli.commands.clean_mixtures import check_mixtures
    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.datasets.official import missing_files
    from vlmt_cli.datasets.prepare import prepare
    from vlmt_cli.datasets.table import CROSSWALKS

    require_raw(data)
    question, options = report.question, _options_of(report, folder)
    names = [*question.datasets, *CROSSWALKS]
    with tempfile.TemporaryDirectory(prefix="vlmt-") as beside:
        with progress("Reading annotations", size=True) as update:
            examples = prepare(data, names, options, update, beside=Path(beside), thorough=not fast)
        is_own = folder.resolve() == (data / "clean").resolve()
        if (
            is_own
            and not (test_images_left(report) or _changed_lists(question))
            and is_answered(data, question, examples)
        ):
            for warning in report.warnings:
                say(f"Warning: {warning}")
            kept = sum(split.kept for split in report.splits if split.role in CLEANED_ROLES)
            return Checked(report.split_hash, report.identity, kept, report.union, 0, []), True
        splits, links = read_splits(examples, question.image_lists, options.clean.test_files, bool(question.mixtures))
        if question.image_files:
            verdicts = Path(question.image_files.verdicts) if question.image_files.verdicts else None
            folders = question.image_files.folders
            more, _ = compare_image_files(data, splits, links, folders, verdicts, options, None)
            links = pa.concat_tables([links, more])
        missing = [file for name in question.datasets for file in missing_files(data, name)]
        for warning in warnings_of(splits, links, examples, question.datasets, missing):
            say(f"Warning: {warning}")
        checked, overlap = check_split(folder, splits, links, question.identity)
        checked = check_mixtures(checked, folder, report, overlap)
        now = _under_old_names(data, report.files, files_of(data, examples))
        for warning in _new_files(data, report, examples, now):
            say(f"Warning: {warning}")
        problems = [*_changed(report.files, now), *_edited(examples), *_changed_lists(question)]
        if not (folder / REMOVED_FILE).exists():
            problems.append(f"{REMOVED_FILE}, which says why examples were removed, is gone")
        for page in PAGES:
            if not (folder / page).exists():
                say(f"Warning: {folder / page} is gone; vlmt clean writes it again.")
    # Which official file changed says more than that examples did.
    return replace(checked, problems=[*problems, *checked.problems]), False


def _options_of(report: "Report", folder: Path) -> "Options":
    from vlmt_cli.base.schema import parse
    from vlmt_cli.datasets.options import Options

    where = f"{folder / 'report.json'}: options"
    return parse(Options, report.question.options or {}, where, todo="run vlmt clean again")


def _under_old_names(data: Path, before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Return files with their SHA-256; those that were only packed since (``.gz``) under the name that they had.

    Of a file that was unpacked since, the packed bytes cannot be made again: it stays another one.
    """
    from vlmt_cli.datasets.official import sha256_of_packed

    same = {
        file: plain
        for file in now
        if (plain := file.removesuffix(".gz")) != file
        and plain in before.keys() - now.keys()
        and sha256_of_packed(data / "raw" / file) == before[plain]
    }
    return {same.get(file, file): before[same[file]] if file in same else sha256 for file, sha256 in now.items()}


def _new_files(data: Path, report: "Report", examples: "dict[str, Prepared]", now: dict[str, str]) -> list[str]:
    """Say which official files came since the split was made, and which test sets with them."""
    from vlmt_cli.clean.splits import role_of
    from vlmt_cli.datasets.official import raw_folder
    from vlmt_cli.datasets.prepared import ALONE

    known = {(split.dataset, split.split) for split in report.splits}
    added, warnings = now.keys() - report.files.keys(), []
    for name, tables in examples.items():
        folder = raw_folder(data, name).name
        new = [f"raw/{folder}/{file}" for file in tables.manifest.sha256 if f"{folder}/{file}" in added]
        splits = [*tables.manifest.splits, *(f"{split}{ALONE}" for split in tables.manifest.test_images)]
        tests = [split for split in splits if role_of(split) == "test" and (name, split) not in known]
        too = f"; the test images of {name} {', '.join(tests)} were looked for, too" if tests else ""
        if new:
            warnings.append(f"{', '.join(new)} came after the split was made{too}.")
    return warnings


def _changed(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Say which official files are not what they were when the split was made."""
    changed = [
        f"raw/{file} {'is not what it was when the split was made' if file in now else 'is gone'}"
        for file, sha256 in before.items()
        if now.get(file) != sha256
    ]
    return changed


def _edited(examples: "dict[str, Prepared]") -> list[str]:
    from vlmt_cli.datasets.prepare import EDITED

    return [
        f"{name} {table.beside}" for name, table in examples.items() if table.beside and table.beside.startswith(EDITED)
    ]


def _changed_lists(question: "CleanQuestion") -> list[str]:
    from vlmt_cli.clean.question import list_hash

    changed = []
    if question.image_lists:
        from vlmt_cli.clean.image_lists import hash_of  # which knows every form of mixture

        changed = [each.path for each in question.image_lists if hash_of(each.path) != each.sha256]
    files = question.image_files
    if files and files.verdicts and files.verdicts_sha256 and list_hash(Path(files.verdicts)) != files.verdicts_sha256:
        changed.append(files.verdicts)
    return [f"{path} is not what it was when the split was made" for path in changed]


def _leak(folder: Path, leaks: int, first: "list[Leak]", todo: str) -> Exception:
    from vlmt_cli.base.errors import LeakError
    from vlmt_cli.base.words import count

    row = first[0]
    kind = "record" if row.split == "mixture" else "example"
    which = "one" if row.test_image == row.image else f"{row.test_image}"
    return LeakError(
        f"{count(leaks, f'kept {kind}')} {'shows' if leaks == 1 else 'show'} test images, the first of them"
        f" {row.dataset} {row.split} {row.example_id}"
        f" ({row.image}, which is {which} of {row.test_set}'s test set)",
        where=folder,
        todo=todo,
    )


def _remedy(data: Path, folder: Path, report: "Report", problems: list[str]) -> str:
    """Return the command that makes the split again: where a list changed or a file is gone, it must replace it."""
    import shlex

    from vlmt_cli.commands.clean_question import command_of
    from vlmt_cli.datasets.official import missing_files

    missing = any(missing_files(data, name) for name in report.question.datasets)
    to = None if folder.resolve() == (data / "clean").resolve() else folder
    replace = " --replace" if problems else ""
    return f"run {command_of(report.question, missing, to)} --data {shlex.quote(str(data))}{replace}"
