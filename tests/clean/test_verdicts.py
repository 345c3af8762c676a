"""Verdicts of a person: the file, its contradictions, and the links that they make."""

import pyarrow as pa
import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.clean.near_duplicates import PAIRS
from vlmt_cli.clean.verdicts import NONE, links, read_verdicts


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "verdicts.txt").write_text(text)
        return read_verdicts(tmp_path / "verdicts.txt")

    return read


def pair(one, other):
    return frozenset({one, other})


def pairs_of(*rows):
    rows = [(a, b, "a", "b", distance, how) for a, b, distance, how in rows]
    return pa.table([list(column) for column in zip(*rows, strict=True)], schema=PAIRS)


def test_a_file_holds_both_kinds_and_old_lines_mean_different(read):
    text = "# mine\nsame vg:2 coco:1  # a crop\n\ndifferent coco:3 vg:4\ncoco:5 vg:6\nsame coco:1 vg:2"
    verdicts = read(text)
    assert verdicts.same == {pair("coco:1", "vg:2")}
    assert verdicts.different == {pair("coco:3", "vg:4"), pair("coco:5", "vg:6")}
    assert verdicts.text == text


@pytest.mark.parametrize(
    "line",
    ["coco:1", "same coco:1", "coco:1 vg:2 vg:3", "same coco:1 coco:1", "maybe coco:1 vg:2", "same coco:1 ../etc"],
)
def test_what_is_not_a_verdict_names_file_and_line(read, line):
    with pytest.raises(DataError, match=r"verdicts\.txt:2"):
        read(f"same coco:1 vg:2\n{line}\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match="missing"):
        read_verdicts(tmp_path / "missing.txt")


def test_contradictions_name_the_lines(read):
    with pytest.raises(DataError, match=r"verdicts\.txt:3: coco:1 and vg:2 are judged different, and same in line 1"):
        read("same coco:1 vg:2\ncoco:8 vg:9\nvg:2 coco:1\n")
    with pytest.raises(DataError, match=r"verdicts\.txt:2: coco:1 and coco:4 .* \(lines 1, 3, 5\)"):
        read("same coco:1 vg:2\ndifferent coco:4 coco:1\nsame vg:3 vg:2\nsame coco:8 vg:9\nsame coco:4 vg:3\n")


def test_links_follow_files_where_they_can_and_verdicts_where_there_are_any(read):
    pairs = pairs_of(
        ("coco:1", "vg:2", 10, "perceptual"),
        ("coco:1", "vg:3", 12, "perceptual"),
        ("coco:1", "vg:3", 0, "pixels"),
        ("coco:5", "vg:3", 2, "perceptual"),
        ("coco:7", "vg:8", 40, "borderline"),
        ("coco:7", "vg:9", 41, "borderline"),
    )
    verdicts = read("different coco:1 vg:2\nsame coco:1 vg:3\nsame coco:7 vg:8\nsame coco:100 vg:100\n")
    by_files = [("coco:1", "vg:3", "pixels"), ("coco:5", "vg:3", "perceptual")]
    judged = [("coco:100", "vg:100", "judged"), ("coco:7", "vg:8", "judged")]
    assert [tuple(link.values()) for link in links(pairs, verdicts).to_pylist()] == by_files + judged
    assert ("coco:1", "vg:2", "perceptual") in [tuple(link.values()) for link in links(pairs, NONE).to_pylist()]
