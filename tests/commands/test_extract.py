"""``vlmt extract`` on a synthetic world and on photos."""

import json
import shutil

import pytest
import torch
from features.tiny_networks import save_networks
from features.vg_x152.tiny import CONFIG, WEIGHTS
from PIL import Image
from safetensors.torch import load_file

from vlmt_cli.features.reader import find_stores
from vlmt_cli.features.shards import meta_of_store
from vlmt_cli.features.store import FeatureStore


@pytest.fixture
def images(world, tmp_path):
    """A data folder with some of the world's pictures, and its examples."""
    for source, count in (("coco", 12), ("nlvr2", 4), ("vg", 12)):
        (tmp_path / "images" / source).mkdir(parents=True)
        for path in sorted((world / "images" / source).iterdir())[:count]:
            shutil.copy(path, tmp_path / "images" / source)
    (tmp_path / "examples").symlink_to(world / "examples")
    return tmp_path


def test_pixels_of_a_world(vlmt, images):
    arguments = ("extract", "--extractor", "pixels", "--data", images)
    code, out, _ = vlmt(*arguments, "--json")
    result = json.loads(out)
    assert (code, result["written"], result["images"]) == (0, 28, 28)
    assert result["store"] == str(images / "features" / "pixels")
    code, out, _ = vlmt(*arguments)
    assert code == 0 and "already there" in out and result["checksum"] in out


def test_a_part_becomes_the_whole(vlmt, images):
    arguments = ("extract", "--extractor", "pixels", "--data", images, "--json")
    assert json.loads(vlmt(*arguments, "--to", images / "part", "--limit", 5)[1])["images"] == 5
    whole = json.loads(vlmt(*arguments, "--to", images / "part")[1])
    assert (whole["already"], whole["images"]) == (5, 28)
    assert whole["checksum"] == json.loads(vlmt(*arguments)[1])["checksum"]


def test_shards_and_launched_jobs_make_the_same_store(vlmt, images):
    arguments = ("extract", "--extractor", "pixels", "--data", images)
    whole = json.loads(vlmt(*arguments, "--json")[1])["checksum"]
    other = images / "features" / "other"
    for number in (1, 2):
        assert vlmt(*arguments, "--to", other, "--shard", f"{number}/2")[0] == 0
    code, out, _ = vlmt("extract", "--merge", "--to", other, "--json")
    assert (code, json.loads(out)["checksum"]) == (0, whole)
    launched = images / "features" / "launched"
    code, out, _ = vlmt(*arguments, "--to", launched, "--launcher", "local", "--shards", "2", "--json")
    assert (code, json.loads(out)["checksum"]) == (0, whole)
    assert not list(images.glob("features/*.shards-of-*"))


def test_candidates_of_a_dataset(vlmt, images):
    code, out, _ = vlmt("extract", "--extractor", "pixels", "--data", images, "--boxes", "refcoco", "--json")
    result = json.loads(out)
    assert code == 0 and result["written"] + result["without_boxes"] == 28
    assert result["store"] == str(images / "features" / "pixels-refcoco")


@pytest.mark.parametrize("dataset", ["visual7w", "refcoco"])
def test_a_store_of_given_boxes_is_found_by_what_it_holds(vlmt, images, dataset):
    arguments = ("extract", "--extractor", "pixels", "--data", images)
    assert vlmt(*arguments, "--to", images / "features" / "all-candidates")[0] == 0
    assert vlmt(*arguments, "--boxes", dataset)[0] == 0
    detected, given = images / "features" / "all-candidates", images / "features" / f"pixels-{dataset}"
    assert find_stores(images / "features", None, None) == (detected, given)


def test_networks_and_a_damaged_photo(vlmt, images, tmp_path_factory):
    networks = save_networks(tmp_path_factory.mktemp("networks"))
    damaged = next((images / "images" / "coco").iterdir())
    damaged.write_bytes(b"no picture")
    arguments = ("--detector", networks["rt_detr"], "--backbone", networks["vit"], "--regions", "5")
    code, out, err = vlmt("extract", "--data", images, *arguments, "--device", "cpu")
    assert code == 0
    assert f"{damaged}: " in err and "without regions" in out
    meta = meta_of_store(images / "features" / "rt_detr+vit")
    assert (meta.images, meta.feature_width, meta.classes) == (27, 24, 7)


@pytest.fixture
def own(tmp_path):
    """The paper's detector in small, as its files are published."""
    (tmp_path / "own").mkdir()
    torch.save({"model": load_file(WEIGHTS)}, tmp_path / "own" / "detectron_model.pth")
    shutil.copy(CONFIG, tmp_path / "own" / "detectron_config.yaml")
    return "--detector", "vg-x152", "--weights", tmp_path / "own" / "detectron_model.pth", "--device", "cpu"


def test_the_papers_detector(vlmt, images, own):
    folder = images / "images" / "nlvr2"
    damaged = next(folder.iterdir())
    damaged.write_bytes(b"no picture")
    arguments = ("extract", f"nlvr2={folder}", "--data", images, *own, "--regions", "7")
    code, _, err = vlmt(*arguments)
    assert code == 0 and "Config: " in err and f"{damaged}: " in err
    assert "Passed over 5 tensors of the attribute head: roi_heads" in err
    meta = meta_of_store(images / "features" / "vg-x152")
    assert (meta.extractor, meta.images, meta.feature_width, meta.classes) == ("vg-x152", 3, 24, 7)
    for number in (1, 2):
        assert vlmt(*arguments, "--to", images / "parts", "--shard", f"{number}/2")[0] == 0
    assert vlmt("extract", "--merge", "--to", images / "parts")[0] == 0
    assert meta_of_store(images / "parts").checksum == meta.checksum


def test_given_boxes_and_modes_of_the_papers_detector(vlmt, images, own):
    photo = next((images / "images" / "vg").iterdir())
    folder = f"vg={photo.parent}"
    boxes = images / "mine.jsonl"
    boxes.write_text(json.dumps({"image": f"vg:{int(photo.stem)}", "boxes": [[10, 20, 30, 40]]}) + "\n")
    arguments = ("extract", folder, "--data", images, *own, "--boxes", boxes)
    for options, name, box in (
        ((), "mine+vg-x152", [10, 20, 30, 40]),
        (("--mode", "faithful", "--box-format", "xywh"), "mine+vg-x152-faithful", [10, 20, 40, 60]),
        (("--precision", "bf16", "--batch", "3"), "mine+vg-x152-bf16", [10, 20, 30, 40]),
    ):
        assert vlmt(*arguments, *options)[0] == 0
        store = FeatureStore(images / "features" / name)
        assert store.keys() == [f"vg:{int(photo.stem)}"] and store.read(store.keys()[0]).boxes.tolist() == [box]
        store.close()


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--mode", "right"), 2, "there is no mode 'right'; choose correct or faithful"),
        (("--precision", "fp16"), 2, "there is no precision 'fp16'; choose float32 or bf16"),
        (("--box-format", "xywh"), 2, "--box-format describes a file given with --boxes"),
        (("--boxes", "refcoco", "--box-format", "xywh"), 2, "--box-format describes a file given with --boxes"),
        (("--boxes", "mine.jsonl", "--box-format", "yxyx"), 2, "there is no box format 'yxyx'; choose xyxy or xywh"),
        (("--backbone", "facebook/dinov2-small"), 2, "brings its own backbone"),
        (("--mode", "faithful", "--batch", "2", "--shard", "1/2"), 2, "the photos of a batch belong together"),
        (("--config", "nothing.yaml"), 3, "nothing.yaml: cannot be read"),
    ],
)
def test_what_the_papers_detector_cannot_do_is_said(vlmt, images, own, arguments, code, reason):
    found, _, err = vlmt("extract", "--data", images, *own, *arguments)
    assert found == code and reason in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("--shard", "0/3"), 2, "NUMBER/OF"),
        (("--shard", "1/3", "--merge"), 2, "exclude each other"),
        (("--launcher", "pbs"), 2, "there is no launcher 'pbs'"),
        (("--extractor", "frcnn"), 2, "there is no extractor 'frcnn'"),
        (("--device", "abacus"), 2, "there is no device 'abacus'"),
        (("--gpus", "2", "--device", "cpu"), 2, "exclude each other"),
        (("--launcher", "slurm", "--sbatch", "gpu"), 2, "write it as --sbatch partition=gpu"),
        (("--detector", "vg-x152"), 2, "needs its weights; give --weights detectron_model.pth"),
        (("--mode", "faithful"), 2, "--mode is of --detector vg-x152 alone"),
        (("--detector", "vg-x152", "--weights", "nothing.pth"), 3, "nothing.pth: there is no such file"),
        (("--merge",), 3, "there are no shards"),
        (("--boxes", "nothing.jsonl"), 3, "cannot be read"),
        (("--extractor", "pixels", "--backbone", "facebook/dinov2-base"), 2, "has no use for --backbone; leave it"),
        (("--extractor", "pixels", "--detector", "facebook/detr-resnet-50"), 2, "has no use for --detector"),
        (("--extractor", "pixels", "--regions", "100"), 2, "has no use for --regions"),
        (("--extractor", "pixels", "--gpus", "2"), 2, "has no use for --gpus"),
        (("--extractor", "pixels", "--device", "cuda"), 2, "has no use for --device"),
        (("--boxes", "refcoco", "--regions", "36"), 2, "--boxes gives the boxes, so that --regions changes nothing"),
        (("--boxes", "refcoco", "--detector", "facebook/detr-resnet-50"), 2, "--detector changes nothing"),
        (("--shards", "8"), 2, "--shards goes with --launcher"),
        (("--merge", "--batch", "8"), 2, "has no use for --batch"),
        (("photos", "--merge"), 2, "has no use for a folder"),
        (("--boxes", "visual7"), 2, "no dataset with boxes of this name; did you mean visual7w?"),
    ],
)
def test_what_cannot_be_is_said(vlmt, images, arguments, code, reason):
    found, _, err = vlmt("extract", "--data", images, *arguments)
    assert found == code and reason in err and err.count("\n") == 1


def test_not_one_readable_photo_is_an_error(vlmt, tmp_path):
    folder = tmp_path / "images" / "coco"
    folder.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "COCO_val2014_000000000009.png")
    (folder / "COCO_val2014_000000000009.png").write_bytes(b"")
    code, _, err = vlmt("extract", "--extractor", "pixels", "--data", tmp_path)
    assert code == 3 and "none of the photos can be read" in err
