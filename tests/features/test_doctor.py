"""The doctor finds each planted defect and no other, and tells stores apart."""

import re
import struct
import zlib

import lmdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands.running import run
from features.official import images
from features.test_store import META_32

from benchmarks.damaged_lmdb import examine_damaged
from vlmt_cli.base.errors import DataError
from vlmt_cli.features.compare import compare_stores, match
from vlmt_cli.features.coverage import examples_with_features
from vlmt_cli.features.doctor import examine
from vlmt_cli.features.record import Regions, encode
from vlmt_cli.features.store import META, FeatureStore
from vlmt_cli.features.store_writer import StoreWriter

MADE = images(30, most=6)


def write(path, made=MADE, change=lambda image: {}, width=32):
    with StoreWriter(path, msgspec.structs.replace(META_32, feature_width=width)) as writer:
        for image in made:
            regions = {"boxes": image.boxes, "features": image.features, "width": image.width, "height": image.height}
            writer.put(f"coco:{image.id}", Regions(**regions | change(image)))
    return path


def edit(path, **records):
    """Change a store behind its back; None removes a record."""
    environment = lmdb.open(str(path))
    with environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key.encode(), value) if value else transaction.delete(key.encode())
    environment.close()


def test_a_sound_store(tmp_path):
    report = examine(write(tmp_path / "s"))
    counts = [len(image.boxes) for image in MADE]
    assert not report.is_damaged and report.images == 30
    assert (report.regions.least, report.regions.most) == (min(counts), max(counts))
    assert report.regions.mean == pytest.approx(np.mean(counts))
    assert report.bytes_an_image == (tmp_path / "s" / "data.mdb").stat().st_size / 30


def test_every_planted_defect_is_named(tmp_path):
    path = write(tmp_path / "s")
    sound = Regions(MADE[0].boxes, MADE[0].features, MADE[0].width, MADE[0].height)
    record = encode(sound)
    n = len(sound.boxes)

    def forged(boxes=sound.boxes, features=sound.features):
        """A record that the writer would refuse, with the right checksum."""
        payload = np.asarray(boxes, "<f4").tobytes() + np.asarray(features, "<f2").tobytes()
        numbers = (len(boxes), features.shape[1], 0, sound.width, sound.height, zlib.crc32(payload), 0)
        return struct.pack("<4s7I", b"VLF1", *numbers) + payload

    assert forged() == record
    edit(
        path,
        **{
            "coco:11": record[:-1] + bytes([record[-1] ^ 1]),
            "coco:12": record[:-3],
            "coco:13": b"garbage",
            "coco:14": forged(features=np.full((n, 32), np.nan)),
            "coco:15": forged(boxes=sound.boxes + 1000),
            "coco:16": forged(boxes=np.zeros((0, 4)), features=np.zeros((0, 32))),
            "coco:17": forged(features=np.zeros((n, 32))),
            "coco:18": forged(features=np.ones((n, 16))),
            "photo": record,
        },
    )
    report = examine(path)
    found = {problem.what: problem.first for problem in report.problems.values()}
    assert found == {
        "the record's checksum is wrong": ["coco:11"],
        "the record is damaged": ["coco:12"],
        "the record is cut short": ["coco:13"],
        "features hold values that are NaN or infinite": ["coco:14"],
        f"a box lies outside the {sound.width} x {sound.height} image": ["coco:15"],
        "the image has no region": ["coco:16"],
        "all features are zero": ["coco:17"],
        "16 features and 0 class scores a region, not 32 and 0": ["coco:18"],
        "'photo' is not an image key": ["photo"],
    }
    assert report.store_problems == ["it has 31 images, but says 30"]


def test_a_record_that_was_swapped_lost_or_never_finished(tmp_path):
    path = write(tmp_path / "s")
    edit(path, **{"coco:11": encode(Regions(MADE[1].boxes, MADE[1].features, MADE[1].width, MADE[1].height))})
    assert examine(path).store_problems == ["the checksum over all records is another than it says"]
    path = write(tmp_path / "t")
    edit(path, **{"coco:11": None})
    assert examine(path).store_problems[0] == "it has 29 images, but says 30"
    path = write(tmp_path / "u")
    edit(path, **{META.decode(): msgspec.json.encode(META_32)})
    assert "it was not finished" in examine(path).store_problems[0]


def test_a_store_that_is_cut_short_kills_nothing(tmp_path):
    path = write(tmp_path / "s", images(300))
    data = (path / "data.mdb").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "data.mdb").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="is cut short"):
        examine(tmp_path / "cut")
    (tmp_path / "cut" / "data.mdb").write_bytes(b"")
    with pytest.raises(DataError):
        examine(tmp_path / "cut")


def test_coverage_of_the_datasets(tmp_path, open_store):
    path = write(tmp_path / "s")
    keys = [["coco:11"], ["coco:11"], ["coco:12", "coco:99"], ["coco:98"]]
    (tmp_path / "examples" / "vqa").mkdir(parents=True)
    table = pa.table({"images": pa.array(keys, pa.list_(pa.string()))})
    pq.write_table(table, tmp_path / "examples" / "vqa" / "val.parquet")
    (found,) = examine(path, tmp_path).coverage
    assert (found.dataset, found.split, found.images, found.with_features) == ("vqa", "val", 4, 2)
    assert found.first_missing == ["coco:99", "coco:98"] and found.share == 0.5

    images_of_examples, store = table["images"].combine_chunks(), open_store(path)
    with pytest.raises(DataError, match=r"2 of 4 examples of vqa val lack features.*coco:99.*--partial"):
        examples_with_features(store, images_of_examples, "vqa val")
    there = examples_with_features(store, images_of_examples.slice(1), "vqa val", partial=True)
    assert there.tolist() == [True, False, False]
    with pytest.raises(DataError, match="1 of 1 examples"):
        examples_with_features(store, images_of_examples.slice(3), "vqa val", partial=True)


# --- are these the same features? --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda image: {}, "same features"),
        (lambda image: {"boxes": image.boxes[::-1], "features": image.features[::-1]}, "same features"),
        (
            lambda image: {"boxes": image.boxes * 2, "width": 2 * image.width, "height": 2 * image.height},
            "same features",
        ),
        (lambda image: {"features": image.features[:, ::-1]}, "same boxes, other features"),
        (lambda image: {"features": image.features * 2}, "same boxes, other features"),
        (lambda image: {"boxes": image.boxes / 3}, "different"),
    ],
)
def test_verdicts(tmp_path, open_store, change, verdict):
    one, other = write(tmp_path / "s"), write(tmp_path / "t", MADE[5:], change)
    found = compare_stores(open_store(one), open_store(other), {"coco:20"})
    assert found.verdict == verdict
    assert (found.shared, found.only_here, found.only_there, found.compared) == (25, 5, 0, 24)


@pytest.mark.parametrize(
    ("more", "verdict", "matched"),
    [
        (1, "same features of nearly all regions", 36 / 37),
        (26, "same features of the regions in both", 36 / 62),
        (0, "same features", 1),
    ],
)
def test_a_store_with_more_regions_is_none_of_the_same(tmp_path, open_store, capsys, more, verdict, matched):
    rng = np.random.default_rng(0)
    corners = np.arange(62)[:, None] * 10.0 + [[0, 0, 8, 8]]
    features = rng.normal(size=(62, 32)).astype("f4")

    def of(path, count):
        with StoreWriter(path, msgspec.structs.replace(META_32, feature_width=32)) as writer:
            for number in range(4):
                kept = {
                    "boxes": corners[:count].astype("f4"),
                    "features": features[:count],
                    "width": 640,
                    "height": 640,
                }
                writer.put(f"coco:{number}", Regions(**kept))
        return path

    one, other = of(tmp_path / "few", 36), of(tmp_path / "many", 36 + more)
    for first, second, shares in ((one, other, (1, matched)), (other, one, (matched, 1))):
        found = compare_stores(open_store(first), open_store(second), set())
        assert found.verdict == verdict and (found.matched, found.matched_there) == pytest.approx(shares)
        assert found.other_counts == (4 if more else 0)
    with StoreWriter(tmp_path / "more", msgspec.structs.replace(META_32, feature_width=32)) as writer:
        for number in range(5):
            writer.put(f"coco:{number}", FeatureStore(one).read("coco:0"))
    assert run("doctor", str(one), str(tmp_path / "more")) == 0
    assert "Compared: same features, in the images of both. 4 images in both, 0 only here, 1" in capsys.readouterr().out
    assert run("doctor", str(one), str(other)) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"Compared: {verdict}. 4 images in both" in out and "100.0% of regions here and" in out
    assert (f"36.0 regions an image here and {36 + more}.0 there, another number in 4 of 4 images" in out) == (more > 0)


def test_widths_may_differ_and_images_too(tmp_path, open_store):
    one = open_store(write(tmp_path / "s"))
    narrow = open_store(write(tmp_path / "t", change=lambda i: {"features": i.features[:, :8]}, width=8))
    found = compare_stores(one, narrow, set())
    assert found.verdict == "same boxes, other features" and found.cosine is None
    assert (
        compare_stores(one, open_store(write(tmp_path / "u", images(3, first=500))), set()).verdict
        == "no shared images"
    )


def test_boxes_that_choose_each_other_are_partners():
    ones = np.ones((3, 2), "f4")
    one = Regions(np.array([[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 9, 10]], "f4"), ones, 40, 40)
    other = Regions(np.array([[20, 20, 30, 29], [0, 0, 10, 10], [31, 31, 40, 40]], "f4"), ones, 40, 40)
    rows, partners, iou = match(one, other)
    assert rows.tolist() == [0, 1] and partners.tolist() == [1, 0]
    assert iou.tolist() == pytest.approx([1, 0.9])


@pytest.mark.parametrize("seed", range(24))
def test_a_damaged_file_ends_nothing_and_is_said(tmp_path, seed):
    said = examine_damaged(seed, tmp_path)
    assert re.match(r"damaged: |refused: |sound, and", said)


@pytest.mark.parametrize(
    ("flags", "size", "what"),
    [(1, 0x7FFFFFFF, "which does not exist"), (2, None, "a tree of its own"), (4, None, "a tree of its own")],
)
def test_a_record_that_the_library_would_follow_out_of_the_file_is_refused(tmp_path, flags, size, what):
    path = write(tmp_path / "s", images(30, most=40))
    file = path / "data.mdb"
    data = bytearray(file.read_bytes())
    for key in re.finditer(b"coco:", data):
        low, high, _, length = struct.unpack_from("<4H", data, key.start() - 8)
        low, high = (low, high) if size is None else (size & 0xFFFF, size >> 16)
        struct.pack_into("<4H", data, key.start() - 8, low, high, flags, length)
    file.write_bytes(data)
    with pytest.raises(DataError, match=f"is damaged .*{what}.*vlmt doctor"):
        FeatureStore(path)
