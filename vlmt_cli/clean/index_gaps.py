"""What an index cannot see: the relations that a benchmark's images lack, and what that could hide."""

import pyarrow.compute as pc

from vlmt_cli.clean.index import Index

_GET_CROSSWALK = "put the whole image_data.json, of 108,077 images, below raw/vg_qa and run vlmt index add vg_images"
_LACKS = {
    ("vg", "crosswalk"): "which of the Visual Genome images are COCO images is not known: the same photo under COCO's"
    f" number is not recognised; {_GET_CROSSWALK}",
    ("coco", "crosswalk"): "which of the COCO images are in Visual Genome is not known: the same photo under Visual"
    f" Genome's number is not recognised; {_GET_CROSSWALK}",
    (
        "coco",
        "flickr",
    ): "the Flickr photos of the COCO images are not known: an address at Flickr, or Flickr30k's name, is"
    " not recognised as one; put COCO's captions_*2014.json below raw/coco and run vlmt index add coco_images",
    (
        "vg",
        "flickr",
    ): "the Flickr photos of the Visual Genome images are not known: an address at Flickr is not recognised"
    f" as one; {_GET_CROSSWALK}",
    ("nlvr2", "url"): "the addresses of the images are not known: the same photo under another name is not recognised;"
    " put NLVR2's files below raw/nlvr2 and run vlmt index add nlvr2",
}
_FLICKR30K, _FLICKR30K_TRAIN = 31_783, 29_000
_NO_TEST_SET = (
    "{:,} of Flickr30k's {:,} images are in it, training images among them, as in lmms-lab's file, which calls all of"
    " them test: a hit may be no test image; flickr30k-test holds the 1,000 that are"
)
_WHOLE_CROSSWALK = 51_498
"""Visual Genome images that are COCO's; an index with so many links knows that others are not."""
_OWN_IDS = "images are known by {} alone: the same photo under another name is not recognised"
_SPOKEN = {
    "openimages": "Open Images' ids",
    "vizwiz": "VizWiz's names",
    "gqa": "GQA's names",
    "mme": "MME's names",
    "cc": "the rows of Conceptual Captions",
}


def gaps_of(index: Index, name: str) -> list[str]:
    """Say what the index lacks of one benchmark, and what that could hide: sentences without capital and full stop."""
    benchmark, keys = index.benchmarks[name], index.images_of(name)
    rows = pc.equal(index.images["benchmark"], name).to_numpy()
    linked = {relation: has_link[rows] for relation, has_link in index.linked.items()}
    known = len(keys)
    gaps = []
    if benchmark.of is not None and known < benchmark.of:
        gaps.append(f"{known:,} of {benchmark.of:,} images are known")
    gaps += benchmark.missing
    sources = pc.struct_field(pc.extract_regex(keys, r"^(?P<source>[a-z0-9_]+):"), "source")
    is_whole = pc.sum(pc.equal(index.links["relation"], "crosswalk"), min_count=0).as_py() >= _WHOLE_CROSSWALK
    for source in sorted(sources.unique().to_pylist()):
        mine = pc.equal(sources, source).to_numpy(zero_copy_only=False)
        relations = {relation for relation, has_link in linked.items() if has_link[mine].any()}
        if source == "flickr30k" and mine.sum() > _FLICKR30K_TRAIN:
            gaps.append(_NO_TEST_SET.format(mine.sum(), _FLICKR30K))
        if source not in ("coco", "vg", "nlvr2", "flickr30k") and not relations:
            gaps.append(_OWN_IDS.format(_SPOKEN.get(source, f"{source}'s names")))
        if source == "coco" and benchmark.coco_split == "test2015":
            continue  # Visual Genome has none of them, and COCO publishes no addresses
        gaps += [
            gap
            for (of, relation), gap in _LACKS.items()
            if of == source and relation not in relations and not (relation == "crosswalk" and is_whole)
        ]
    return gaps


def train2017_of(index: Index, name: str) -> int | None:
    """Count a benchmark's COCO images in COCO's train2017, which is train2014 and val2014 less val2017.

    None where their split of 2014, or val2017, is not known.
    """
    split = index.benchmarks[name].coco_split
    val2017 = index.images_of("coco2017-val")
    if split is None or not len(val2017):
        return None
    keys = index.images_of(name)
    mine = keys.filter(pc.starts_with(keys, "coco:"))
    return 0 if split == "test2015" else pc.sum(pc.invert(pc.is_in(mine, value_set=val2017)), min_count=0).as_py()
