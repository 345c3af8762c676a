"""The report of a clean split as a page to read: ``report.md``, with the paper's tables beside ours."""

import re
from collections.abc import Collection, Mapping, Sequence
from html import escape

from vlmt_cli import paper
from vlmt_cli.base.words import count, escaped
from vlmt_cli.clean.claim import detectors, mixtures
from vlmt_cli.clean.overlap import Matrix, Share
from vlmt_cli.clean.report import NearDuplicates, Report

# A dataset is taken for the real one when its size is this close to the paper's.
_CLOSE = 0.02
# Underscores within a word, as names have them, mark nothing up.
_MARKUP = re.compile(r"[\\`*\[\]|]|(?<!\w)_|_(?!\w)")


def render(report: Report) -> str:
    """Render a report as Markdown."""
    any_left = any(cell.hit for row in report.test_images_after.values() for cell in row.values())
    parts = [
        "# Clean split",
        plain(" ".join([report.verdict, *detectors(report), *mixtures(report)])),
        f"Split hash `{report.split_hash}`, identity `{report.identity}`, vlmt {report.vlmt}.",
    ]
    if report.open_points:
        points = (*report.warnings, *report.open_points[bool(report.warnings) :])
        parts += ["## What this split cannot promise", *(f"- {plain(point)}" for point in points)]
    parts += [
        "## Images (table 7)",
        _images(report),
        "## Training examples (table 8)",
        _examples(report),
        "## Test images in other datasets' train and val images (table 1)",
        "Before cleaning: share of the row's distinct test images that are in the column's train and val images"
        " (images of pre-training, a detector or a mixture where a column says so)." + _paper_note(report),
        _matrix(report.test_images_before, _paper_cells(report)),
        "The same by ids and the Visual Genome crosswalk only, as the paper compares them:",
        _matrix(report.test_images_before_under_paper_identity, {}),
        "After cleaning, pre-training and detector images included:",
        _matrix(report.test_images_after, {}) if any_left else "Every cell is zero.",
        "## Training and validation examples that show a test image",
        "Before cleaning: share of the column's examples that show a test image of the row.",
        _matrix(report.examples_before, {}),
        "## Why examples were removed",
        _reasons(report),
        *_mixtures(report),
        "## Texts of test sets in other datasets' training sets",
        "Share of the row's distinct test texts that are in the column's cleaned training set. Counted, never removed.",
        _matrix(report.texts, {}),
    ]
    if report.near_duplicates:
        parts += _image_files(report.near_duplicates)
    if report.notes:
        parts += ["## Oddities in the official files"]
        parts += [
            f"- {plain(name)}: {plain(note)}: {number:,}"
            for name, notes in report.notes.items()
            for note, number in notes.items()
        ]
    return "\n\n".join(_join_lists(parts)) + "\n"


def plain(text: str) -> str:
    """Escape a text that may have come from a file, so that it is shown as it stands and marks nothing up."""
    return _MARKUP.sub(r"\\\g<0>", escape(escaped(text), quote=False))


def _image_files(near: NearDuplicates) -> list[str]:
    pairs = ", ".join(f"{count:,} {how}" for how, count in near.pairs.items()) or "none"
    return [
        "## Near-duplicate image files",
        f"{near.files:,} files of {near.images:,} images compared; {near.images_without_file:,} images have no file"
        f" that could be compared. Pairs found: {pairs}. A person judged {near.judged_same:,} pairs to be the same"
        f" image and {near.judged_different:,} of these to be different ones; {near.to_judge:,} borderline pairs of a"
        " test image and one that is trained on have no verdict.",
        *(
            f"- passed over, {plain(skipped.reason)}: {skipped.files:,}, the first is {plain(skipped.first)}"
            for skipped in near.passed_over
        ),
        *(f"- damaged: {plain(damaged)}" for damaged in near.damaged),
    ]


def real_datasets(report: Report) -> set[str]:
    """Return the datasets whose number of train and val images is within 2% of the paper's table 7."""
    published = paper.numbers("table7_images", "dataset", "train_val")
    return {
        images.dataset
        for images in report.images
        if images.dataset in published and _is_close(images.train_val, published[images.dataset])
    }


def _images(report: Report) -> str:
    published = {row["dataset"]: row for row in paper.table("table7_images")}
    real = real_datasets(report)
    header = ["dataset", "train+val", "cleaned", "by the paper's identity", "removed", "test"]
    columns = {"train+val": "train_val", "cleaned": "cleaned_train_val", "removed": "removed_percent", "test": "test"}
    rows = [
        [
            images.dataset,
            f"{images.train_val:,}",
            f"{images.cleaned_train_val:,}",
            f"{images.cleaned_train_val_under_paper_identity:,}",
            f"{images.removed_percent:.2f}%" if images.train_val else "-",
            f"{images.test:,}",
            *_theirs(published.get(images.dataset), images.dataset in real, columns),
        ]
        for images in report.images
    ]
    return _with_paper(header, rows, columns, real)


def _examples(report: Report) -> str:
    published = {row["dataset"]: row for row in paper.table("table8_samples")}
    train = [split for split in report.splits if split.role in ("train", "pretrain")]
    real = {
        split.dataset
        for split in train
        if split.dataset in published and _is_close(split.examples, float(published[split.dataset]["full_train"]))
    }
    header = ["dataset", "train", "cleaned", "by the paper's identity", "removed"]
    columns = {"train": "full_train", "cleaned": "cleaned_train"}
    rows = [
        [
            split.dataset,
            f"{split.examples:,}",
            f"{split.kept:,}",
            f"{split.examples - split.removed_under_paper_identity:,}",
            f"{100 * split.removed / split.examples:.2f}%" if split.examples else "-",
            *_theirs(published.get(split.dataset), split.dataset in real, columns),
        ]
        for split in train
    ]
    return _with_paper(header, rows, columns, real)


def _reasons(report: Report) -> str:
    rows = [
        [
            plain(f"{split.dataset} {split.split}"),
            f"{split.removed:,}",
            _counts(split.by_test_set),
            _counts(split.by_relation),
        ]
        for split in report.splits
        if split.removed
    ]
    header = ["split", "removed", "test sets hit", "known by"]
    return _table(header, rows) if rows else "Nothing was removed."


def _mixtures(report: Report) -> list[str]:
    if not report.mixtures:
        return []
    header = ["mixture", "records", "kept", "by the paper's identity", "not named", "test sets hit", "known by", "hash"]
    rows = [
        [
            plain(each.name),
            f"{each.records:,}",
            f"{each.records - each.removed:,}",
            f"{each.records - each.removed_under_paper_identity:,}",
            f"{each.unnamed:,} of {count(each.images, 'image')}",
            _counts(each.by_test_set),
            _counts(each.by_relation),
            f"`{each.hash}`" if each.hash else "",
        ]
        for each in report.mixtures
    ]
    note = "The split hash says nothing of mixtures, which decide nothing about the datasets' examples."
    return ["## Mixtures", _table(header, rows), note]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{plain(name)} {number:,}" for name, number in counts.items())


def _matrix(cells: Matrix, published: dict[tuple[str, str], str]) -> str:
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    rows = []
    for test, row in cells.items():
        shown = [f"**{plain(test)}**"]
        for column in columns:
            cell = row.get(column)
            value = "" if cell is None else _share(cell)
            paper = published.get((test, column))
            shown.append(f"{value} ({paper}%)" if paper else value)
        rows.append(shown)
    return _table(["test of", *map(plain, columns)], rows) if rows else "There is no test set."


def _share(cell: Share) -> str:
    if not cell.hit:
        return "-"
    return f"{cell.percent:.1f}%" if cell.percent >= 0.05 else "<0.1%"


def _paper_cells(report: Report) -> dict[tuple[str, str], str]:
    """The cells of table 1 whose row and column are both the real datasets."""
    tests = {images.dataset: images.test for images in report.images}
    published = paper.numbers("table7_images", "dataset", "test")
    rows = {name for name, images in tests.items() if name in published and _is_close(images, published[name])}
    columns = real_datasets(report)
    return {
        (row["test_of"], column): row[column]
        for row in paper.table("table1_overlap")
        for column in columns
        if row["test_of"] in rows
    }


def _paper_note(report: Report) -> str:
    if _paper_cells(report):
        return " The paper's figures stand in brackets."
    return " The paper's figures stand beside ours where a dataset has the real one's size; none here has."


def _with_paper(header: list[str], rows: list[list[str]], columns: Mapping[str, str], real: Collection[str]) -> str:
    """A table with the paper's columns at its right, which are left away where no dataset is the real one."""
    whole = [*header, *(f"paper: {name}" for name in columns)]
    width = len(whole) if real else len(header)
    return _table(whole[:width], [row[:width] for row in rows])


def _theirs(published: dict[str, str] | None, is_real: bool, columns: Mapping[str, str]) -> list[str]:
    if published is None or not is_real:
        return [""] * len(columns)
    return [
        "" if not published[name] else f"{float(published[name]):.2f}%" if "percent" in name
        else f"{float(published[name]):,.0f}"
        for name in columns.values()
    ]  # fmt: skip


def _is_close(ours: float, paper: float) -> bool:
    return abs(ours - paper) <= _CLOSE * paper


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _join_lists(parts: Sequence[str]) -> list[str]:
    """Put list items that follow each other into one block."""
    blocks: list[str] = []
    for part in parts:
        if part.startswith("- ") and blocks and blocks[-1].startswith("- "):
            blocks[-1] += "\n" + part
        else:
            blocks.append(part)
    return blocks
