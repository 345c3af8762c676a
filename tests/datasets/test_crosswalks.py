"""Which image of one source is which of another."""

import json

import pytest
from handmade import links, read, write

from vlmt_cli.datasets import crosswalks


def test_visual_genome_says_which_coco_image_and_which_photo(tmp_path, monkeypatch):
    monkeypatch.setattr(crosswalks, "_WHOLE", 3)
    images = [
        {"image_id": 1, "coco_id": None, "flickr_id": None},
        {"id": 2, "coco_id": 9, "flickr_id": 5_000_000_000},  # an older release, and an id beyond 32 bits
        {"image_id": 3, "coco_id": -1, "flickr_id": 7},
    ]
    examples = read("vg_images", write(tmp_path, {"image_data.json": images}))
    assert links(examples) == [("vg:2", "coco:9"), ("vg:2", "flickr:5000000000"), ("vg:3", "flickr:7")]
    assert set(examples.links["relation"].to_pylist()) == {"crosswalk", "flickr"}


def test_the_built_in_crosswalk_speaks_of_what_a_part_of_image_data_does_not_list(tmp_path):
    images = [{"image_id": 107933, "coco_id": None}, {"image_id": 1, "coco_id": 9}]
    examples = read("vg_images", write(tmp_path, {"image_data.json": images}))
    built_in = [pair for pair in links(read("vg_images", tmp_path / "none")) if pair[0] != "vg:107933"]
    assert len(built_in) == 51_497 and examples.notes[crosswalks.BUILTIN_REST] == 51_497
    rows = examples.links.to_pylist()
    assert (rows[0]["image"], rows[0]["alias"]) == ("vg:1", "coco:9")
    assert sorted((row["image"], row["alias"]) for row in rows[1:]) == built_in


@pytest.mark.parametrize(
    ("url", "photo"),
    [
        ("http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg", "flickr:8119368305"),
        ("http://farm1.staticflickr.com/1/5_a.jpg", "flickr:5"),
        ("http://images.cocodataset.org/train2017/000000000009.jpg", None),
        ("", None),
        (None, None),
    ],
)
def test_the_photo_of_an_address(tmp_path, url, photo):
    file = {"images": [{"id": 9, "flickr_url": url}], "annotations": []}
    assert links(read("coco_images", write(tmp_path, {"captions_val2014.json": file}))) == (
        [("coco:9", photo)] if photo else []
    )


def test_the_real_coco_photos(real_data):
    folder = real_data / "photos" / "coco"
    images = json.loads((folder / "instances_train2017.json").read_text())["images"]
    truth = {(f"coco:{each['id']}", f"flickr:{each['flickr_url'].split('/')[-1].split('_')[0]}") for each in images}
    assert len(truth) == 40
    assert set(links(read("coco_images", folder))) == truth


BAD = {
    "neither id": ([{"coco_id": 4}], r"image_data.json: \$\[0\]: the image has neither image_id nor id"),
    "a crosswalk of the wrong type": (
        [{"image_id": 1, "coco_id": "nine"}],
        r"image_data.json: \$\[0\].coco_id: expected",
    ),
    "a negative id": ([{"image_id": -5}], r"image_data.json: record 0: '-5' is not an image id"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(damage, case):
    content, message = BAD[case]
    damage("vg_images", {"image_data.json": content}, message)
