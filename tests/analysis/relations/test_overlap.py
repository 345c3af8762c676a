"""Table 1 for a mixture, against looking every test image up by hand."""

from clean.worlds import World, split

from vlmt_cli.analysis.relations.overlap import TOGETHER, mixture
from vlmt_cli.base.identity import RELATIONS
from vlmt_cli.clean.overlap import compare_splits

WORLD = World(
    {
        ("vqa", "train", "train"): [["coco:1"], ["coco:2"], ["coco:2"]],
        ("vg_qa", "train", "train"): [["vg:1"], ["vg:3"]],
        ("cc", "train", "pretrain"): [["flickr30k:1"]],
        ("boxes", "detector", "detector"): [["vg:4"]],
        ("coco", "test", "test"): [["coco:1"], ["coco:3"], ["coco:4"], ["coco:0"]],
        ("flickr30k", "test", "test"): [["flickr30k:1"], ["flickr30k:2"]],
    },
    [("vg:3", "coco:3", "crosswalk"), ("vg:4", "coco:4", "crosswalk"), ("coco:2", "flickr:2", "flickr")],
)


def test_the_whole_mixture():
    splits = [split(dataset, name, role, images) for (dataset, name, role), images in WORLD.examples.items()]
    for identity, relations in (("strict", RELATIONS), ("paper", ("crosswalk",))):
        found = mixture(compare_splits(splits, WORLD.links_table()), identity)
        for test in ("coco", "flickr30k"):
            images = [image for key, rows in WORLD.examples.items() if key[::2] == (test, "test") for [image] in rows]
            trained = {image for key, rows in WORLD.examples.items() if key[2] != "test" for [image] in rows}
            hit = sum(bool(WORLD.same(image, relations) & trained) for image in images)
            assert (found[test][TOGETHER].hit, found[test][TOGETHER].of) == (hit, len(images)), (identity, test)
    assert found["flickr30k"][TOGETHER].hit == 1  # the paper's identity does not know the Flickr photo
