"""Image keys name images and nothing else."""

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import check_image_key, image_keys


def test_ids_of_different_sources_become_different_keys():
    assert image_keys("coco", [9, 30, 9], "f").to_pylist() == ["coco:9", "coco:30", "coco:9"]
    assert image_keys("vg", [9], "f").to_pylist() == ["vg:9"]
    assert image_keys("nlvr2", ["dev-850-0-img0"], "f").to_pylist() == ["nlvr2:dev-850-0-img0"]
    assert image_keys("flickr30k", [2**40], "f").to_pylist() == ["flickr30k:1099511627776"]


@pytest.mark.parametrize("bad", ["../x", "a/b", "..", ".", "a..b", "", "a b", "x\n", "é"])
def test_an_id_that_could_leave_its_folder_is_refused_by_record(bad):
    with pytest.raises(DataError, match=r"file\.json: record 1"):
        image_keys("cc", ["n1", bad, "n2"], "file.json")
    with pytest.raises(DataError):
        check_image_key(f"cc:{bad}", "list.txt:1")


def test_a_negative_id_is_refused():
    with pytest.raises(DataError, match="'-1'"):
        image_keys("coco", [4, -1], "file.json")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("coco:000000416345", "coco:416345"),
        ("coco:COCO_val2014_000000416345.jpg", "coco:416345"),
        ("flickr30k:5401158165.jpg", "flickr30k:5401158165"),
        ("vg:1.jpg", "vg:1"),
        ("coco:abc", "as the dataset's own files do"),
        ("gqa:2318308", "as the dataset's own files do"),
        ("nlvr2:dev-850-0", "as the dataset's own files do"),
    ],
)
def test_a_file_name_is_no_key_and_the_key_is_offered(name, meant):
    with pytest.raises(DataError, match=f"is not an image key; write .*{meant}"):
        check_image_key(name)


def test_a_new_source_has_keys_and_a_slip_of_the_pen_has_none():
    assert check_image_key("refclef:19579") == "refclef:19579"
    assert image_keys("textvqa", ["0a1b2c"], "file").to_pylist() == ["textvqa:0a1b2c"]
    with pytest.raises(DataError, match="did you mean flickr30k"):
        check_image_key("flickr30:5")
    with pytest.raises(DataError, match="not an image id"):
        image_keys("textvqa", ["../../etc"], "file")
