"""Every split that has an image, under any of its names."""

from clean.worlds import World

from vlmt_cli.clean.explain import explain_image


def test_an_image_is_found_under_its_other_names():
    world = World(
        {
            ("vqa", "train", "train"): [["coco:2"], ["coco:1"], ["coco:2"]],
            ("gqa", "val", "val"): [["vg:7"]],
            ("flickr30k", "test", "test"): [["flickr30k:4"], ["flickr30k:3"]],
        },
        [("vg:7", "coco:2", "crosswalk"), ("vg:7", "flickr:3", "flickr")],
    )
    found = explain_image("coco:2", world.splits(), [world.links_table()])
    assert [(one.dataset, one.split, one.image, one.how, one.examples, one.first_ids) for one in found] == [
        ("vqa", "train", "coco:2", "id", 2, ["0", "2"]),
        ("gqa", "val", "vg:7", "crosswalk", 1, ["0"]),
        ("flickr30k", "test", "flickr30k:3", "flickr", 1, ["1"]),
    ]
    assert explain_image("coco:99", world.splits(), []) == []
