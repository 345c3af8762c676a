"""vlmt data show --masking: the picture, its colours, and what it says was masked."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands.running import run
from PIL import Image, ImageColor

from vlmt_cli.analysis.masking.card import NEIGHBOUR, SAMPLED, Example
from vlmt_cli.analysis.masking.picture import draw_masking, words_of
from vlmt_cli.base.image_names import photo_of
from vlmt_cli.commands.masking_picture import show_masking
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore, Meta
from vlmt_cli.features.store_writer import StoreWriter


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A data folder with a few captions of the web, their photos and regions."""
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    folder = tmp_path_factory.mktemp("drawn")
    write_world(folder, Sizes().scaled(0.02))
    assert run("extract", str(folder / "images" / "cc"), "--extractor", "pixels", "--data", str(folder)) == 0
    return folder


def pixels_of(path, colour):
    picture = np.asarray(Image.open(path).convert("RGB"))
    return int((picture == ImageColor.getrgb(colour)).all(2).sum())


def test_a_picture_is_written_to_the_file_that_stdout_names(vlmt, drawn):
    code, out, err = vlmt("data", "show", "conceptual_captions", "--masking", "--data", drawn, "-n", 4, "--json")
    said = json.loads(out)
    assert (code, err) == (0, "")
    assert said["picture"] == str(drawn / "masking_conceptual_captions.png")
    assert said["images"] == ["cc:0", "cc:1", "cc:2", "cc:3"]
    store = FeatureStore(drawn / "features" / "pixels")
    assert said["regions"] == sum(len(store.read(image).boxes) for image in said["images"])
    assert said["words"] > said["sampled_words"] > 0
    assert said["regions"] > said["sampled_regions"] + said["neighbours"] > 0
    code, out, _ = vlmt("data", "show", "conceptual_captions", "--masking", "--data", drawn, "--to", drawn / "a.png")
    assert code == 0 and out.startswith(f"{drawn / 'a.png'}: 6 images; of ")
    with Image.open(drawn / "a.png") as picture:
        assert picture.width > 1000


def test_colours_show_what_was_masked(tmp_path):
    """Two of everything: a box, the same again, and one that is far from both."""
    boxes = np.array([[5, 5, 40, 40], [5, 5, 41, 40], [60, 60, 90, 90]], "f4")
    example = Example("coco:1", "two cats", Regions(boxes, np.zeros((3, 1), "f4"), 100, 100))
    path = tmp_path / "a.png"
    legend = draw_masking([example], "", path, share=0)
    assert legend == (3, 0, 0, 0, 2, 0)
    plain = pixels_of(path, SAMPLED), pixels_of(path, NEIGHBOUR)
    seeds = (seed for seed in range(100) if draw_masking([example], "", path, seed)[1:4] == (1, 0, 1))
    draw_masking([example], "", path, seed=next(seeds))
    assert pixels_of(path, SAMPLED) > plain[0] and pixels_of(path, NEIGHBOUR) > plain[1]
    assert draw_masking([example], "", path, share=1, neighbours=False)[1:] == (3, 0, 0, 2, 2)
    assert pixels_of(path, NEIGHBOUR) == plain[1]


def test_a_picture_shows_long_empty_and_foreign_texts_and_does_without_a_photo(tmp_path):
    regions = Regions(np.array([[0, 0, 3000, 2]], "f4"), np.zeros((1, 1), "f4"), 3000, 2)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    texts = ("", "word " * 200, "ein Straßenhund, 犬", "x" * 500)
    examples = [Example("cc:1", text, regions, broken) for text in texts]
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        assert draw_masking(examples, "a title that is far too long for any line " * 9, path).regions == 4
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_words_of():
    assert words_of("Isn't it a T-shirt?  Yes.") == ["Isn't", "it", "a", "T", "-", "shirt", "?", "Yes", "."]


@pytest.mark.parametrize(
    ("key", "file"),
    [
        ("coco:262148", "coco/COCO_val2014_000000262148.jpg"),
        ("coco:262148", "coco/000000262148.jpeg"),
        ("vg:2372205", "vg/2372205.jpg"),
        ("vg:2372205", "vg/v7w_2372205.jpg"),
        ("gqa:n161313", "gqa/n161313.jpg"),
        ("nlvr2:dev-850-0-img0", "nlvr2/dev-850-0-img0.png"),
        ("cc:val-12", "cc/val-12.webp"),
    ],
)
def test_photos_are_found_by_their_official_names(tmp_path, key, file):
    path = tmp_path / file
    path.parent.mkdir()
    path.touch()
    assert photo_of(tmp_path, key) == path
    assert photo_of(tmp_path, f"{key}1") is None


def test_of_several_stores_the_one_with_most_of_the_images_is_read(tmp_path, capsys):
    rows = [["flickr30k:1", "flickr30k:2"], ["flickr30k:2"], ["flickr30k:3"]]
    table = pa.table({"images": rows, "text": ["one", "two", "three"]})
    pq.write_table(table, tmp_path / "train.parquet")
    regions = Regions(np.array([[0, 0, 5, 5]], "f4"), np.zeros((1, 4), "f4"), 10, 10)
    for name, numbers in (("a", (3,)), ("b", (2, 3, 9)), ("candidates", (1, 2, 3))):
        meta = Meta(extractor=name, extractor_hash="0", feature_width=4)
        with StoreWriter(tmp_path / "features" / name, meta) as writer:
            for number in numbers:
                writer.put(f"flickr30k:{number}", regions)
    arguments = (tmp_path / "train.parquet", "f train", tmp_path / "p.png", 5, tmp_path)
    for features, images in ((None, [2, 3]), (tmp_path / "features" / "a", [3])):
        show_masking(*arguments, features, True)
        assert json.loads(capsys.readouterr().out)["images"] == [f"flickr30k:{number}" for number in images]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "hint"),
    [
        (["--to", "x.png"], 2, "--to goes with --masking"),
        (["--masking", "--to", "x.jpg"], 2, "ends in .png"),
        (["--masking", "-n", "1000"], 2, "room for 200"),
        (["--masking", "--features", "nowhere"], 3, "nowhere: there is no feature store"),
    ],
)
def test_a_wrong_question_is_one_line(vlmt, drawn, arguments, exit_code, hint):
    code, _, err = vlmt("data", "show", "conceptual_captions", *arguments, "--data", drawn)
    assert code == exit_code and hint in err


def test_without_features_it_says_what_to_do(vlmt, drawn, tmp_path):
    code, _, err = vlmt("data", "show", "vqa", "--masking", "--data", drawn)
    assert code == 3 and "has no features of the images of vqa train; extract or pack them" in err
    shutil.copytree(drawn / "raw", tmp_path / "raw")
    code, _, err = vlmt("data", "show", "vqa", "--masking", "--data", tmp_path)
    assert code == 3 and "there is no feature store; make one with vlmt extract or pack" in err
