"""The verdict of a report: "No test image is left" stands only where nothing is open."""

import pytest

from vlmt_cli.clean.claim import UNUSED, open_points, verdict
from vlmt_cli.clean.image_files import NOT_AN_IMAGE, NOT_NAMED
from vlmt_cli.clean.overlap import Share
from vlmt_cli.clean.question import CleanQuestion
from vlmt_cli.clean.report import NearDuplicates, PassedOver, Report, SplitReport


def files(**changes):
    settled = {
        "files": 12,
        "images": 10,
        "images_without_file": 0,
        "pairs": {"pixels": 2},
        "judged_same": 0,
        "judged_different": 0,
        "to_judge": 0,
        "passed_over": [],
        "damaged": [],
    }
    return NearDuplicates(**settled | changes)


def passed_over(reason):
    return [PassedOver(reason=reason, files=3, first="images/1")]


def split(dataset, role):
    counts = dict.fromkeys(("examples", "kept", "removed", "removed_under_paper_identity"), 0)
    return SplitReport(dataset=dataset, split=role, role=role, by_test_set={}, by_relation={}, **counts)


def report(**changes):
    settled = {
        "identity": "strict",
        "question": CleanQuestion(datasets=["coco"], identity="strict", options={}),
        "union": ["coco"],
        "splits": [split("coco", "test")],
        "warnings": [],
        "absent_test_files": [],
        "compared_by": ["id", "flickr"],
        "images_compared": 1234,
        "test_images_after": {"coco": {"vqa": Share(0, 5)}},
        "near_duplicates": None,
    }
    made = Report.model_construct(**settled | changes)
    made.open_points = open_points(made)
    return made


@pytest.mark.parametrize(
    "near_duplicates",
    [None, files(), files(passed_over=[*passed_over(NOT_AN_IMAGE), *passed_over(UNUSED)], pairs={"perceptual": 7})],
)
def test_nothing_is_left_where_nothing_is_open(near_duplicates):
    said = verdict(report(near_duplicates=near_duplicates))
    assert "No test image is left among" in said and "Still open" not in said
    assert ("10 images" if near_duplicates else "1,234 images") in said
    assert ("Image files were not compared" in said) == (near_duplicates is None)
    assert "Test images of vqa, vg_qa, gqa, flickr30k" in said and "were not asked for" in said


@pytest.mark.parametrize(
    ("changes", "point"),
    [
        ({"warnings": ["image_data.json is missing"]}, "1 warning about official files"),
        ({"splits": [split("coco", "train")]}, "test images of coco were not looked for (vlmt scan knows image ids of"),
        ({"absent_test_files": ["nlvr2/test2.json"]}, "test images of nlvr2/test2.json, which is not there"),
        (
            {"test_images_after": {"coco": {"vqa": Share(0, 5)}, "nlvr2 test2": {"nlvr2": Share(1, 5)}}},
            "test images of nlvr2 test2 are left, outside the union",
        ),
        ({"near_duplicates": files(images_without_file=4)}, "4 images without a file"),
        ({"near_duplicates": files(damaged=["images/1.jpg: cut short"])}, "1 damaged file"),
        ({"near_duplicates": files(to_judge=2)}, "2 borderline pairs without a verdict"),
        ({"near_duplicates": files(passed_over=passed_over(NOT_NAMED))}, f"3 files passed over ({NOT_NAMED})"),
        ({"near_duplicates": files(passed_over=passed_over("not a regular file"))}, "3 files passed over (not a"),
    ],
)
def test_whatever_is_open_is_said_instead(changes, point):
    made = report(**changes)
    said = verdict(made)
    assert "No test image is left" not in said and "None is left among" in said
    assert len(made.open_points) == 1 and point in said


def test_images_that_could_not_be_compared_are_counted_beside_those_that_were():
    said = verdict(report(near_duplicates=files(images_without_file=4), compared_by=["id", "pixels", "perceptual"]))
    assert "None is left among 10 images compared by ids, pixels and look; 4 could not be compared." in said


def test_test_images_that_are_left_are_said_first():
    said = verdict(report(test_images_after={"coco": {"vqa": Share(2, 5)}, "not in the union": {"vqa": Share(1, 5)}}))
    assert "2 test images are left!" in said and "is left among" not in said
