"""Regions as the model takes them, against what was put into the store."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from msgspec.structs import replace as replace_meta

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.features.reader import RegionReader, find_stores, put_img
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore, Meta
from vlmt_cli.features.store_writer import StoreWriter

BOXES = {"coco:1": 3, "coco:2": 5}


def regions(key, count, width=4):
    rng = np.random.default_rng(count)
    corners = np.sort(rng.uniform(0, 60, (count, 2, 2)).astype(np.float32), axis=1)
    features = rng.integers(1, 9, (count, width)).astype(np.float32)
    return Regions(corners.reshape(count, 4), features, 100, 80, rng.random((count, 3)).astype(np.float32))


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    for name, more in (("x", 0), ("x-candidates", 4)):
        meta = Meta(extractor="x", extractor_hash="1-2", feature_width=4, classes=3)
        with StoreWriter(folder / name, meta) as writer:
            for key, count in BOXES.items():
                writer.put(key, regions(key, count + more))
    return folder


@pytest.fixture
def reader(stores):
    return RegionReader(*map(FeatureStore, find_stores(stores, None, None)), max_regions=4)


def test_img_first_then_regions_then_nothing(reader):
    batch = reader.read(list(BOXES), scores=True)
    for row, (key, count) in enumerate(BOXES.items()):
        known, kept = regions(key, count), min(count, 4)
        assert np.array_equal(batch.features_BVF[row, 1 : 1 + kept].numpy(), known.features[:kept])
        assert np.allclose(batch.features_BVF[row, 0].numpy(), known.features[:kept].mean(0), atol=1e-5)
        assert batch.mask_BV[row].tolist() == [True] * (1 + kept) + [False] * (4 - kept)
        assert np.allclose(batch.boxes_BV5[row, 0].numpy(), [0, 0, 1, 1, 1])
        x1, y1, x2, y2 = known.boxes[0]
        expected = [x1 / 100, y1 / 80, x2 / 100, y2 / 80, (x2 - x1) * (y2 - y1) / 8000]
        assert np.allclose(batch.boxes_BV5[row, 1].numpy(), expected, atol=1e-5)
        assert np.allclose(batch.scores_BVC[row, 1].numpy(), known.scores[0], atol=1e-3)
    assert not batch.features_BVF[0, 4:].any()


def test_candidates_stand_after_the_regions(reader):
    given = regions("coco:1", 7)
    boxes = given.boxes[[5, 2]]
    batch = reader.read(["coco:2", "coco:1"], [np.empty((0, 4), np.float32), boxes])
    assert batch.places_BC[1].tolist() == [4, 5] and batch.candidates_BC.tolist() == [[False, False], [True, True]]
    assert np.array_equal(batch.features_BVF[1, 4:6].numpy(), given.features[[5, 2]])
    assert np.array_equal(batch.pixels_BV4[1, 4:6].numpy(), boxes)
    # IMG is the mean of the detected regions alone.
    assert np.allclose(batch.features_BVF[1, 0].numpy(), regions("coco:1", 3).features.mean(0), atol=1e-5)


@pytest.mark.parametrize(("shared", "known"), [(0.6, True), (0.4, False)])
def test_a_candidate_is_the_given_box_that_it_shares_more_than_half_with(stores, reader, shared, known):
    x1, y1, x2, y2 = FeatureStore(stores / "x-candidates").read("coco:1").boxes[0]
    clipped = np.array([[x1, y1, x1 + shared * (x2 - x1), y2]], np.float32)  # an IoU of ``shared``
    lone = Regions(np.array([[x1, y1, x2, y2]], np.float32), np.ones((1, 4), np.float32), 100, 80, None)
    alone = replace(reader, candidates=SimpleNamespace(read=lambda image: lone, path=stores))
    if known:
        assert alone.read(["coco:1"], [clipped]).candidates_BC.tolist() == [[True]]
    else:
        with pytest.raises(DataError, match="has no features of the box"):
            alone.read(["coco:1"], [clipped])


def test_img_is_made_later_in_float16(reader):
    whole = reader.read(list(BOXES))
    half = reader.read(list(BOXES), memory=torch.empty(1000, dtype=torch.float16))
    features = half.features_BVF.float()
    assert not features[:, 0].any()
    put_img(features, half.counts_B)
    assert torch.allclose(features, whole.features_BVF, atol=1e-5)


def test_what_is_not_there_is_said(reader, stores, tmp_path):
    with pytest.raises(DataError, match=r"has no features of coco:3"):
        reader.read(["coco:3"])
    with pytest.raises(DataError, match=r"no features of the box \[90, 70, 99, 79\] of coco:1; .*--boxes candidates"):
        reader.read(["coco:1"], [np.array([[90, 70, 99, 79]], np.float32)])
    alone = RegionReader(reader.store)
    with pytest.raises(UsageError, match="no store of candidates"):
        alone.read(["coco:1"], [regions("coco:1", 7).boxes])
    with pytest.raises(UsageError, match="holds no feature store; make one with vlmt extract"):
        find_stores(tmp_path, None, None)


def test_a_store_says_what_it_holds_whatever_its_folders_name(tmp_path):
    for name, holds in (("candidates-of-a-detector", "detected"), ("x-visual7w", "candidates")):
        meta = Meta(holds=holds, extractor="x", extractor_hash="1-2", feature_width=4, classes=3)
        with StoreWriter(tmp_path / name, meta) as writer:
            writer.put("coco:1", regions("coco:1", 3))
    assert find_stores(tmp_path, None, None) == (tmp_path / "candidates-of-a-detector", tmp_path / "x-visual7w")
    with pytest.raises(DataError, match="holds 'candidates', not 'detected'"):
        StoreWriter(tmp_path / "x-visual7w", replace_meta(meta, holds="detected"))


def test_of_several_stores_the_one_that_fits_best_is_read(tmp_path):
    for name in ("a", "b", "wide"):
        width = 8 if name == "wide" else 4
        meta = Meta(holds="detected", extractor="x", extractor_hash=name, feature_width=width)
        with StoreWriter(tmp_path / name, meta):
            pass
    for fits, found in (({"b": 2, "a": 1}, "b"), ({"wide": 1}, "wide")):
        assert find_stores(tmp_path, None, None, likeness=lambda store, fits=fits: fits.get(store.path.name, 0)) == (
            tmp_path / found,
            None,
        )
    with pytest.raises(UsageError, match=r"holds 3 feature stores, of which 2 fit alike; choose one with .*NAME: a, b"):
        find_stores(tmp_path, None, None, likeness=lambda store: int(store.meta.feature_width == 4))
    with pytest.raises(UsageError, match=r"holds 3 feature stores \(a, b, wide\), and none of them fits"):
        find_stores(tmp_path, None, None, likeness=lambda store: 0)
