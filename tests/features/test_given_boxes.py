"""Boxes that are given: from files, from example tables, and fitted to the photo."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.tables import REFERRING
from vlmt_cli.features.extract import extract
from vlmt_cli.features.given_boxes import candidate_boxes, fit_boxes, read_boxes
from vlmt_cli.features.pixels import WIDTH, pixels_extractor
from vlmt_cli.features.store import FeatureStore

BOXES = {"coco:9": [[0.5, 1, 20, 30.5], [0, 0, 10, 10]], "vg:7": [[3, 4, 5, 6]]}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(boxes):
    return [{"image": image, "boxes": one} for image, one in boxes.items()]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_reads_both_forms_in_their_order(tmp_path, form):
    path = tmp_path / f"boxes.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows_of(BOXES)), path)
    else:
        write_lines(path, rows_of(BOXES))
    found = read_boxes(path)
    assert {image: boxes.tolist() for image, boxes in found.items()} == BOXES


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_reads_width_and_height_where_it_is_told_to(tmp_path, form):
    rows = rows_of({"coco:9": [[0.5, 1, 20, 30.5], [3, 3, 1, 1]]})
    path = tmp_path / f"boxes.{form}"
    pq.write_table(pa.Table.from_pylist(rows), path) if form == "parquet" else write_lines(path, rows)
    assert read_boxes(path, "xywh")["coco:9"].tolist() == [[0.5, 1, 20.5, 31.5], [3, 3, 4, 4]]
    write_lines(tmp_path / "more.jsonl", rows_of({"coco:9": [[0.5, 1, 20, 30.5], [3, 3, 1, 1], [4, 4, 1, 1]]}))
    with pytest.raises(DataError, match=r"2 of 3 boxes are not xyxy.*\[3, 3, 1, 1\] of coco:9; .* --box-format xywh"):
        read_boxes(tmp_path / "more.jsonl")
    with pytest.raises(DataError, match=r"\[0, 0, 0, 1\] of coco:8; .* --box-format xyxy"):
        read_boxes(write_lines(tmp_path / "flat.jsonl", rows_of({"coco:8": [[0, 0, 0, 1]]})), "xywh")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (
            {"image": "9", "boxes": [[0, 0, 1, 1]]},
            "no photo is named .*9.*, and the name does not say which image it is; write coco:9",
        ),
        ({"image": "coco:x", "boxes": [[0, 0, 1, 1]]}, "is not an image key"),
        ({"image": "coco:9", "boxes": [[0, 0, 1, 1]]}, "coco:9 occurs twice"),
        ({"image": "coco:8", "boxes": []}, "coco:8 has no box"),
        ({"image": "coco:8", "boxes": [[0, 0, 1]]}, "boxes"),
        ({"image": "coco:8"}, "missing required field"),
    ],
)
def test_a_bad_line_is_named(tmp_path, row, reason):
    path = write_lines(tmp_path / "boxes.jsonl", [*rows_of(BOXES), row])
    with pytest.raises(DataError, match=reason) as caught:
        read_boxes(path)
    assert "boxes.jsonl:3" in str(caught.value)


PHOTOS = [("coco:125870", "train2017/000000125870.jpg"), ("vg:2", "/x/VG_100K/2.jpg"), ("flickr30k:2", "/x/f/2.jpg"),
          ("mine:000000000042", "own/000000000042.jpg")]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("000000125870.jpg", "coco:125870"),
        ("000000125870", "coco:125870"),
        ("COCO_train2014_000000125870.jpg", "coco:125870"),
        ("/somewhere/coco/train2014/COCO_train2014_000000125870.png?download=1", "coco:125870"),
        ("http://images.cocodataset.org/train2017/000000125870.jpg", "coco:125870"),
        ("VG_100K/2.jpg", "vg:2"),
        ("v7w_2", "vg:2"),
        ("f/2.jpg", "flickr30k:2"),
        ("VG_100K_2\\3.jpg", "vg:3"),
        ("000000000042.jpg", "mine:000000000042"),  # the photo's own name, though COCO's are so
        ("dev-850-0-img0.png", "nlvr2:dev-850-0-img0"),
        ("2.jpg", None),  # of two photos
        ("y/VG_100K/2.png", "vg:2"),
        ("dog.jpg", None),
    ],
)
def test_a_photo_may_be_named_in_every_official_spelling(tmp_path, name, key):
    path = write_lines(tmp_path / "boxes.jsonl", rows_of({name: [[0, 0, 1, 1]]}))
    if key is None:
        with pytest.raises(DataError, match="does not say which image it is"):
            read_boxes(path, photos=PHOTOS)
    else:
        assert read_boxes(path, photos=PHOTOS).keys() == {key}


def test_a_number_is_of_the_photos_source_where_they_have_only_one(tmp_path):
    path = write_lines(tmp_path / "boxes.jsonl", [{"image": 3, "boxes": [[0, 0, 1, 1]]}])
    assert read_boxes(path, photos=PHOTOS[1:2]).keys() == {"vg:3"}
    write_lines(path, rows_of({"vg:2": [[0, 0, 1, 1]], "2.jpg": [[0, 0, 1, 1]]}))
    with pytest.raises(DataError, match=r"boxes.jsonl:2: vg:2 occurs twice"):
        read_boxes(path, photos=PHOTOS[1:2])


def test_files_that_are_none_are_named(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"image": ["coco:1"], "boxes": [[[1.0, 2.0]]]}), tmp_path / "short.parquet")
    (tmp_path / "empty.jsonl").write_text("\n")
    for name, reason in (
        ("bad.parquet", "cannot be read as boxes"),
        ("short.parquet", "cannot be read as boxes"),
        ("empty.jsonl", "names no image"),
        ("nothing.jsonl", "cannot be read"),
    ):
        with pytest.raises(DataError, match=reason):
            read_boxes(tmp_path / name)


def test_candidates_are_distinct_and_in_an_order_of_their_own(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        {
            "example_id": str(i),
            "images": [f"vg:{rng.integers(4)}"],
            "text": "which?",
            "box": [0, 0, 1, 1],
            "candidates": rng.integers(0, 3, (4, 4)).astype(float).tolist(),
            "target": 0,
            "category": "dog",
        }
        for i in range(40)
    ]
    (tmp_path / "visual7w").mkdir()
    pq.write_table(pa.Table.from_pylist(rows[:25], REFERRING), tmp_path / "visual7w" / "train.parquet")
    pq.write_table(pa.Table.from_pylist(rows[25:], REFERRING), tmp_path / "visual7w" / "val.parquet")
    pq.write_table(pa.table({"image": ["vg:1"]}), tmp_path / "visual7w" / "links.parquet")
    wanted = {
        image: sorted({tuple(box) for row in rows if row["images"] == [image] for box in row["candidates"]})
        for image in {row["images"][0] for row in rows}
    }
    found = candidate_boxes(tmp_path, "visual7w")
    assert {image: [tuple(box) for box in boxes.tolist()] for image, boxes in found.items()} == wanted
    with pytest.raises(DataError, match=r"has no example tables; put refcoco.* then run vlmt clean --datasets all"):
        candidate_boxes(tmp_path, "refcoco")


def test_boxes_are_clipped_or_dropped_and_counted():
    boxes = np.array([[-3, 5, 20, 130], [1, 1, 2, 2]], np.float32)
    fitted = fit_boxes(boxes, 100, 120)
    np.testing.assert_array_equal(fitted.boxes, [[0, 5, 20, 120], [1, 1, 2, 2]])
    np.testing.assert_array_equal(fitted.as_given, boxes)
    assert (fitted.dropped, fitted.clipped, fitted.problem) == (0, 1, "")
    beyond = fit_boxes(boxes + 110, 100, 120)
    assert (len(beyond.boxes), beyond.dropped, beyond.clipped) == (0, 2, 0)
    assert "[107, 115, 130, 240] is empty, inverted, not finite or outside the 100 x 120 photo" in beyond.problem


def test_a_store_of_given_boxes(tmp_path):
    files = []
    for number in (9, 10, 11):
        Image.new("RGB", (60, 50), (number, 0, 0)).save(tmp_path / f"{number}.png")
        files.append((f"coco:{number}", str(tmp_path / f"{number}.png")))
    boxes = {
        "coco:9": np.array([[30, 5, 40, 20], [4, 4, 4, 9], [50, 0, 1e38, 10], [0, 0, np.inf, 1]], np.float32),
        "coco:11": np.array([[70, 0, 80, 9]], np.float32),
    }
    result = extract(files, tmp_path / "store", pixels_extractor(np.zeros((2, WIDTH), np.float32)), boxes=boxes)
    assert (result.written, result.without_boxes, len(result.failed)) == (1, 1, 1)
    assert "outside the 60 x 50 photo" in result.failed[files[2][1]]
    assert (result.boxes_dropped, result.boxes_clipped) == (3, 1)
    store = FeatureStore(tmp_path / "store")
    np.testing.assert_array_equal(store.read("coco:9").boxes, [[30, 5, 40, 20], [50, 0, 60, 10]])
    store.close()


def test_one_impossible_box_among_others_is_no_reason_to_refuse_a_file(tmp_path):
    path = tmp_path / "boxes.jsonl"
    path.write_text(
        '{"image": "coco:9", "boxes": [[0, 0, 5, 5], [NaN, 0, 1, 1], [1, 1, 2, 2], [0, 0, 1e39, Infinity]]}'
    )
    fitted = fit_boxes(read_boxes(path)["coco:9"], 10, 10)
    assert (fitted.boxes.tolist(), fitted.dropped) == ([[0, 0, 5, 5], [1, 1, 2, 2]], 2)
    path.write_bytes(b'{"image": "coco:\xff", "boxes": [[0, 0, 5, 5]]}')
    with pytest.raises(DataError, match=r"boxes.jsonl:1"):
        read_boxes(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="is a pipe"):
        read_boxes(path)
