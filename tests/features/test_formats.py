"""Every official form into a store and back, against what the test wrote."""

import base64
import json
import os
import pickle
import re

import h5py
import lmdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from features.official import (
    assert_same,
    authors_record,
    images,
    in_base64,
    older_record,
    short_line,
    tensorpack_record,
    write_lmdb,
)

from benchmarks.damaged_lmdb import pack_damaged
from vlmt_cli.base.errors import DataError
from vlmt_cli.features.formats import recognise
from vlmt_cli.features.formats.entry import PackOptions
from vlmt_cli.features.pack import pack


def assert_packed(store, made, key="coco:{}", scores=False):
    assert store.keys() == sorted(key.format(image.id) for image in made)
    for image in made:
        assert_same(store.read(key.format(image.id), verify=True), image, scores=scores)


# --- LMDB --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("record", "scores"), [(authors_record, False), (older_record, True)])
def test_both_forms_of_the_authors_lmdb(tmp_path, open_store, record, scores):
    made = images()
    keys = [str(image.id).encode() for image in made]
    records = {key: record(image) for key, image in zip(keys, made, strict=True)}
    source = write_lmdb(tmp_path / "theirs.lmdb", {**records, b"keys": pickle.dumps(keys)})
    assert recognise(source) == recognise(source / "data.mdb") == "lmdb"
    packed = pack(source, tmp_path / "s", image_source="coco", extractor="X-152")
    assert (packed.images, packed.there, packed.problems, packed.format) == (5, 0, {}, "lmdb")
    store = open_store(tmp_path / "s")
    assert store.meta.extractor == "X-152"
    assert_packed(store, made, scores=scores)


def test_keys_of_every_dataset_become_image_keys(tmp_path, open_store):
    (image,) = images(1)
    names = ["v7w_2372205", "COCO_val2014_000000262148", "dev-850-0-img0", "n161313", "1000092795"]
    source = write_lmdb(tmp_path / "l", {name.encode(): authors_record(image, image_id=name) for name in names})
    pack(source, tmp_path / "s", image_source="flickr30k")
    expected = ["coco:262148", "flickr30k:1000092795", "gqa:n161313", "nlvr2:dev-850-0-img0", "vg:2372205"]
    assert open_store(tmp_path / "s").keys() == expected


def test_a_hostile_pickle_runs_nothing_and_is_named(tmp_path, open_store):
    class Evil:
        def __reduce__(self):
            return __import__("os").system, (f"touch {tmp_path / 'ran'}",)

    good, bad = images(2)
    records = {b"11": authors_record(good), b"12": authors_record(bad, boxes=Evil()), b"13": pickle.dumps(Evil())}
    packed = pack(write_lmdb(tmp_path / "l", records), tmp_path / "s", image_source="coco")
    (hostile,) = packed.problems.values()
    assert "asks to import posix.system" in hostile.what and "nothing was run" in hostile.what
    assert (hostile.count, hostile.first) == (2, ["12", "13"])
    assert not (tmp_path / "ran").exists()
    assert open_store(tmp_path / "s").keys() == ["coco:11"]
    with pytest.raises(DataError, match="nothing was run"):
        pack(write_lmdb(tmp_path / "m", {b"13": pickle.dumps(Evil())}), tmp_path / "t", image_source="coco")


def test_what_is_wrong_in_an_lmdb_is_named(tmp_path):
    good, *others = images(9)
    wrong = [
        ("features is an array of object", {"features": np.array([{}, []], dtype=object)}),
        ("features is missing", {"features": None}),
        ("boxes is int", {"boxes": 3}),
        ("there are N boxes, not N", {"num_boxes": 50}),
        ("image_w is 'wide', not a number", {"image_w": "wide"}),
        ("features hold values that are NaN or infinite", {"features": others[5].features * np.float32(np.nan)}),
        ("boxes have shape", {"boxes": others[6].boxes[:, :3]}),
        ("not N a region", {"boxes": good.boxes.ravel()[:-1]}),
    ]
    records = {b"11": authors_record(good)}
    records |= {
        str(image.id).encode(): authors_record(image, **changed)
        for image, (_, changed) in zip(others, wrong, strict=True)
    }
    keys = [*records, b"99"]
    records |= {b"97": b"no pickle", b"98": pickle.dumps([1]), b"keys": pickle.dumps(keys)}
    packed = pack(write_lmdb(tmp_path / "l", records), tmp_path / "s", image_source="coco")
    said = "\n".join([*packed.problems, *(problem.what for problem in packed.problems.values())])
    for text in [*(text for text, _ in wrong), "not an intact pickle", "the record is list", "listed among the keys"]:
        assert text in said
    lines = (tmp_path / "s.problems.jsonl").read_text().splitlines()
    assert packed.images == 1
    assert sorted(json.loads(line)["name"] for line in lines) == sorted([*map(str, range(12, 20)), "97", "98", "99"])


def test_keys_with_folders_are_named_by_what_follows_them(tmp_path, open_store):
    first, second = images(2)
    records = {
        b"train2014/COCO_train2014_000000000011": authors_record(first),
        b"val2014/COCO_val2014_000000000012.jpg": authors_record(second),
    }
    records[b"keys"] = pickle.dumps(list(records), 2)
    packed = pack(write_lmdb(tmp_path / "l", records), tmp_path / "s")
    assert (packed.images, packed.problems) == (2, {})
    assert open_store(tmp_path / "s").keys() == ["coco:11", "coco:12"]


def test_a_record_that_names_another_image_than_its_key_is_left_out(tmp_path, open_store):
    made = images(6)
    stated = [11, "12", b"COCO_val2014_000000000013", "COCO_val2014_000000000014.jpg", 25, "dev-850-0-img0"]
    records = {str(image.id).encode(): authors_record(image, image_id=name)
               for image, name in zip(made, stated, strict=True)}  # fmt: skip
    packed = pack(write_lmdb(tmp_path / "l", records), tmp_path / "s", image_source="coco")
    (problem,) = packed.problems.values()
    assert (problem.what, problem.first) == ("image_id is 25, and the key names another image", ["15"])
    assert open_store(tmp_path / "s").keys() == ["coco:11", "coco:12", "coco:13", "coco:14", "coco:16"]


@pytest.mark.parametrize("seed", range(24))
def test_a_damaged_lmdb_loses_no_more_than_its_damaged_records(tmp_path, seed):
    said = pack_damaged(seed, tmp_path)
    if not said.startswith("refused"):
        packed, count, left_out, _ = [int(number) for number in re.findall(r"\d+", said)]
        assert packed == count or left_out


def test_an_lmdb_that_is_cut_short_kills_nothing(tmp_path):
    source = write_lmdb(tmp_path / "l", {str(image.id).encode(): authors_record(image) for image in images(200)})
    data = (source / "data.mdb").read_bytes()
    (source / "data.mdb").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="is cut short"):
        pack(source, tmp_path / "s", image_source="coco")


# --- tensorpack --------------------------------------------------------------------------------------------


def test_conceptual_captions_come_with_captions_from_all_parts(tmp_path, open_store):
    made = images(5, first=0)
    for part, some in enumerate((made[:3], made[3:])):
        records = {b"%08d" % i: tensorpack_record(image, f"words {image.id}") for i, image in enumerate(some)}
        listed = b"\x93" + b"".join(b"\xc4\x08%08d" % i for i in range(3))  # of the second part, one is missing
        source = write_lmdb(tmp_path / f"training_feat_part_{part}.lmdb", {**records, b"__keys__": listed})
        assert recognise(source) == "tensorpack"
        packed = pack(source, tmp_path / "s")
    assert [problem.first for problem in packed.problems.values()] == [["record 00000002"]]
    assert packed.captions == 5
    assert_packed(open_store(tmp_path / "s"), made, "cc:{}", scores=True)
    captions = pq.read_table(tmp_path / "s.captions.parquet").to_pylist()
    assert captions == [{"image": f"cc:{i}", "caption": f"words {i}"} for i in range(5)]


def test_an_array_of_objects_in_msgpack_is_a_pickle_and_refused(tmp_path):
    good, bad = images(2)
    record = tensorpack_record(bad, "words").replace(b"\xa3<f4", b"\xa3|O8", 1)
    records = {b"00000000": tensorpack_record(good, "w"), b"00000001": record, b"00000002": pickle.dumps([1])}
    packed = pack(write_lmdb(tmp_path / "l", {**records, b"__keys__": b"\x90"}), tmp_path / "s")
    assert packed.images == 1
    assert {problem.what for problem in packed.problems.values()} == {
        "an array of '|O8', which is not a plain number or text",
        "the record is not msgpack with 8 fields",
    }


# --- TSV ---------------------------------------------------------------------------------------------------


def test_the_real_tsv_keeps_every_box_and_feature(tmp_path, real_data, open_store):
    source = real_data / "features" / "train2014_obj36.tsv"
    assert recognise(source) == "tsv"
    assert pack(source, tmp_path / "s").images == 10
    store = open_store(tmp_path / "s")
    for line in source.read_text().splitlines():
        name, height, width, *_, boxes, features = line.split("\t")
        regions = store.read(f"coco:{int(name.rpartition('_')[2])}", verify=True)
        assert (regions.height, regions.width) == (int(height), int(width))
        np.testing.assert_array_equal(regions.boxes.ravel(), np.frombuffer(base64.b64decode(boxes), "f4"))
        wanted = np.frombuffer(base64.b64decode(features), "f4").reshape(36, 2048)
        np.testing.assert_allclose(regions.features.astype("f4"), wanted, rtol=2**-11, atol=2**-25)


@pytest.mark.parametrize("form", ["six", "seven", "height first", "header", "python 3", "byte order mark"])
def test_forms_of_the_short_tsv(tmp_path, open_store, form):
    made = images()
    lines = [short_line(image) for image in made]
    if form == "seven":
        lines = [short_line(image, cls_prob=in_base64(image.scores)) for image in made]
    if form in ("height first", "header"):
        swapped = {image.id: (str(image.height).encode(), str(image.width).encode()) for image in made}
        lines = [short_line(image, image_w=swapped[image.id][0], image_h=swapped[image.id][1]) for image in made]
    if form == "byte order mark":
        lines[0] = b"\xef\xbb\xbf" + lines[0]
    if form == "header":
        lines.insert(0, b"image_id\timage_h\timage_w\tnum_boxes\tboxes\tfeatures\n")
    if form == "python 3":
        lines = [short_line(image, features=repr(in_base64(image.features)).encode()) for image in made]
    (tmp_path / "f.tsv.0").write_bytes(b"".join(lines))
    assert recognise(tmp_path / "f.tsv.0") == "tsv"
    assert pack(tmp_path / "f.tsv.0", tmp_path / "s", image_source="coco").problems == {}
    assert_packed(open_store(tmp_path / "s"), made, scores=form == "seven")


def test_what_is_wrong_in_a_line_is_named_and_counted(tmp_path, open_store):
    made = images(10)
    far = made[5].boxes + np.float32(1000)
    lines = [short_line(image) for image in made[:2]] + [
        short_line(made[2]).rpartition(b"\t")[0] + b"\n",
        short_line(made[3], features=b"%%%%"),
        short_line(made[4], features=in_base64(made[4].features * np.float32(np.nan))),
        short_line(made[5], boxes=in_base64(far)),
        short_line(made[6], num_boxes=b"50"),
        short_line(made[7], num_boxes=b"many"),
        short_line(made[8], features=in_base64(made[8].features[:, :16])),
        short_line(made[1]),
        short_line(made[9], image_id=b"a photo"),
    ]
    (tmp_path / "f.tsv").write_bytes(b"".join(lines))
    packed = pack(tmp_path / "f.tsv", tmp_path / "s", image_source="coco")
    assert packed.images == 2
    said = {problem.first[0]: problem.what for problem in packed.problems.values()}
    assert said.keys() == {*map(str, range(12, 20)), "a photo"} and len(packed.problems) == 9
    for name, what in {
        "13": "the line has 5 fields, not 6",
        "14": "features is not base64",
        "15": "features hold values that are NaN or infinite",
        "16": "outside the",
        "17": "for 50 boxes",
        "18": "num_boxes is 'many', not a number",
        "19": "16 features and 0 class scores a region, not 32 and 0",
        "12": "the image occurs twice",
        "a photo": "does not say which image",
    }.items():
        assert what in said[name]
    assert_packed(open_store(tmp_path / "s"), made[:2])


# --- arrays ------------------------------------------------------------------------------------------------


def info(image):
    return {
        "bbox": image.boxes,
        "num_boxes": len(image.boxes),
        "image_width": image.width,
        "image_height": image.height,
    }


def test_a_pickled_dict_an_image(tmp_path, open_store):
    made = images()
    (tmp_path / "f").mkdir()
    for image in made:
        record = info(image) | {"image_id": f"{image.id}", "cls_prob": image.scores, "features": image.features}
        np.save(tmp_path / "f" / f"COCO_val2014_{image.id:012}.npy", record)
    assert recognise(tmp_path / "f") == "arrays"
    pack(tmp_path / "f", tmp_path / "s")
    assert_packed(open_store(tmp_path / "s"), made, scores=True)


def test_an_array_and_what_is_known_of_it_beside(tmp_path, open_store):
    made = images()
    for image in made:
        np.save(tmp_path / f"{image.id}.npy", image.features)
        np.save(tmp_path / f"{image.id}_info.npy", info(image))
    assert pack(tmp_path, tmp_path / "s", image_source="coco").images == 5
    assert_packed(open_store(tmp_path / "s"), made)


def test_a_file_that_says_it_is_of_another_image_than_its_name_is_left_out(tmp_path, open_store):
    made = images(7)
    (tmp_path / "f").mkdir()
    path = "val2014/COCO_val2014_000000000007.jpg"
    fields = [{"image_id": "COCO_val2014_000000000011"}, {"image_id": np.array("77")}, {"image_id": 9},
              {"img_id": b"8"}, {"file_name": path}, {"image_id": np.array([16.0])}, {}]  # fmt: skip
    for image, more in zip(made, fields, strict=True):
        name = tmp_path / "f" / f"COCO_train2014_{image.id:012}"
        if image.id == 12:
            np.savez(f"{name}.jpg.npz", x=image.features, bbox=image.boxes, image_w=640, image_h=480, **more)
        elif image.id == 13:
            np.save(f"{name}.npy", image.features)
            np.save(f"{name}_info.npy", info(image) | more)
        else:
            np.save(f"{name}.npy", info(image) | more | {"features": image.features})
    packed = pack(tmp_path / "f", tmp_path / "s")
    assert sum(problem.count for problem in packed.problems.values()) == 4
    assert {name[-3:] for problem in packed.problems.values() for name in problem.first} == {"jpg", "013", "014", "015"}
    assert all("and the file names another image" in problem.what for problem in packed.problems.values())
    assert open_store(tmp_path / "s").keys() == ["coco:11", "coco:16", "coco:17"]


@pytest.mark.parametrize("transposed", [False, True])
def test_npz(tmp_path, open_store, transposed):
    made = images()
    for image in made:
        np.savez_compressed(
            tmp_path / f"{image.id}.jpg.npz",
            x=image.features.T if transposed else image.features,
            bbox=image.boxes,
            num_bbox=len(image.boxes),
            image_w=image.width,
            image_h=image.height,
            info={"objects_id": np.arange(3)},
        )
    pack(tmp_path, tmp_path / "s", image_source="coco")
    assert_packed(open_store(tmp_path / "s"), made)


def test_features_without_boxes_are_refused_unless_asked_for(tmp_path, real_data, open_store):
    source = real_data / "features" / "COCO_test2015_000000000001.npy"
    with pytest.raises(DataError, match=r"\(34, 2048\) without boxes; --whole-image-boxes"):
        pack(source, tmp_path / "s")
    assert not (tmp_path / "s").exists()
    pack(source, tmp_path / "s", options=PackOptions(whole_image_boxes=True))
    regions = open_store(tmp_path / "s").read("coco:1")
    np.testing.assert_array_equal(regions.features, np.load(source).astype("f2"))
    assert (regions.boxes == [0, 0, 1, 1]).all() and (regions.width, regions.height) == (1, 1)


def test_damaged_and_hostile_arrays_are_named(tmp_path):
    class Evil:
        def __reduce__(self):
            return __import__("os").system, (f"touch {tmp_path / 'ran'}",)

    good, bad = images(2)
    record = info(good) | {"features": good.features}
    np.save(tmp_path / "11.npy", record)
    np.save(tmp_path / "12.npy", np.array(record | {"bbox": Evil()}, dtype=object))
    np.savez(tmp_path / "13.npz", x=bad.features, info=np.array(Evil(), dtype=object))
    (tmp_path / "14.npz").write_bytes((tmp_path / "13.npz").read_bytes()[:100])
    (tmp_path / "15.npy").write_bytes((tmp_path / "11.npy").read_bytes()[:60])
    (tmp_path / "16.npy").write_bytes(b"")
    (tmp_path / "17.npy").write_bytes((tmp_path / "11.npy").read_bytes()[:-60])
    packed = pack(tmp_path, tmp_path / "s", image_source="coco")
    assert packed.images == 1 and sum(problem.count for problem in packed.problems.values()) == 6
    assert next(problem for what, problem in packed.problems.items() if "nothing was run" in what).count == 2
    assert not (tmp_path / "ran").exists()


# --- HDF5 --------------------------------------------------------------------------------------------------


def padded(made, name, n=6):
    arrays = [getattr(image, name) for image in made]
    return np.stack([np.pad(array, ((0, n - len(array)), (0, 0))) for array in arrays])


def shares(image):
    x1, y1, x2, y2 = (image.boxes / np.array([image.width, image.height] * 2, "f4")).T
    return np.stack([x1, y1, x2, y2, x2 - x1, y2 - y1], 1).astype("f4")


def test_hdf5_of_a_place_an_image(tmp_path, open_store):
    made = images()
    with h5py.File(tmp_path / "train36.hdf5", "w") as file:
        file["image_features"], file["image_bb"] = padded(made, "features"), padded(made, "boxes")
        file["spatial_features"] = np.stack([np.pad(shares(i), ((0, 6 - len(i.boxes)), (0, 0))) for i in made])
    assert recognise(tmp_path / "train36.hdf5") == "hdf5"
    with pytest.raises(DataError, match=r"nothing says which image.*train36_imgid2idx\.pkl"):
        pack(tmp_path / "train36.hdf5", tmp_path / "s", image_source="coco")
    ids = {np.int64(image.id): row for row, image in enumerate(made)}
    (tmp_path / "train36_imgid2idx.pkl").write_bytes(pickle.dumps(ids))
    assert pack(tmp_path / "train36.hdf5", tmp_path / "s", image_source="coco").problems == {}
    assert_packed(open_store(tmp_path / "s"), made)


def test_rows_of_hdf5_without_an_id_and_with_two_are_counted(tmp_path, open_store):
    made = images(5)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"], file["boxes"] = padded(made, "features"), padded(made, "boxes")
        file["boxes"][4] = 0  # filled with zeros, and no image
        file["widths"], file["heights"] = [i.width for i in made], [i.height for i in made]
    (tmp_path / "f.json").write_text(json.dumps({"11": 0, "12": 1, "COCO_val2014_000000000013": 1, "14": 2}))
    packed = pack(tmp_path / "f.h5", tmp_path / "s", image_source="coco")
    said = {problem.what: (problem.count, problem.first) for problem in packed.problems.values()}
    assert said == {"row 1 has 2 ids": (2, ["12", "COCO_val2014_000000000013"]),
                    "nothing says which image the row is": (1, ["row 3"])}  # fmt: skip
    assert open_store(tmp_path / "s").keys() == ["coco:11", "coco:14"]
    with h5py.File(tmp_path / "f.h5", "a") as file:
        file["image_ids"] = [11, 12, 13, 14, 15]
    (tmp_path / "ids.json").write_text(json.dumps([11, 12, 99, 14]))
    packed = pack(
        tmp_path / "f.h5", tmp_path / "t", image_source="coco", options=PackOptions(ids=tmp_path / "ids.json")
    )
    assert [problem.what for problem in packed.problems.values()] == [
        "image_id is 13, and ids.json names another image"
    ]


def test_hdf5_of_a_row_a_region(tmp_path, open_store):
    made = images()
    ends = np.cumsum([0, *(len(image.boxes) for image in made)])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["image_features"] = np.concatenate([image.features for image in made])
        file["image_bb"] = np.concatenate([image.boxes for image in made])
        file["pos_boxes"] = np.stack([ends[:-1], ends[1:]], 1).astype("i4")
        file["widths"], file["heights"] = [i.width for i in made], [i.height for i in made]
        file["image_ids"] = [str(image.id).encode() for image in made]
    assert pack(tmp_path / "f.h5", tmp_path / "s", image_source="coco").problems == {}
    assert_packed(open_store(tmp_path / "s"), made)


def test_hdf5_of_gqa(tmp_path, open_store):
    made = images()
    facts = {}
    for number, some in enumerate((made[:2], made[2:])):
        with h5py.File(tmp_path / f"gqa_objects_{number}.h5", "w") as file:
            file["features"], file["bboxes"] = padded(some, "features"), padded(some, "boxes")
        facts |= {
            str(i.id): {"width": i.width, "height": i.height, "objectsNum": len(i.boxes), "idx": row, "file": number}
            for row, i in enumerate(some)
        }
    (tmp_path / "gqa_objects_info.json").write_text(json.dumps(facts))
    for number in range(2):
        pack(tmp_path / f"gqa_objects_{number}.h5", tmp_path / "s", image_source="gqa")
    assert_packed(open_store(tmp_path / "s"), made, "vg:{}")


def test_hdf5_without_sizes_or_rows_is_named(tmp_path):
    made = images(3)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"], file["boxes"] = padded(made, "features"), padded(made, "boxes")
    (tmp_path / "f.json").write_text(json.dumps({"11": 0, "12": 7}))
    with pytest.raises(DataError, match=r"image's size is missing.*: 11.*no row 7 of 3: 12"):
        pack(tmp_path / "f.h5", tmp_path / "s", image_source="coco")


# --- none of them ------------------------------------------------------------------------------------------


def test_what_is_no_feature_file_is_said(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "few").write_text("a\tb\tc\n")
    (tmp_path / "half.h5").write_bytes(b"\x89HDF\r\n\x1a\n123")
    with h5py.File(tmp_path / "index.h5", "w") as file:
        file["features"] = np.ones((2, 1, 4), "f4")
    data = (tmp_path / "index.h5").read_bytes()
    (tmp_path / "index.h5").write_bytes(data.replace(b"TREE", b"FREE").replace(b"SNOD", b"SNOW"))
    (tmp_path / "folder").mkdir()
    lmdb.open(str(tmp_path / "empty")).close()
    (tmp_path / "nothing.tsv").write_bytes(b"")
    (tmp_path / "a.tsv.gz").write_bytes(b"\x1f\x8b\x08\0")
    (tmp_path / "pointer").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "folder2").mkdir()
    (tmp_path / "folder2" / "train36.hdf5").write_bytes(b"x")
    for name, said in {
        "nothing": "there is no such file",
        "text": "none of the known formats; name an LMDB, a TSV",
        "few": "its first line has 3 fields",
        "half.h5": "cannot be read as HDF5",
        "index.h5": "cannot be read as HDF5",
        "folder": r"has no \.npy",
        "folder2": r"name a file in it, such as train36\.hdf5",
        "nothing.tsv": "is empty; download it again",
        "a.tsv.gz": "is packed with gzip; unpack it with gunzip",
        "pointer": "Git LFS pointer, not a file of features; fetch the file itself",
        "empty": "there is no record",
    }.items():
        with pytest.raises(DataError, match=said):
            pack(tmp_path / name, tmp_path / "s", image_source="coco")


# --- boxes -------------------------------------------------------------------------------------------------

IMPOSSIBLE = {
    "not finite": [np.nan, 0, 9, 9],
    "infinite": [0, 0, np.inf, 9],
    "empty": [5, 5, 5, 9],
    "zero": [0, 0, 0, 0],
    "inverted": [90, 50, 10, 20],
    "outside": [1e38, 1e38, 2e38, 2e38],
    "left of it": [-50, 0, -20, 9],
}
FAR = [-100, 10, 1e38, 20]


def impossible():
    """Two images: one with every impossible box and a box that crosses the border, one that is sound."""
    first, second = images(2)
    count = len(IMPOSSIBLE)
    rng = np.random.default_rng(3)
    sound = np.array([[1, 2, 30, 40], [5, 5, 9, 9]] * count, "f4")
    first.boxes = np.concatenate([np.array([*IMPOSSIBLE.values(), FAR], "f4"), sound])
    first.features = rng.random((len(first.boxes), 32), "f4")
    first.scores = rng.random((len(first.boxes), 7), "f4")
    return first, second


@pytest.mark.parametrize("format", ["lmdb", "older lmdb", "tensorpack", "tsv", "npy", "npz", "hdf5"])
def test_impossible_boxes_are_dropped_and_counted_in_every_format(tmp_path, open_store, format):
    first, second = made = impossible()
    source = tmp_path / "source"
    if format in ("lmdb", "older lmdb"):
        record = authors_record if format == "lmdb" else older_record
        write_lmdb(source, {str(image.id).encode(): record(image) for image in made})
    elif format == "tensorpack":
        records = {b"%08d" % n: tensorpack_record(image, "words") for n, image in enumerate(made)}
        write_lmdb(source, {**records, b"__keys__": b"\x90"})
    elif format == "tsv":
        source.write_bytes(b"".join(short_line(image) for image in made))
    elif format in ("npy", "npz"):
        source.mkdir()
        for image in made:
            sizes = {"image_w": image.width, "image_h": image.height}
            if format == "npz":
                np.savez(source / f"{image.id}.npz", x=image.features, bbox=image.boxes, **sizes)
            else:
                record = {"bbox": image.boxes, "features": image.features, **sizes}
                np.save(source / f"{image.id}.npy", np.array(record, dtype=object))
    else:
        with h5py.File(source, "w") as file:
            file["pos_boxes"] = [[0, len(first.boxes)], [len(first.boxes), len(first.boxes) + len(second.boxes)]]
            file["features"] = np.concatenate([first.features, second.features])
            file["boxes"] = np.concatenate([first.boxes, second.boxes])
            file.update(widths=[first.width, second.width], heights=[first.height, second.height], image_ids=[11, 12])
    packed = pack(source, tmp_path / "s", image_source="coco")
    assert (packed.images, packed.problems) == (2, {})
    assert {(kind.what, *kind.first) for kind in packed.mended.values()} == {
        (f"{len(IMPOSSIBLE)} boxes dropped: not finite, empty, inverted or outside the image", "11"),
        ("1 box clipped to the image", "11"),
    }
    store = open_store(tmp_path / "s")
    read, kept = store.read("coco:11"), len(IMPOSSIBLE)
    np.testing.assert_array_equal(read.boxes[0], [0, 10, first.width, 20])
    np.testing.assert_array_equal(read.boxes[1:], first.boxes[kept + 1 :])
    np.testing.assert_array_equal(read.features, first.features[kept:].astype("f2"))


def test_boxes_of_another_size_of_the_photo_are_not_clipped_into_it(tmp_path):
    first, second = images(2)
    first.boxes = np.tile(np.array([[500, 300, 1500, 1200]], "f4"), (8, 1))
    first.features = np.ones((8, 32), "f4")
    (tmp_path / "f.tsv").write_bytes(short_line(first) + short_line(second))
    packed = pack(tmp_path / "f.tsv", tmp_path / "s", image_source="coco")
    assert [problem.first for problem in packed.problems.values()] == [["11"]]
    assert "another size" in next(iter(packed.problems.values())).what


def test_oscars_files_are_named(tmp_path):
    (tmp_path / "train.feature.tsv").write_text('coco_9\t{"num_boxes": 1, "features": "AAAA"}\n')
    with pytest.raises(DataError, match="a TSV of Oscar or VinVL"):
        pack(tmp_path / "train.feature.tsv", tmp_path / "s")


def test_a_lying_npy_is_left_out_and_the_others_are_packed(tmp_path):
    image, _ = images(2)
    record = {"bbox": image.boxes, "features": image.features, "image_w": image.width, "image_h": image.height}
    np.save(tmp_path / "11.npy", np.array(record, dtype=object))
    for number, kind in enumerate(["'<f4'", "'<U0'", "'|O'", "'(1000000000,)f4'", "[('a', '|O')]"], 20):
        header = f"{{'descr': {kind}, 'fortran_order': False, 'shape': (1000000000000,), }}\n".encode()
        content = b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + bytes(64)
        (tmp_path / f"{number}.npy").write_bytes(content)
    (tmp_path / "30.npy").write_bytes(b"\x93NUMPY\x01\0\x10\0" + b"-" * 9999)
    (tmp_path / "31.npy").mkdir()
    os.mkfifo(tmp_path / "32.npy")
    (tmp_path / "33.npy").symlink_to(tmp_path / "33.npy")
    packed = pack(tmp_path, tmp_path / "s", image_source="coco")
    assert packed.images == 1
    assert sum(problem.count for problem in packed.problems.values()) == 9
