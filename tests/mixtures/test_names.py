"""Names in mixtures: every official spelling, folders, rules, and what is hostile."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.keys import check_image_key
from vlmt_cli.mixtures.names import keys_of, keys_of_addresses
from vlmt_cli.mixtures.rules import read_rules

NAMES = {
    "coco/train2017/000000033471.jpg": "coco:33471",
    "000000442786.jpg": "coco:442786",
    "COCO_train2014_000000581857_16.jpg": "coco:581857",
    "./a/COCO_test2015_000000000001.JPG": "coco:1",
    "val2014\\COCO_val2014_000000262148.jpg": "coco:262148",
    "train2017/33471.jpg": "coco:33471",
    "vg/VG_100K/2371419.jpg": "vg:2371419",
    "VG_100K_2/2415417.jpg": "vg:2415417",
    "gqa/images/2327515.jpg": "vg:2327515",
    "gqa/images/n161313.jpg": "gqa:n161313",
    "visual7w/v7w_2372205.jpg": "vg:2372205",
    "ocr_vqa/images/0521545455.jpg": "ocrvqa:0521545455",
    "textvqa/train_images/003a8ae2ef43b901.jpg": "openimages:003a8ae2ef43b901",
    "share_textvqa/images/003a8ae2ef43b901.jpg": "openimages:003a8ae2ef43b901",
    "003a8ae2ef43b901": "openimages:003a8ae2ef43b901",
    "sam/images/sa_545504.jpg": "sam:545504",
    "VizWiz_test_00000001.jpg": "vizwiz:VizWiz_test_00000001",
    "VisualDialog_val2018_000000185565.jpg": "visdial:val2018_000000185565",
    "flickr30k-images/1000092795.jpg": "flickr30k:1000092795",
    "images/dev-850-0-img0.png": "nlvr2:dev-850-0-img0",
    "GCC_train_002582585.jpg": "cc:2582585",
    "wikiart/images/a_b.jpg": "wikiart:images-a_b",
    "MME_Benchmark/posters/images/tt0120738.jpg": "mme:posters-images-tt0120738",
    "mme/existence/000000541952.jpg": "coco:541952",
    "mine:a.b-1": "mine:a.b-1",
    "coco:262148": "coco:262148",
    "http://images.cocodataset.org/train2017/000000000009.jpg": "coco:9",
    "coco:0262148": None,
    "cocoo:262148": None,
    "images/2.jpg": None,
    "1000092795.jpg": None,
    "000000000000.jpg": "coco:0",
    "llava/llava_pretrain/images/00453/004539375.jpg": None,
    "nlvr2/000000000009.jpg": None,
    "photos/003a8ae2ef43b901.jpg": None,
    "coco:../1": None,
    "wikiart/../../x.jpg": None,
    "a\0COCO_val2014_000000262148.jpg": None,
    "": None,
    "coco/": None,
    f"coco/{'9' * 1_000_000}.jpg": None,
}


def test_every_official_spelling_names_its_image() -> None:
    assert dict(zip(NAMES, keys_of(pa.array(NAMES)).keys.to_pylist(), strict=True)) == NAMES
    for key in filter(None, NAMES.values()):
        check_image_key(key)


# Official names at other hosts than their publishers'; and what only looks like one.
ADDRESSES = {
    "https://s3.amazonaws.com/images.cocodataset.org/train2017/000000000042.jpg": "coco:42",
    "https://bucket.s3.amazonaws.com/a/COCO_train2014_000000000042.jpg": "coco:42",
    "https://huggingface.co/datasets/x/y/resolve/main/coco/train2017/42.jpg?download=true": "coco:42",
    "HTTP://IMAGES.COCODATASET.ORG:80/train2017/000000000042.jpg#top": "coco:42",
    "http://me:pw@localhost:8000/coco-2017/000000000042.jpg": "coco:42",
    "https://storage.googleapis.com/download/storage/v1/b/x/o/coco%2Ftrain2017%2F000000000042.jpg?alt=media": "coco:42",
    "https://lil.nlp.cornell.edu/x/test1-0-0-img0.png": "nlvr2:test1-0-0-img0",
    "https://cdn.org/vg/VG_100K_2/1.jpg?w=100": "vg:1",
    "https://cdn.org/gqa/images/n14.jpg": "gqa:n14",
    "https://cdn.org/flickr30k-images/36979.jpg": "flickr30k:36979",
    "https://cdn.org/MME_Benchmark/posters/images/tt0120738.jpg": "mme:posters-images-tt0120738",
    "https://shop.org/pictures/42.jpg": None,
    "https://shop.org/media/41/000000061318.jpg": None,  # a shop's article
    "https://shop.org/photos/n14.jpg": None,
    "https://shop.org/view?file=COCO_train2014_000000000042.jpg": None,
    "coco/train2017/000000000042.jpg": None,
}


def test_an_address_whose_path_ends_in_an_official_name_is_of_that_image(tmp_path: Path) -> None:
    addresses = pa.array([*ADDRESSES, None])
    assert keys_of_addresses(addresses).to_pylist() == [*ADDRESSES.values(), None]
    assert keys_of(addresses, "vg/", source="vg").keys.to_pylist()[:-2] == list(ADDRESSES.values())[:-1]
    (tmp_path / "rules").write_text("pictures/{number}.jpg = coco\n")
    ruled = keys_of_addresses(addresses, read_rules(tmp_path / "rules")).to_pylist()
    assert ruled == [*(key or ("coco:42" if "pictures" in url else None) for url, key in ADDRESSES.items()), None]


def test_a_root_counts_as_folders_and_a_source_comes_last() -> None:
    names = pa.array(["7.jpg", None, "x/n7.jpg"])
    assert keys_of(names, "./data/coco/train2014/").keys.to_pylist() == ["coco:7", None, "gqa:n7"]
    assert keys_of(names, source="gqa").keys.to_pylist() == ["vg:7", None, "gqa:n7"]
    assert keys_of(pa.array(["vg/7.jpg"]), source="coco").keys.to_pylist() == ["vg:7"]


def test_names_that_say_nothing_are_counted_by_their_folder() -> None:
    names = ["a/00453/1.jpg", "a/00454/2.jpg", "coco/1.jpg", "x.jpg", "", None]
    assert keys_of(pa.array(names)).folders.to_pylist() == ["a/*", "a/*", None, "", None, None]


def test_rules_name_what_private_folders_hold(tmp_path: Path) -> None:
    path = tmp_path / "rules"
    path.write_text(
        "# ours\nazure_dc_zh_92K/{number}.jpg = coco\n\ncrops_of_*/{number}_*.png = vg  # cut\nshop/{id}.jpg=shop\n"
    )
    rules = read_rules(path)
    names = ["x/azure_dc_zh_92K/000000051920.jpg", "xazure_dc_zh_92K/1.jpg", "crops_of_a/07_2.png", "shop/a..b.jpg"]
    assert keys_of(pa.array(names), "", rules).keys.to_pylist() == ["coco:51920", None, "vg:7", None]
    assert keys_of(pa.array(["b.1.jpg", "c/b.jpg"]), "my/shop/", rules).keys.to_pylist() == ["shop:b.1", None]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("a/{number}.jpg", "rules:2: 'a/{number}.jpg' is not a rule"),
        ("a/{number}.jpg = Coco", "rules:2: 'Coco' is not a source of images; did you mean coco?"),
        ("a/{name}.jpg = coco", "rules:2: '{name}' means nothing in a rule; write {number}, {id} or *"),
        ("a/*.jpg = coco", "rules:2: a rule has one {number} or {id}"),
        ("a/{id}.jpg = coco", "rules:2: images of coco have numbers"),
    ],
)
def test_a_wrong_rule_is_named_by_its_line(tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "rules").write_text(f"a/{{id}} = mine\n{line}\n")
    with pytest.raises(DataError) as error:
        read_rules(tmp_path / "rules")
    assert says in str(error.value)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.text(), st.sampled_from(list(NAMES)[:-1]), st.none())), st.text())
def test_any_names_give_safe_keys_row_by_row(names: list[str | None], root: str) -> None:
    surrogates = lambda text: text and text.encode(errors="replace").decode()  # noqa: E731
    names = [surrogates(name) for name in names]
    together = keys_of(pa.array(names, pa.string()), surrogates(root))
    for row, name in enumerate(names):
        key, folder = together.keys[row].as_py(), together.folders[row].as_py()
        assert key == keys_of(pa.array([name], pa.string()), surrogates(root)).keys[0].as_py()
        assert (key is not None) + (folder is not None) == bool(name)
        if key is not None:
            assert check_image_key(key) == key
