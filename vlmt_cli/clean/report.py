"""The report of a clean split: ``report.json``, typed."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vlmt_cli.base.identity import HOW, PAPER_RELATIONS
from vlmt_cli.clean.overlap import Matrix, column_name, count_images, example_matrix, image_matrix
from vlmt_cli.clean.question import Question
from vlmt_cli.clean.removal import LAST_RELATION, Removal, remove_test_images, split_hash
from vlmt_cli.clean.splits import CLEANED_ROLES

REPORT_VERSION = 2
"""Of ``report.json``; raised when its fields change."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SplitReport(_Model):
    """One split: its examples before and after, and why the removed ones went."""

    dataset: str
    split: str
    role: str
    examples: int
    kept: int
    removed: int
    removed_under_paper_identity: int
    by_test_set: dict[str, int]
    by_relation: dict[str, int]


class ImageReport(_Model):
    """One dataset's distinct images (table 7): in train and val before and after cleaning, and in test."""

    dataset: str
    train_val: int
    cleaned_train_val: int
    cleaned_train_val_under_paper_identity: int
    test: int

    @property
    def removed_percent(self) -> float:
        """The share of train and val images that is removed, in percent."""
        return 100 * (1 - self.cleaned_train_val / self.train_val) if self.train_val else 0.0


class NearDuplicates(_Model):
    """What comparing image files found.

    Attributes:
        files: files compared; those of images that no dataset has are passed over.
        pairs: pairs by pixels, perceptual and borderline, less those judged to be different.
        judged_different: pairs that the allow-list takes out.
        to_judge: borderline pairs of a test image and one that is trained on.
        damaged: files that cannot be read, with the reason.
    """

    files: int
    pairs: dict[str, int]
    judged_different: int
    to_judge: int
    damaged: list[str]


class Report(_Model):
    """What cleaning did, and what it could not see.

    ``question`` is what was asked, so that a check asks the same; ``files`` has the SHA-256 of every official file.
    """

    version: int = REPORT_VERSION
    vlmt: str
    question: Question
    files: dict[str, str]
    identity: str
    union: list[str]
    split_hash: str
    warnings: list[str]
    splits: list[SplitReport]
    images: list[ImageReport]
    test_images_before: Matrix
    test_images_before_under_paper_identity: Matrix
    test_images_after: Matrix
    examples_before: Matrix
    examples_after: Matrix
    texts: Matrix
    links: dict[str, int]
    near_duplicates: NearDuplicates | None = None
    notes: dict[str, dict[str, int]] = {}


def verdict(report: Report) -> str:
    """Say in a few sentences what cleaning did, and whether a test image is left."""
    removed = sum(split.removed for split in report.splits)
    by_paper = sum(split.removed_under_paper_identity for split in report.splits)
    examples = sum(split.examples for split in report.splits if split.role in CLEANED_ROLES)
    share = 100 * removed / examples if examples else 0.0
    left = sum(
        cell.hit
        for test, row in report.test_images_after.items()
        if test in report.union
        for column, cell in row.items()
        if column not in detectors_of(report)
    )
    return (
        f"{removed:,} of {examples:,} train, val and pre-training examples ({share:.1f}%) showed test images of"
        f" {', '.join(report.union) or 'no dataset'}, and are removed; test sets are untouched."
        + (f" {left:,} test images are left!" if left else " No test image is left.")
        + (" That is as far as ids and Visual Genome's crosswalk show, as in the paper." if report.identity == "paper"
           else f" By ids and Visual Genome's crosswalk alone, as in the paper, it would be {by_paper:,}.")
    )  # fmt: skip


def detectors_of(report: Report) -> list[str]:
    """Return the columns of detectors' image lists."""
    return [column_name(split.dataset, split.role) for split in report.splits if split.role == "detector"]


def detectors(report: Report) -> list[str]:
    """Say of each detector's image list which test images it has seen."""
    sentences = []
    for column in detectors_of(report):
        cells = {test: row[column] for test, row in report.test_images_before.items()}
        seen = [f"{cell.hit:,} of {test}'s {cell.of:,}" for test, cell in cells.items() if cell.hit]
        sentences.append(f"{column} has seen {', '.join(seen) or 'none of the'} test images.")
    return sentences


def make_report(
    removal: Removal,
    removed: pa.Table,
    *,
    version: str,
    question: Question,
    files: dict[str, str],
    texts: Matrix,
    warnings: Sequence[str],
    notes: dict[str, dict[str, int]],
    near_duplicates: NearDuplicates | None,
) -> Report:
    """Count everything that the report says.

    Args:
        removal: what cleaning keeps.
        removed: its table of removed examples.
        version: of this program.
        question: what was asked.
        files: the SHA-256 of every official file, by its path below ``raw/``.
        texts: the text leaks.
        warnings: what the split cannot promise.
        notes: what the readers found odd, by dataset.
        near_duplicates: what comparing image files found, if that was asked for.
    """
    overlap, last = removal.overlap, LAST_RELATION[removal.identity]
    by_paper = remove_test_images(overlap, "paper")
    relations = pc.value_counts(overlap.links["relation"]).to_pylist()
    return Report(
        vlmt=version,
        question=question,
        files=files,
        identity=removal.identity,
        union=removal.union,
        split_hash=split_hash(overlap.splits, removal.kept),
        warnings=list(warnings),
        splits=_splits(removal, by_paper, removed),
        images=_images(removal, by_paper),
        test_images_before=image_matrix(overlap, how=last),
        test_images_before_under_paper_identity=image_matrix(overlap, how=PAPER_RELATIONS[-1]),
        test_images_after=image_matrix(overlap, removal.kept, last),
        examples_before=example_matrix(overlap, how=last),
        examples_after=example_matrix(overlap, removal.kept, last),
        texts=texts,
        links={entry["values"]: entry["counts"] for entry in sorted(relations, key=lambda e: HOW.index(e["values"]))},
        near_duplicates=near_duplicates,
        notes=notes,
    )


def _splits(removal: Removal, by_paper: Removal, removed: pa.Table) -> list[SplitReport]:
    counts = _reasons(removed)
    reports = []
    for index, split in enumerate(removal.overlap.splits):
        kept = int(removal.kept[index].sum()) if split.role != "detector" else 0
        by_test_set, by_relation = counts.get((split.dataset, split.name), ({}, {}))
        reports.append(
            SplitReport(
                dataset=split.dataset,
                split=split.name,
                role=split.role,
                examples=len(split),
                kept=kept,
                removed=int((~removal.kept[index]).sum()),
                removed_under_paper_identity=int((~by_paper.kept[index]).sum()),
                by_test_set={test: by_test_set[test] for test in removal.union if test in by_test_set},
                by_relation={how: by_relation[how] for how in HOW if how in by_relation},
            )
        )
    return reports


def _reasons(removed: pa.Table) -> dict[tuple[str, str], tuple[dict[str, int], dict[str, int]]]:
    """Count for each split the removed examples that each test set, and each relation, hits."""
    hits = removed["hits"].combine_chunks()
    flat = pa.table(
        {
            "example": pc.list_parent_indices(hits),
            "test_set": hits.flatten().field("test_set"),
            "how": hits.flatten().field("how"),
        }
    )
    flat = flat.append_column("dataset", removed["dataset"].cast(pa.string()).take(flat["example"]))
    flat = flat.append_column("split", removed["split"].cast(pa.string()).take(flat["example"]))
    result: dict[tuple[str, str], tuple[dict[str, int], dict[str, int]]] = {}
    for place, reason in enumerate(("test_set", "how")):
        distinct = flat.group_by(["dataset", "split", reason]).aggregate([("example", "count_distinct")])
        for row in distinct.to_pylist():
            result.setdefault((row["dataset"], row["split"]), ({}, {}))[place][row[reason]] = row[
                "example_count_distinct"
            ]
    return result


def _images(removal: Removal, by_paper: Removal) -> list[ImageReport]:
    overlap = removal.overlap
    numbers = overlap.numbers[LAST_RELATION[removal.identity]]
    reports = []
    for dataset in dict.fromkeys(split.dataset for split in overlap.splits if split.role != "detector"):
        mine = [index for index, split in enumerate(overlap.splits) if split.dataset == dataset]
        cleaned = [index for index in mine if overlap.splits[index].role in CLEANED_ROLES]
        tests = [overlap.codes[index] for index in mine if overlap.splits[index].role == "test"]
        reports.append(
            ImageReport(
                dataset=dataset,
                train_val=count_images(numbers, (overlap.codes[index] for index in cleaned)),
                cleaned_train_val=count_images(numbers, (_kept_codes(removal, index) for index in cleaned)),
                cleaned_train_val_under_paper_identity=count_images(
                    overlap.numbers[PAPER_RELATIONS[-1]], (_kept_codes(by_paper, index) for index in cleaned)
                ),
                test=count_images(numbers, tests),
            )
        )
    return reports


def _kept_codes(removal: Removal, index: int) -> NDArray[np.int32]:
    overlap = removal.overlap
    return overlap.codes[index][np.repeat(removal.kept[index], np.diff(overlap.splits[index].offsets))]
