"""Packing: going on after a kill, cutting, damaged records, foreign stores."""

import json
import subprocess
import sys

import pytest
from features.official import assert_same, authors_record, images, in_base64, short_line, write_lmdb

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.features.pack import extractor_hash, pack
from vlmt_cli.features.problems import by_kind, kind_of


def tsv(path, made):
    path.write_bytes(b"".join(short_line(image) for image in made))
    return path


def test_killed_and_run_again_gives_the_same_store(tmp_path, open_store):
    made = images(500)
    source = tsv(tmp_path / "f.tsv", made)
    whole = pack(source, tmp_path / "whole", image_source="coco").meta
    code = f"""
import time
from pathlib import Path
from vlmt_cli.features.pack import pack

def stop(name, done, total):
    if done == 200:
        print("half", flush=True)
        time.sleep(60)

pack(Path({str(source)!r}), Path({str(tmp_path / "s")!r}), image_source="coco", progress=stop)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"half\n"
    child.kill()
    child.communicate()
    store = open_store(tmp_path / "s")
    there = len(store)
    store.close()
    assert there == 192 and store.meta.checksum == ""
    packed = pack(source, tmp_path / "s", image_source="coco")
    assert (packed.there, packed.images) == (there, 500 - there)
    assert packed.meta == whole


def test_packing_again_changes_nothing_and_files_join_one_store(tmp_path, open_store):
    made = images(6)
    first, second = tsv(tmp_path / "a", made[:4]), tsv(tmp_path / "b", made[2:])
    pack(first, tmp_path / "s", image_source="coco", extractor="X")
    packed = pack(second, tmp_path / "s", image_source="coco")  # the store's extractor, where none is named
    assert (packed.images, packed.there, packed.meta.extractor) == (2, 2, "X")
    assert pack(first, tmp_path / "s", image_source="coco", extractor="X").meta == packed.meta
    with pytest.raises(DataError, match="extractor 'X', not 'Y'"):
        pack(first, tmp_path / "s", image_source="coco", extractor="Y")
    with pytest.raises(DataError, match="extractor_hash"):
        pack(first, tmp_path / "s", image_source="coco", extractor="X", regions=2)
    for image in made:
        assert_same(open_store(tmp_path / "s").read(f"coco:{image.id}"), image)


def test_the_first_regions_are_kept(tmp_path, open_store):
    made = images(8)
    meta = pack(tsv(tmp_path / "f", made), tmp_path / "s", image_source="coco", extractor="X", regions=3).meta
    for image in made:
        assert_same(open_store(tmp_path / "s").read(f"coco:{image.id}"), image, most=3)
    assert meta.extractor_hash == extractor_hash("X", 3) != extractor_hash("X")


def test_a_damaged_first_record_does_not_decide_what_the_store_holds(tmp_path, open_store):
    made = images(5)
    narrow = short_line(made[0], features=in_base64(made[0].features[:, :8]))
    (tmp_path / "f").write_bytes(narrow + b"".join(short_line(image) for image in made[1:]))
    packed = pack(tmp_path / "f", tmp_path / "s", image_source="coco")
    assert packed.images == 4 and packed.meta.feature_width == 32


def test_damaged_records_are_listed_for_each_source(tmp_path):
    made = images(4)
    for name, bad in (("a", made[1]), ("b", made[3])):
        (tmp_path / name).write_bytes(short_line(made[0]) + short_line(bad, features=b"?"))
        packed = pack(tmp_path / name, tmp_path / "s", image_source="coco")
        assert sum(problem.count for problem in packed.problems.values()) == 1
    listed = [json.loads(line) for line in (tmp_path / "s.problems.jsonl").read_text().splitlines()]
    assert [one["name"] for one in listed] == ["12", "14"]
    for name, mended in (("a", made[1]), ("b", made[3])):
        tsv(tmp_path / name, [mended])
        pack(tmp_path / name, tmp_path / "s", image_source="coco")
    assert not (tmp_path / "s.problems.jsonl").exists()


def test_bare_numbers_need_a_source_and_are_not_read_to_the_end_for_that(tmp_path):
    source = tsv(tmp_path / "f", images(150))
    with pytest.raises(DataError, match=r"100 x the name does not say.*; --source.*: 11, 12, 13, \.\.\."):
        pack(source, tmp_path / "s")


def test_an_lmdb_of_something_else_is_not_written_into(tmp_path):
    made = images(2)
    theirs = write_lmdb(tmp_path / "l", {str(image.id).encode(): authors_record(image) for image in made})
    before = (theirs / "data.mdb").read_bytes()
    with pytest.raises(DataError, match="is an LMDB of something else; name another store"):
        pack(tsv(tmp_path / "f", made), theirs, image_source="coco")
    assert (theirs / "data.mdb").read_bytes() == before
    pack(theirs, tmp_path / "s", image_source="coco")
    with pytest.raises(DataError, match="is a feature store already"):
        pack(tmp_path / "s", tmp_path / "t", image_source="coco")


def test_a_file_of_something_else_is_not_written_into(tmp_path):
    source = tsv(tmp_path / "f", images(2))
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "data.mdb").write_bytes(b"else")
    for store in (tmp_path / "s", source):
        with pytest.raises(DataError, match="is not a feature store; name another"):
            pack(source, store, image_source="coco")
    assert (tmp_path / "s" / "data.mdb").read_bytes() == b"else"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"format": "xml"}, "no format"),
        ({"image_source": "flickr30"}, "not an image source"),
        ({"regions": 0}, "at least"),
    ],
)
def test_choices_that_do_not_exist(tmp_path, wrong, said):
    with pytest.raises(UsageError, match=said):
        pack(tmp_path, tmp_path / "s", **wrong)


def test_problems_are_of_a_kind_whatever_their_numbers():
    assert kind_of("a feature of 1.5e+05 is too large for float16") == "a feature of N is too large for float16"
    same = by_kind([("a", "there are 3 boxes, not 4"), ("b", "there are 12 boxes, not 36"), ("c", "cut")])
    assert [(one.what, one.count, one.first) for one in same.values()] == [
        ("there are N boxes, not N", 2, ["a", "b"]),
        ("cut", 1, ["c"]),
    ]
