"""``vlmt extract`` on a drawn world and on photos."""

import json
import shutil

import pytest
from features.tiny_networks import save_networks
from PIL import Image

from vlmt_cli.features.shards import read_meta


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
    assert code == 0 and "there before" in out and result["checksum"] in out


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


def test_networks_and_a_damaged_photo(vlmt, images, tmp_path_factory):
    networks = save_networks(tmp_path_factory.mktemp("networks"))
    damaged = next((images / "images" / "coco").iterdir())
    damaged.write_bytes(b"no picture")
    arguments = ("--detector", networks["rt_detr"], "--backbone", networks["vit"], "--regions", "5")
    code, out, err = vlmt("extract", "--data", images, *arguments, "--device", "cpu")
    assert code == 0
    assert f"{damaged}: " in err and "without regions" in out
    meta = read_meta(images / "features" / "rt_detr+vit")
    assert (meta.images, meta.feature_width, meta.classes) == (27, 24, 7)


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
        (("--merge",), 3, "there are no shards"),
        (("--boxes", "nothing.jsonl"), 3, "cannot be read"),
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
