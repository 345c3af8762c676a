"""vlmt pack and vlmt doctor."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from features.official import images, in_base64, short_line

from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore, Meta
from vlmt_cli.features.store_writer import StoreWriter


@pytest.fixture(autouse=True)
def closed(tmp_path):
    """Close what the commands opened in this process."""
    yield
    for path in tmp_path.glob("*/data.mdb"):
        FeatureStore(path.parent).close()


@pytest.fixture
def tsv(tmp_path):
    lines = [short_line(image) for image in images(3)]
    (tmp_path / "f.tsv").write_bytes(b"".join(lines))
    return tmp_path / "f.tsv"


def test_pack_says_what_it_did_and_doctor_that_it_is_sound(vlmt, tsv, tmp_path):
    store = tmp_path / "s"
    code, out, err = vlmt("pack", tsv, store, "--source", "coco", "--extractor", "X-152")
    assert code == 0 and "3 images packed, 0 already there, 3 in all; 32 features a region, by X-152" in out
    assert err == ""
    code, out, err = vlmt("pack", tsv, store, "--source", "coco", "--json")
    assert code == 0 and json.loads(out)["there"] == 3
    code, out, _ = vlmt("doctor", store, store, "--data", tmp_path)
    assert code == 0 and "Sound" in out and "same features" in out
    code, out, _ = vlmt("doctor", store, "--data", tmp_path, "--json")
    assert code == 0 and json.loads(out)["images"] == 3 and json.loads(out)["comparison"] is None


def test_what_is_left_out_is_a_warning_and_nothing_at_all_an_error(vlmt, tsv, tmp_path):
    bad = short_line(images(4)[3], features=in_base64(np.full((1, 32), np.nan)))
    tsv.write_bytes(tsv.read_bytes() + bad)
    code, _, err = vlmt("pack", tsv, tmp_path / "s", "--source", "coco")
    assert code == 0
    assert "Warning: 1 record left out" in err and ": 14" in err and "Warning: the extractor is not known" in err
    tsv.write_bytes(bad)
    code, _, err = vlmt("pack", tsv, tmp_path / "t", "--source", "coco")
    assert code == 3 and "nothing can be packed: 1 x" in err and err.count("\n") == 1


def test_doctor_exits_with_3_when_something_is_damaged(vlmt, tsv, tmp_path):
    vlmt("pack", tsv, tmp_path / "s", "--source", "coco")
    data = tmp_path / "s" / "data.mdb"
    features = images(1)[0].features.astype("f2").tobytes()
    data.write_bytes(data.read_bytes().replace(features, bytes([features[0] ^ 1]) + features[1:]))
    code, out, err = vlmt("doctor", tmp_path / "s", "--data", tmp_path)
    assert code == 3 and "Damaged: 1 x the record's checksum is wrong: coco:11" in out
    assert "1 record is damaged" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["pack", "f.tsv"], 2, "the store to make is missing"),
        (["pack", "f.tsv", "s", "--format", "xml"], 2, "choose among lmdb"),
        (["pack", "f.tsv", "s", "--partial"], 2, "--partial goes with --hard-negatives"),
        (["pack", "f.tsv", "s", "--hard-negatives"], 2, "takes one store"),
        (["pack", "nothing", "s"], 3, "there is no such file"),
        (["pack", "f.tsv", "s"], 3, "--source says what numbers mean"),
        (["doctor", "nothing"], 3, "there is no feature store"),
    ],
)
def test_a_wrong_call_is_one_line(vlmt, tsv, monkeypatch, arguments, exit_code, said):
    monkeypatch.chdir(tsv.parent)
    code, _, err = vlmt(*arguments)
    assert code == exit_code and said in err and err.count("\n") == 1


def test_hard_negatives_of_the_small_world(vlmt, world, tmp_path):
    """The world's own train images of COCO and Flickr30k, with made features; a few images have none."""
    data = tmp_path / "data"
    data.mkdir()
    for name in ("examples", "clean"):
        (data / name).symlink_to(world / name)
    keys = sorted(
        {
            key
            for dataset in ("coco", "flickr30k")
            for row in pq.read_table(data / "examples" / dataset / "train.parquet")["images"].to_pylist()
            for key in row
        }
    )
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "s", Meta(extractor="X", extractor_hash="0", feature_width=8)) as writer:
        for key in keys[1:]:
            writer.put(key, Regions(np.array([[0, 0, 9, 9]], "f4"), rng.normal(size=(1, 8)).astype("f4"), 9, 9))
    code, _, err = vlmt("pack", "--hard-negatives", tmp_path / "s", "--data", data)
    assert code == 3 and "lack features" in err and "--partial" in err
    command = ["pack", "--hard-negatives", tmp_path / "s", "--data", data, "--partial", "--neighbours", 4, "--json"]
    code, out, err = vlmt(*command)
    assert code == 0 and "Warning: 1 of" in err
    for one in json.loads(out):
        table = pq.read_table(one["path"])
        assert len(table) == one["with_features"] and set(map(len, table["neighbours"].to_pylist())) == {4}
    code, out, _ = vlmt("doctor", tmp_path / "s", "--data", data)
    assert code == 0 and "coco" in out and "100.0%" in out
