"""Regions without a detector: cells of a grid, against means over a finer map made by hand."""

import shutil
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from commands.running import run as vlmt
from evaluation.tiny_run import make_run
from features.tiny_networks import save_networks
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, BitImageProcessorPil, ResNetConfig, ResNetModel

from vlmt_cli.base.errors import UsageError
from vlmt_cli.commands.extract_input import photos_in, read_regions
from vlmt_cli.evaluation.evaluate import evaluate
from vlmt_cli.evaluation.predict_photos import Networks, make_extractor
from vlmt_cli.evaluation.score_tables import why_not_compared
from vlmt_cli.evaluation.setup import open_stores
from vlmt_cli.features.grid import PATCHES, backbone_grid, cell_means, cells, pixels_grid, side_of
from vlmt_cli.features.pixels import WIDTH
from vlmt_cli.features.shards import Job, merge, meta_of_store, run, shard_of
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.runs.lineage import Extractor as Trained
from vlmt_cli.runs.recipe_sections import FeatureChoices


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """A ViT (4 x 4 patches), a DINOv2 (7 x 7), and a convnet."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("networks")
    model = ResNetModel(ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], image_size=64))
    model.save_pretrained(folder / "resnet")
    BitImageProcessorPil(size={"shortest_edge": 64}).save_pretrained(folder / "resnet")
    return save_networks(folder) | {"resnet": str(folder / "resnet")}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four drawn pictures, one of them upright."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("photos")
    for number, size in enumerate([(90, 60), (60, 90), (64, 64), (90, 60)]):
        small = Image.fromarray(rng.integers(0, 255, (5, 6, 3), np.uint8))
        small.resize(size).save(folder / f"{number}.png")
    return [(f"coco:{number}", str(folder / f"{number}.png")) for number in range(4)]


def by_hand(map_FHW, side):
    """Means of a map that is so much finer that every cell is a whole number of its squares."""
    fine = np.kron(map_FHW, np.ones((1, side, side)))
    _, height, width = map_FHW.shape
    squares = fine.reshape(len(fine), side, height, side, width)
    return squares.mean((2, 4)).reshape(len(fine), -1).T


@pytest.mark.parametrize("side", [1, 2, 3, 4, 10])
def test_a_cell_is_the_mean_of_the_patches_in_it(side):
    map_FHW = np.random.default_rng(0).standard_normal((5, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(cell_means(torch.from_numpy(map_FHW), side), by_hand(map_FHW, side), atol=1e-6)
    whole = cells(90, 60, side).reshape(side, side, 4)
    assert whole[0, 0, :2].tolist() == [0, 0] and whole[-1, -1, 2:].tolist() == [90, 60]
    assert (whole[:, :-1, 2] == whole[:, 1:, 0]).all() and (whole[:-1, :, 3] == whole[1:, :, 1]).all()


@pytest.mark.parametrize(("kind", "side"), [("vit", 2), ("vit", PATCHES), ("dinov2", 10), ("resnet", 3)])
def test_a_store_of_cells(networks, files, tmp_path, kind, side):
    torch.set_num_threads(1)
    make = partial(backbone_grid, backbone=networks[kind], side=side)
    checksums = {run(Job(files, tmp_path / str(batch), make, batch=batch)).checksum for batch in (1, 3)}
    job = Job(files, tmp_path / "shards", make, batch=2)
    for number in (2, 1):
        run(shard_of(job, number, 2))
    assert checksums == {merge(job.store).checksum}
    meta = meta_of_store(job.store)
    model, processor = (
        AutoModel.from_pretrained(networks[kind]).eval(),
        AutoImageProcessor.from_pretrained(networks[kind]),
    )
    size = {"vit": 64, "dinov2": 98, "resnet": 64}[kind]
    store = FeatureStore(job.store)
    for key, path in files:
        image, regions = Image.open(path), store.read(key, verify=True)
        pixels = processor(image, return_tensors="pt", size={"height": size, "width": size}, do_center_crop=False)
        with torch.inference_mode():
            hidden = model(**pixels).last_hidden_state
        if hidden.ndim == 3:  # CLS first
            hidden = hidden[:, 1:].transpose(1, 2).unflatten(2, (-1, int((hidden.shape[1] - 1) ** 0.5)))
        expected = side or hidden.shape[-1]
        assert (meta.holds, meta.cells, meta.classes) == ("grid", expected, 0)
        np.testing.assert_allclose(regions.features, by_hand(hidden[0].numpy(), expected), rtol=5e-4, atol=2e-3)
        np.testing.assert_array_equal(regions.boxes, cells(*image.size, expected))
    store.close()


def test_photos_of_a_model_that_was_trained_on_cells_are_cut_alike(networks, files):
    made = backbone_grid("cpu", networks["vit"], 3)
    again, notes = make_extractor(Trained(name=made.name, hash=made.hash), Networks(backbone=networks["vit"]))
    assert (again.hash, again.cells, notes) == (made.hash, 3, [])
    pixels = pixels_grid(np.zeros((1, WIDTH), np.float32), 5)
    again, _ = make_extractor(Trained(name=pixels.name, hash=pixels.hash), Networks())
    (regions,) = again.regions([again.prepare(Image.open(files[0][1]))], [None])
    np.testing.assert_array_equal(regions.boxes, cells(90, 60, 5))
    assert [side_of(name) for name in ("patches+vit", "vit+grid:3", "pixels", "given+vit")] == [0, None, None, None]


def test_what_a_grid_excludes_is_said(trained_world, capsys):
    assert [read_regions(text) for text in ("36", "grid:10", "patches")] == [(36, None), (1, 10), (1, 0)]
    for text in ("0", "grid:0", "grid:101", "grid:x", "grid", "-3", "patch", ""):
        with pytest.raises(UsageError, match="give a number of boxes, grid:N"):
            read_regions(text)
    for words, line in {
        ("--boxes", "visual7w"): "leave one of the two out",
        ("--detector", "vg-x152", "--weights", "x"): "leave --detector out",
    }.items():
        assert vlmt("extract", "--regions", "grid:4", *words, "--data", str(trained_world)) == 2
        assert line in " ".join(capsys.readouterr().err.split())
    assert vlmt("extract", "--regions", "patches", "--extractor", "pixels", "--data", str(trained_world)) == 2


def test_referring_expressions_choose_among_given_boxes_too(trained_world, tmp_path):
    """As no cell is a thing; what they score is said, and does not stand beside the paper's."""
    tables = [trained_world / "examples" / "refcoco" / f"{split}.parquet" for split in ("testA", "testB")]
    keys = {image for path in tables for (image,) in pq.read_table(path)["images"].to_pylist()}
    photos = tmp_path / "photos"
    photos.mkdir()
    for key, path in photos_in([str(trained_world / "images")])[0]:
        if key in keys:
            shutil.copy(path, photos)
    store, data = tmp_path / "grid", ("--data", str(trained_world))
    words = ("--extractor", "pixels", "--regions", "grid:3", "--to", str(store))
    assert vlmt("extract", f"coco={photos}", *words, *data) == 0
    with pytest.raises(UsageError, match=r"3 x 3 cells an image, and features\.regions is 8; .*features\.regions=9"):
        open_stores(FeatureChoices(store=str(store), regions=8), trained_world)
    model = make_run(tmp_path / "run", trained_world, heads=("referring",))
    found = evaluate(model, trained_world, tasks="refcoco", features=str(store), resamples=9)
    score = found.scores.tasks["refcoco"]
    assert why_not_compared("refcoco", score) == f"scored on {score.split}" == "scored on testA+testB given boxes"
    boxes = pq.read_table(tmp_path / "run" / "predictions" / "refcoco-testA.parquet")["box"].to_pylist()
    whole = FeatureStore(store)
    is_cell = [
        box in whole.read(image).boxes.tolist()
        for box, (image,) in zip(boxes, pq.read_table(tables[0])["images"].to_pylist(), strict=True)
    ]
    whole.close()
    assert {*is_cell} == {True, False}
