"""What a report claims: how far images were compared, and what remains open."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from vlmt_cli.base.words import be, count, listed, quoted
from vlmt_cli.clean.image_files import NOT_AN_IMAGE
from vlmt_cli.clean.overlap import column_name
from vlmt_cli.clean.splits import CLEANED_ROLES
from vlmt_cli.datasets.table import TWELVE

if TYPE_CHECKING:
    from vlmt_cli.clean.report import NearDuplicates, Report
    from vlmt_cli.clean.scan import Tally

UNUSED = "of an image that no dataset here has"
# Files passed over for these reasons cannot show an image of the datasets.
_HARMLESS = (NOT_AN_IMAGE, UNUSED)
_BY = {
    "id": "ids",
    "crosswalk": "Visual Genome's crosswalk",
    "flickr": "Flickr photo ids",
    "url": "addresses",
    "pixels": "pixels",
    "perceptual": "look",
    "judged": "a person's verdicts",
}


def open_points(report: "Report") -> list[str]:
    """List what must be settled before a report can say that no test image is left.

    - a warning: an official file is missing, without which images are not known by all their names;
    - a dataset of the twelve that was to be cleaned, of which no test set is there;
    - an official test file that is not there: its images were not looked for;
    - test images that are left of a test set that does not join the union, by choice of identity or recipe;
    - where image files were compared: images of the datasets without a file that could be decoded; files that are
      damaged; files that were passed over, but for those that hold no image and those whose image no dataset has;
      and borderline pairs without a verdict;
    - images of a mixture that nothing names, or that were not compared with all test sets; its records that could not
      be read, or that speak of an image and show none.

    Returns:
        Each as part of a sentence, warnings together as the first; empty when nothing stands open.
    """
    points = []
    if report.warnings:
        points.append(f"{count(len(report.warnings), 'warning')} about official files that are missing or incomplete")
    if unprotected := not_looked_for(report):
        points.append(f"test images of {', '.join(unprotected)} were not looked for{known_to_scan(unprotected)}")
    if absent := report.absent_test_files:
        points.append(f"test images of {', '.join(absent)}, which {be(len(absent))} not there, were not looked for")
    if outside := [test for test in report.test_images_after if test not in report.union and _left_of(report, test)]:
        points.append(f"test images of {', '.join(outside)} are left, outside the union")
    for each in report.mixtures:
        points += _open_in_mixture(each.name, each.unnamed, each.partly, each.damaged, each.unmet)
    return points + (_open_files(report.near_duplicates) if report.near_duplicates else [])


def open_in_mixture(name: str, tally: "Tally", partly: int) -> list[str]:
    """List what stands open of a mixture, as ``open_points`` does.

    Args:
        name: the mixture's.
        tally: what its scan met.
        partly: how many of its images were not compared with all test sets, though they could be looked up.
    """
    return _open_in_mixture(name, sum(tally.unnamed.values()), partly, tally.damaged_records, tally.unmet)


def _open_in_mixture(name: str, unnamed: int, partly: int, damaged: int, unmet: int) -> list[str]:
    of = f"of the mixture {name}"
    alone = f"{of} with an address or a hash alone, not compared with all test sets"
    said = {
        f"{count(unnamed, 'image')} {of} that nothing names": unnamed,
        f"{count(partly, 'image')} {alone}": partly,
        f"{count(damaged, 'record')} {of} that could not be read": damaged,
        f"{count(unmet, 'record')} {of} with <image> in the text, and no image": unmet,
    }
    return [point for point, number in said.items() if number]


def not_looked_for(report: "Report") -> list[str]:
    """Return the datasets of the twelve that were to be cleaned, and have no test set here."""
    tested = (split.dataset for split in report.splits if split.role == "test")
    return without_tests(report.question.datasets, tested)


def without_tests(datasets: Iterable[str], tested: Iterable[str]) -> list[str]:
    """Return those of the twelve among some datasets that are not among the tested ones."""
    wanting = set(datasets) - set(tested)
    return [name for name in TWELVE if name in wanting]


def known_to_scan(datasets: Iterable[str]) -> str:
    """Say, in brackets, of which datasets' test sets the built-in index has image ids; nothing where it has none."""
    from vlmt_cli.clean.builtin_index import LISTS  # imported here: reading a report needs no index

    families = {row.family for _, row in LISTS.values() if row.is_scored}
    names = list(datasets)
    known = [name for name in names if name in families]
    if not known:
        return ""
    whose = listed(known) if len(known) < len(names) else "their test sets" if len(names) > 1 else "its test set"
    return f" (vlmt scan knows image ids of {whose})"


def _open_files(compared: "NearDuplicates") -> list[str]:
    points = []
    if compared.images_without_file:
        points.append(f"{count(compared.images_without_file, 'image')} without a file that could be compared")
    if compared.damaged:
        points.append(f"{count(len(compared.damaged), 'damaged file')}")
    for skipped in compared.passed_over:
        if skipped.reason not in _HARMLESS:
            points.append(f"{count(skipped.files, 'file')} passed over ({skipped.reason})")
    if compared.to_judge:
        points.append(f"{count(compared.to_judge, 'borderline pair')} without a verdict")
    return points


def verdict(report: "Report") -> str:
    """Say in a few sentences what cleaning did, and how far it is certain that no test image is left.

    "No test image is left" is said only where ``open_points`` has nothing; else how many images were compared, and
    what stands open.
    """
    removed = sum(split.removed for split in report.splits)
    by_paper = sum(split.removed_under_paper_identity for split in report.splits)
    examples = sum(split.examples for split in report.splits if split.role in CLEANED_ROLES)
    share = 100 * removed / examples if examples else 0.0
    others = [name for name in TWELVE if name not in report.question.datasets]
    return (
        f"{removed:,} of {examples:,} train, val and pre-training examples ({share:.1f}%) showed test images of"
        f" {', '.join(report.union) or 'no dataset'}, and are removed; test sets are untouched. {_left(report)}"
        + (f" Test images of {', '.join(others)} were not asked for." if others else "")
        + (" That is as far as ids and Visual Genome's crosswalk show, as in the paper." if report.identity == "paper"
           else f" With ids and Visual Genome's crosswalk alone, as in the paper, {by_paper:,} would be removed.")
    )  # fmt: skip


def _left(report: "Report") -> str:
    if left := test_images_left(report):
        return f"{left:,} test images are left!"
    files = report.near_duplicates
    images = files.images if files else report.images_compared
    by = listed([_BY[how] for how in report.compared_by])
    compared = f"{count(images, 'image')} compared by {by}"
    not_files = "" if files else " Image files were not compared (--near-duplicates does that)."
    if not report.open_points:
        return f"No test image is left among {compared}.{not_files}"
    missing = f"; {files.images_without_file:,} could not be compared" if files and files.images_without_file else ""
    return f"None is left among {compared}{missing}.{not_files} Still open: {'; '.join(report.open_points)}."


def test_images_left(report: "Report") -> int:
    """Count the union's test images in what is kept, over all pairs of test set and dataset."""
    return sum(_left_of(report, test) for test in report.test_images_after if test in report.union)


def _left_of(report: "Report", test: str) -> int:
    seen_anyway = detectors_of(report)
    return sum(cell.hit for column, cell in report.test_images_after[test].items() if column not in seen_anyway)


def detectors_of(report: "Report") -> list[str]:
    """Return the columns of detectors' image lists."""
    return [column_name(split.dataset, split.role) for split in report.splits if split.role == "detector"]


def detectors(report: "Report") -> list[str]:
    """Say of each detector's image list which test images it has seen."""
    sentences = []
    for column in detectors_of(report):
        cells = {test: row[column] for test, row in report.test_images_before.items()}
        seen = [f"{cell.hit:,} of {test}'s {cell.of:,}" for test, cell in cells.items() if cell.hit]
        sentences.append(f"{column} has seen {', '.join(seen) or 'none of the'} test images.")
    return sentences


def mixtures(report: "Report") -> list[str]:
    """Say of each mixture how many of its records went, and how many images could not be compared."""
    sentences = []
    for each in report.mixtures:
        show = "showed a test image and goes" if each.removed == 1 else "showed test images and go"
        named = (
            f"; {count(each.unnamed, 'image')} of {each.images:,} {be(each.unnamed)} not named" if each.unnamed else ""
        )
        partly = f"; {each.partly:,} {be(each.partly)} not compared with all test sets" if each.partly else ""
        said = ", ".join(map(quoted, each.unnamed_examples))
        sentences.append(
            f"Mixture {each.name}: {each.removed:,} of {count(each.records, 'record')} {show}"
            f"{named}{f' (such as {said})' if named and said else ''}{partly}."
        )
    return sentences
