"""Crops recognised by embeddings of tiny random networks: TorchScript, and a DINOv2 and a CLIP of transformers."""

import json
import math
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from clean.test_scan_pictures import cauldron, encoded, scan, scene
from commands.running import run
from features.tiny_networks import KINDS
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

from vlmt_cli.base.embedder import Embedder, EmbeddingModel
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.clean.drivers import Work
from vlmt_cli.clean.embeddings import Cosines, EmbeddingIndex, embedded, embedding_index
from vlmt_cli.clean.index_file import read_index, write_index
from vlmt_cli.clean.own_index import index_of_file
from vlmt_cli.clean.scan_gallery import write_hit_gallery
from vlmt_cli.clean.scan_index import ready
from vlmt_cli.clean.scan_kept import way_of
from vlmt_cli.clean.verdicts import NONE, Verdicts, settled
from vlmt_cli.commands.embedding import loader
from vlmt_cli.features.embedding import load_embedder


def script(path, width):
    """Write a network that averages over 8 x 8 patches, and mixes them at random."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.AvgPool2d(40), torch.nn.Flatten(), torch.nn.Linear(192, width, bias=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(network.eval(), torch.zeros(1, 3, 320, 320)), path)
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return script(tmp_path_factory.mktemp("models") / "tiny.torchscript.pt", 16)


@pytest.fixture(scope="module")
def index(model, tmp_path_factory):
    """An index of five scenes, written and read again."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "pics").mkdir()
    for number in range(5):
        scene(number).save(folder / "pics" / f"COCO_val2014_{number:012}.png")
    write_index(
        folder / "i.parquet", index_of_file("val", folder / "pics", None, True, embedder=load_embedder(model))[0]
    )
    return read_index(folder / "i.parquet")


def with_model(index, model, *cosines):
    chosen = ready(index, ["val"])
    return type(chosen)(chosen.index, chosen.aliases, embedding_index(index, loader(model), Cosines(*cosines)))


def crop(picture):
    """A tenth off at the left and the top, which looks no longer recognise."""
    return picture.crop((picture.width // 10, picture.height // 10, picture.width, picture.height))


def cosine(network, a, b):
    """As the network says it, in full precision and one picture at a time."""
    x, y = (network.embed([picture])[0].astype(float) for picture in (a, b))
    return x @ y / math.sqrt((x @ x) * (y @ y))


def test_crops_are_hits_or_judged_by_their_cosine(index, model, tmp_path):
    network = load_embedder(model)
    pictures = [scene(0), crop(scene(1)), crop(scene(2)), scene(9)]
    true = [[cosine(network, picture, scene(number)) for number in range(5)] for picture in pictures]
    assert max(true[3]) < min(true[1][1], true[2][2]) < max(true[1][1], true[2][2])
    between = (true[1][1] + true[2][2]) / 2
    path = cauldron(tmp_path / "m.parquet", [encoded(each, "PNG") for each in pictures])
    hits, tally = scan(path, with_model(index, model, between, max(true[3]) + 0.01))
    ways = {row["record"]: (row["image"], row["how"]) for row in hits.to_pylist()}
    surer = 1 if true[1][1] > true[2][2] else 2
    assert ways == {
        0: ("coco:0", "file"),
        surer: (f"coco:{surer}", "embedding"),
        3 - surer: (f"coco:{3 - surer}", "borderline"),
    }
    said = [row["cosine"] for row in hits.to_pylist()[1:]]
    np.testing.assert_allclose(said, [true[1][1], true[2][2]], atol=2e-3)
    assert write_hit_gallery(tmp_path / "g.html", hits, tally.shown, NONE, {})
    page = (tmp_path / "g.html").read_text()
    assert all(f"cosine <b>{each:.2f}</b>" in page for each in said)
    doubtful = next(row for row in hits.to_pylist() if row["how"] == "borderline")
    same = Verdicts(same=frozenset({frozenset({doubtful["image"], doubtful["pixels"]})}))
    assert settled(hits, same)["how"].to_pylist().count("judged") == 1
    uncalibrated, _ = scan(path, with_model(index, model))
    assert "embedding" not in uncalibrated["how"].to_pylist()


def test_a_scan_is_not_taken_up_with_another_cosine(index, model):
    chosen = [ready(index, ["val"]), with_model(index, model, 0.9), with_model(index, model, 0.8)]
    assert len({way_of(Work(each)) for each in chosen}) == 3


def test_search_is_brute_force_in_blocks(monkeypatch):
    monkeypatch.setattr("vlmt_cli.clean.embeddings._BLOCK", 7)
    rng = np.random.default_rng(0)
    known, asked = (rng.normal(size=(n, 6)) for n in (50, 40))
    known, asked = ((each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float16) for each in (known, asked))
    near = EmbeddingIndex(known, None, None, Cosines(0.8, 0.6)).near(asked.astype(np.float32))
    all_of_it = asked.astype(np.float64) @ known.astype(np.float64).T
    expected = set(zip(*np.nonzero(all_of_it >= 0.8), strict=True))
    best = all_of_it.max(axis=1)
    expected |= {(q, all_of_it[q].argmax()) for q in np.flatnonzero((best < 0.8) & (best >= 0.6))}
    assert set(zip(near.query, near.row, strict=True)) == expected and len(near.query) == len(expected) > 20
    np.testing.assert_allclose(near.cosine, all_of_it[near.query, near.row], atol=1e-4)
    monkeypatch.setattr("vlmt_cli.clean.embeddings._MOST", 3)
    near = EmbeddingIndex(known, None, None, Cosines(0.1, 0.1)).near(asked.astype(np.float32))
    assert near.row.reshape(40, 3).tolist() == np.argsort(-all_of_it, axis=1)[:, :3].tolist()


def test_another_model_and_what_is_no_model_are_refused(index, model, tmp_path):
    other = script(tmp_path / "other.pt", 8)
    with pytest.raises(UsageError, match=r"has embeddings of tiny.torchscript.pt .* not of other.pt"):
        embedding_index(index, loader(other), Cosines())
    with pytest.raises(UsageError, match="has no embeddings"):
        embedding_index(type(index)({}, index.images, index.links), loader(other), Cosines())
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(print))
    torch.save({"weights": torch.zeros(2)}, tmp_path / "weights.pt")
    for name in ("evil.pt", "weights.pt"):
        with pytest.raises(DataError, match="cannot be loaded as TorchScript"):
            load_embedder(str(tmp_path / name))


def test_a_vector_that_is_not_finite_is_none():
    network = Embedder("0" * 16, EmbeddingModel("n", 2), lambda pictures: np.array([[np.nan, 1], [3, 4]], np.float32))
    np.testing.assert_allclose(embedded([None, None], network), [[0, 0], [0.6, 0.8]])


def clip():
    tower = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision = {**tower, "image_size": 32, "patch_size": 16}
    config = CLIPConfig(text_config={**tower, "vocab_size": 50}, vision_config=vision, projection_dim=12)
    size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    return CLIPModel(config), CLIPImageProcessorPil(**size)


@pytest.mark.parametrize(("make", "width"), [(KINDS["dinov2"], 32), (clip, 12)])
def test_networks_of_transformers(make, width, tmp_path):
    torch.manual_seed(1)
    network, processor = make()
    network.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    embedder = load_embedder(str(tmp_path))
    assert embedder.model.width == width and len(embedder.sha256) == 16
    together = embedder.embed([scene(0), scene(1), Image.new("RGB", (40, 90))])
    assert (embedder.embed([scene(1)])[0] == together[1]).all() and not np.allclose(together[0], together[1])


def test_a_network_without_a_vector_a_picture_is_refused(tmp_path):
    network, processor = KINDS["vit"]()
    network.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(DataError, match="gives no vector a picture"):
        load_embedder(str(tmp_path))


def test_the_commands_say_which_network_and_that_nobody_calibrated_it(model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pics").mkdir()
    for number in range(3):
        scene(number).save(f"pics/{number}.png")
        crop(scene(number)).save(f"crop{number}.png")
    Path("pairs.csv").write_text("".join(f"pics/{number}.png,crop{number}.png\n" for number in range(3)))
    cauldron(Path("pool.parquet"), [Path("crop1.png").read_bytes()])
    assert run("index", "add", "bench=pics", "--embed", model, "--to", "i.parquet") == 0
    capsys.readouterr()
    given = "scan pool.parquet --images --index i.parquet --against bench --workers 1 --check --json".split()
    assert run(*given, "--embed", model) == 0
    report = json.loads(capsys.readouterr().out)
    assert "tiny.torchscript.pt" in report["embedding"] and "no threshold was calibrated" in report["embedding"]
    assert report["benchmarks"]["bench"]["how"] == {} and report["to_judge"] == 1
    assert run(*given, "--embed", model, "--cosine", "0.75") == 4
    assert json.loads(capsys.readouterr().out)["benchmarks"]["bench"]["how"] == {"embedding": 1}
    assert run("index", "calibrate", "--pairs", "pairs.csv", "--embed", model, "--to", "c.png", "--json") == 0
    measured = json.loads(capsys.readouterr().out)
    assert (measured["copies"], measured["different"]) == (3, 6) and Path("c.png").exists()
    assert run("index", "calibrate", "--pairs", "pairs.csv", "--to", "c.png") == 0
    assert "3 pairs of copies, 6 of different pictures." in capsys.readouterr().out
    assert run("scan", "pool.parquet", "--images", "--cosine", "0.9") == 2
