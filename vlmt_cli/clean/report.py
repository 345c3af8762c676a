"""The report of a clean split: ``report.json``, typed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vlmt_cli.base.identity import HOW, PAPER_RELATIONS
from vlmt_cli.clean.claim import open_points, verdict
from vlmt_cli.clean.mixture_report import MixtureReport
from vlmt_cli.clean.overlap import Matrix, Overlap, column_name, count_images, example_matrix, image_matrix
from vlmt_cli.clean.question import CleanQuestion
from vlmt_cli.clean.removal import LAST_RELATION, Removal, remove_test_images, union_of
from vlmt_cli.clean.splits import CLEANED_ROLES

if TYPE_CHECKING:
    from vlmt_cli.clean.mixtures import ScannedMixture

REPORT_VERSION = 3
"""Of ``report.json``; raised when its fields change."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


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


class PassedOver(_Model):
    """Image files that were not compared: how many for one reason, and the first of them."""

    reason: str
    files: int
    first: str


class NearDuplicates(_Model):
    """What comparing image files found.

    Attributes:
        files: files compared.
        images: distinct images of test sets and of cleaned splits that these show.
        images_without_file: those of which no file could be compared.
        pairs: pairs by pixels, perceptual and borderline, less those judged to be different.
        judged_same: pairs that a person says are the same.
        judged_different: pairs that a person's verdicts take out.
        to_judge: borderline pairs without a verdict of a test image and one that is trained on.
        passed_over: files that were not opened, by reason.
        damaged: files that cannot be decoded, with the reason.
    """

    files: int
    images: int
    images_without_file: int
    pairs: dict[str, int]
    judged_same: int
    judged_different: int
    to_judge: int
    passed_over: list[PassedOver]
    damaged: list[str]


class Report(_Model):
    """What cleaning did, and what it could not see.

    ``question`` is what was asked, so that a check asks the same; ``files`` has the SHA-256 of every official file;
    ``crosswalk`` says whose crosswalk from Visual Genome to COCO was taken: ``image_data.json``, ``built-in``, or
    ``image_data.json and built-in`` where the latter speaks of images that a part of the former does not list. The
    split hash says nothing of ``mixtures``, which have hashes of their own.
    """

    version: int = REPORT_VERSION
    vlmt: str
    question: CleanQuestion
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
    compared_by: list[str]
    images_compared: int
    absent_test_files: list[str]
    open_points: list[str] = []
    verdict: str = ""
    near_duplicates: NearDuplicates | None = None
    notes: dict[str, dict[str, int]] = {}
    crosswalk: str | None = None
    mixtures: list[MixtureReport] = []


def make_report(
    removal: Removal,
    removed: pa.Table,
    *,
    version: str,
    question: CleanQuestion,
    files: dict[str, str],
    texts: Matrix,
    warnings: Sequence[str],
    notes: dict[str, dict[str, int]],
    absent_test_files: Sequence[str],
    near_duplicates: NearDuplicates | None,
    crosswalk: str | None = None,
    mixtures: "Sequence[ScannedMixture]" = (),
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
        absent_test_files: official test files that are not there, though nothing else needs them.
        near_duplicates: what comparing image files found, if that was asked for.
        crosswalk: whose crosswalk from Visual Genome to COCO was taken.
        mixtures: that were scanned for the test images.
    """
    overlap, last = removal.overlap, LAST_RELATION[removal.identity]
    by_paper = remove_test_images(overlap, "paper")
    relations = pc.value_counts(overlap.links["relation"]).to_pylist()
    by_relation = {entry["values"]: entry["counts"] for entry in relations}
    believed = HOW[: HOW.index(last) + 1]
    report = Report(
        vlmt=version,
        question=question,
        files=files,
        identity=removal.identity,
        union=removal.union,
        split_hash=removal.split_hash,
        warnings=list(warnings),
        splits=_splits(removal, by_paper, removed),
        images=_images(removal, by_paper),
        test_images_before=image_matrix(overlap, how=last),
        test_images_before_under_paper_identity=image_matrix(overlap, how=PAPER_RELATIONS[-1]),
        test_images_after=image_matrix(overlap, removal.kept, last),
        examples_before=example_matrix(overlap, how=last),
        examples_after=example_matrix(overlap, removal.kept, last),
        texts=texts,
        links={how: by_relation[how] for how in HOW if how in by_relation},
        compared_by=[how for how in believed if how == "id" or how in by_relation or _asked(how, near_duplicates)],
        images_compared=_all_images(overlap, last),
        absent_test_files=list(absent_test_files),
        near_duplicates=near_duplicates,
        notes=notes,
        crosswalk=crosswalk,
    )
    for mixture in mixtures:
        _add_mixture(report, removal, mixture)
    report.open_points = open_points(report)
    report.verdict = verdict(report)
    return report


def _add_mixture(report: Report, removal: Removal, mixture: "ScannedMixture") -> None:
    """Report on a mixture, and add its column to the matrices."""
    # Imported here: reading a report scans no mixture.
    from vlmt_cli.clean.mixtures import hits_left, hits_of, report_of, shares

    overlap, last, column = removal.overlap, LAST_RELATION[removal.identity], column_name(mixture.given.name, "mixture")
    removing = hits_of(mixture, removal.union, last)
    by_paper = hits_of(mixture, union_of(overlap, "paper"), PAPER_RELATIONS[-1])
    report.mixtures.append(report_of(mixture, removing, by_paper))
    every = hits_of(mixture, overlap.tests, PAPER_RELATIONS[-1])
    columns = [
        (report.test_images_before, report.examples_before, mixture.hits, last),
        (report.test_images_before_under_paper_identity, {}, every, PAPER_RELATIONS[-1]),
        (report.test_images_after, report.examples_after, hits_left(mixture, removing), last),
    ]
    for images, examples, hits, relation in columns:
        of_images, of_records = shares(mixture, overlap, hits, relation)
        for matrix, of in ((images, of_images), (examples, of_records)):
            for test in matrix:
                matrix[test][column] = of[test]


def _asked(how: str, near_duplicates: NearDuplicates | None) -> bool:
    """Whether images were compared by a relation though it links none."""
    return near_duplicates is not None and how in ("pixels", "perceptual")


def _all_images(overlap: Overlap, last: str) -> int:
    """Count the distinct images of test sets and cleaned splits."""
    chosen = zip(overlap.splits, overlap.codes, strict=True)
    return count_images(overlap.numbers[last], (codes for split, codes in chosen if split.role != "detector"))


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
                removed=int(np.count_nonzero(~removal.kept[index])),
                removed_under_paper_identity=int(np.count_nonzero(~by_paper.kept[index])),
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
    for column, reason in enumerate(("test_set", "how")):
        distinct = flat.group_by(["dataset", "split", reason]).aggregate([("example", "count_distinct")])
        for row in distinct.to_pylist():
            result.setdefault((row["dataset"], row["split"]), ({}, {}))[column][row[reason]] = row[
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
        tests = [
            overlap.codes[index]
            for index in mine
            if overlap.splits[index].test_set == dataset and overlap.splits[index].role == "test"
        ]
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
