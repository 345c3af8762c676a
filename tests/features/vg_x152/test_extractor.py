"""Photos to stores through the detector: neighbours, modes, odd photos, given boxes, and the authors' own numbers."""

import os
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from features.official import Image as Official
from features.official import authors_record, write_lmdb
from features.vg_x152.tiny import (
    CONFIG,
    RECORDED,
    TINY,
    WEIGHTS,
    drawn,
    random_detector,
    random_released,
    recorded_detector,
    recorded_outputs,
    recorded_photos,
)
from PIL import Image

from vlmt_cli.base.errors import UsageError
from vlmt_cli.features.compare import compare_stores
from vlmt_cli.features.doctor import examine
from vlmt_cli.features.extract import extract
from vlmt_cli.features.extractor import Extractor
from vlmt_cli.features.pack import pack
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.features.store_writer import StoreWriter
from vlmt_cli.features.vg_x152 import winograd
from vlmt_cli.features.vg_x152.extractor import load_detector, pixels_of, regions, vg_x152_extractor, views

SIZES = [(40, 60), (60, 40), (40, 60), (33, 90), (40, 61), (40, 60)]
PHOTOS = [drawn(*size, seed=i) for i, size in enumerate(SIZES)]


@pytest.fixture(scope="module")
def detector():
    return random_detector()


def extractor_of(detector, mode="correct", batch=1, max_regions=12):
    return Extractor(
        name=f"test {mode} {batch}",
        hash=f"{mode}{batch}-0",
        feature_width=detector.config.mlp_width,
        classes=detector.config.classes,
        prepare=pixels_of,
        regions=partial(regions, detector, mode=mode, max_regions=max_regions, batch=batch),
        batch_matters=mode == "faithful" and batch > 1,
        clips_boxes=mode == "correct",
    )


def save(folder, photos=PHOTOS):
    for i, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / f"{i}.png")
    return [(f"coco:{i}", str(folder / f"{i}.png")) for i in range(len(photos))]


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("boxes", "features", "scores"))


@pytest.mark.parametrize("at_once", [1, 4])  # 4 is what a GPU does
def test_neighbours_change_nothing(detector, at_once):
    detector = replace(detector, at_once=at_once)
    together = regions(detector, PHOTOS, [None] * 6)
    assert all(same(one, regions(detector, [photo], [None])[0]) for one, photo in zip(together, PHOTOS, strict=True))
    given = np.array([[3, 4, 30, 30], [0, 0, 40, 33]], np.float32)
    mixed = regions(detector, PHOTOS, [given if i % 2 else None for i in range(6)])
    assert same(mixed[2], together[2]) and same(mixed[3], regions(detector, [PHOTOS[3]], [given])[0])


def test_in_faithful_mode_the_canvas_of_a_batch_is_the_photo(detector):
    alone = [regions(detector, [photo], [None], "faithful")[0] for photo in PHOTOS[:2]]
    assert all(map(same, alone, regions(detector, PHOTOS[:2], [None, None], "faithful", batch=1)))
    together = regions(detector, PHOTOS[:2], [None, None], "faithful", batch=2)
    assert not any(same(one, other) for one, other in zip(alone, together, strict=True))
    (view,) = views([(41, 29)], "faithful", TINY)
    assert (view.canvas, view.frame) == ((160, 96), (160, 96)) and view.stretch == (160 / 41, 96 / 29)
    (view,) = views([(41, 29)], "correct", TINY)
    assert (view.canvas, view.frame) == ((160, 96), (136, 96)) and view.stretch == (96 / 29, 96 / 29)


def test_faithful_mode_computes_plain_convolutions(detector, monkeypatch):
    fast = regions(detector, PHOTOS[:1], [None])[0]
    plain = regions(replace(detector, fast_layers=detector.layers), PHOTOS[:1], [None])[0]
    np.testing.assert_allclose(fast.boxes, plain.boxes, atol=1e-3)
    assert not same(fast, plain)
    monkeypatch.setattr(winograd, "convolve", lambda *_: pytest.fail("not a plain convolution"))
    regions(detector, PHOTOS[:1], [None], "faithful")


def test_proposals_stay_within_the_photo_in_correct_mode(detector):
    for photo, found in zip(PHOTOS, regions(detector, PHOTOS, [None] * 6), strict=True):
        assert (found.boxes >= 0).all() and (found.boxes <= [*photo.shape[1::-1]] * 2).all()
        np.testing.assert_allclose(found.scores.sum(1), 1, rtol=1e-5)
        assert found.features.min() >= 0  # behind a ReLU


def test_a_batch_of_faithful_mode_is_the_same_after_a_kill(detector, tmp_path):
    files = save(tmp_path)
    make = partial(extractor_of, detector, "faithful")
    whole = extract(files, tmp_path / "whole", make(2), batch=2)
    # As after a kill within the second batch, and with its first photo in the store.
    extract(files[:2], tmp_path / "killed", make(2), batch=2)
    extract(files[2:4], tmp_path / "second", make(2), batch=2)
    second = FeatureStore(tmp_path / "second")
    with StoreWriter(tmp_path / "killed", second.meta) as writer:
        writer.put("coco:2", second.read("coco:2"))
    second.close()
    again = extract(files, tmp_path / "killed", make(2), batch=2)
    assert (again.already, again.written) == (3, 3) and again.checksum == whole.checksum
    assert extract(files, tmp_path / "one", make(1), batch=4).images == 6


def test_odd_photos_are_what_they_show(detector, tmp_path):
    rgb = Image.fromarray(drawn(40, 60))
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera lay on its side
    rgb.rotate(90, expand=True).save(tmp_path / "0.png", exif=turned)
    palette = rgb.quantize(16)
    palette.save(tmp_path / "1.png")
    palette.convert("RGB").save(tmp_path / "2.png")
    rgb.convert("L").save(tmp_path / "3.png")
    rgb.convert("L").convert("RGB").save(tmp_path / "4.png")
    transparent = rgb.convert("RGBA")
    transparent.putalpha(255)
    transparent.save(tmp_path / "5.png")
    rgb.convert("CMYK").save(tmp_path / "6.jpg", quality=100)
    Image.open(tmp_path / "6.jpg").convert("RGB").save(tmp_path / "7.png")
    rgb.save(tmp_path / "8.png")
    files = [(f"coco:{path.stem}", str(path)) for path in sorted(tmp_path.iterdir())]
    assert extract(files, tmp_path / "store", extractor_of(detector)).written == 9
    store = FeatureStore(tmp_path / "store")
    for one, other in ((0, 8), (1, 2), (3, 4), (5, 8), (6, 7)):
        assert same(store.read(f"coco:{one}"), store.read(f"coco:{other}")), (one, other)


def test_photos_of_any_size(detector, tmp_path):
    photos = [drawn(1, 1), drawn(1, 300), drawn(300, 1), drawn(30, 30_000), drawn(2, 2)]
    files = save(tmp_path, photos)
    header = struct.pack(">II5B", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "bomb.png").write_bytes(bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    (tmp_path / "cut.png").write_bytes((tmp_path / "3.png").read_bytes()[:5000])
    for mode in ("correct", "faithful"):
        result = extract([*files, ("coco:8", str(tmp_path / "bomb.png")), ("coco:9", str(tmp_path / "cut.png"))],
                         tmp_path / mode, extractor_of(detector, mode))  # fmt: skip
        assert result.written == 5, result.failed
        assert result.failed.pop(str(tmp_path / "bomb.png")) == "more than 89,478,485 pixels"
        assert "truncated" in result.failed.pop(str(tmp_path / "cut.png"))
        assert not result.failed


def test_given_boxes_outside_and_across_the_border(detector, tmp_path):
    files = save(tmp_path, PHOTOS[:2])
    boxes = {
        "coco:0": np.array([[30, 20, 60.5, 40], [3, 4, 9, 9]], np.float32),
        "coco:1": np.array([[70, 70, 80, 80]], np.float32),
    }
    for mode, wanted in (("correct", 60), ("faithful", 60.5)):
        result = extract(files, tmp_path / mode, extractor_of(detector, mode), boxes=boxes)
        assert list(result.failed) == [files[1][1]] and "outside the 40 x 60 photo" in result.failed[files[1][1]]
        store = FeatureStore(tmp_path / mode)
        assert store.read("coco:0").boxes.tolist() == [[30, 20, wanted, 40], [3, 4, 9, 9]]
        store.close()


def test_the_hash_tells_what_changes_features(tmp_path):
    make = partial(vg_x152_extractor, "cpu", WEIGHTS, CONFIG)
    usual = make()
    assert (usual.name, usual.feature_width, usual.classes) == ("vg-x152", 24, 7)
    given = make(has_boxes=True)
    assert given.hash.split("-", 1)[0] == usual.hash.split("-", 1)[0] and given.name == "given+vg-x152"
    others = [make(mode="faithful"), make(mode="faithful", batch=2), make(precision="bf16")]
    assert [one.name for one in others] == ["vg-x152-faithful", "vg-x152-faithful", "vg-x152-bf16"]
    assert len({one.hash.split("-", 1)[0] for one in (usual, *others)}) == 4
    assert make(batch=8).hash == usual.hash and make(max_regions=36).hash != usual.hash
    assert [one.batch_matters for one in (usual, *others)] == [False, False, True, False]
    with pytest.raises(UsageError, match="choose correct or faithful"):
        make(mode="right")


def test_bf16_finds_nearly_the_same(detector):
    half = load_detector(random_released(), "cpu", "bf16")
    given = [np.array([[3, 4, 30, 30], [0, 0, 40, 33]], np.float32)] * 6
    for one, other in zip(regions(detector, PHOTOS, given), regions(half, PHOTOS, given), strict=True):
        cosine = torch.cosine_similarity(torch.from_numpy(one.features), torch.from_numpy(other.features))
        assert other.features.dtype == np.float32 and 0.99 < cosine.min() < 0.9999999
    assert all(len(one.boxes) == 20 for one in regions(half, PHOTOS, [None] * 6, max_regions=20))


@pytest.fixture
def theirs(tmp_path):
    """The authors' LMDB of what their code made of the recorded photos."""
    wanted, records = recorded_outputs(), {}
    for i, photo in enumerate(recorded_photos()):
        height, width = photo.shape[:2]
        arrays = [wanted[f"script_{i}.{name}"].numpy() for name in ("bbox", "features", "cls_prob")]
        records[str(i + 1).encode()] = authors_record(Official(i + 1, width, height, *arrays))
    source = write_lmdb(tmp_path / "theirs.lmdb", records)
    pack(source, tmp_path / "theirs", image_source="coco", extractor="X-152")
    return tmp_path / "theirs"


def test_a_store_made_here_and_one_packed_from_the_authors_lmdb_are_the_same(theirs, tmp_path):
    files = [(f"coco:{i + 1}", str(RECORDED / f"image_{i}.png")) for i in range(2)]
    detector = recorded_detector()
    extract(files, tmp_path / "ours", extractor_of(detector, "faithful", batch=2), batch=2)
    report = examine(tmp_path / "ours", other=theirs)
    # Packing leaves the boxes out that are empty or inverted, which random weights make.
    assert not report.is_damaged and report.comparison.verdict == "same features of the regions in both"
    assert (report.comparison.compared, report.comparison.matched_there) == (2, 1)
    assert report.comparison.iou > 0.9999 and report.comparison.lowest_cosine > 0.9999
    # Whoever takes the other mode, or another batch, is told.
    for mode in ("correct", "faithful"):
        extract(files, tmp_path / mode, extractor_of(detector, mode))
        found = compare_stores(FeatureStore(tmp_path / mode), FeatureStore(theirs), set())
        assert found.verdict == "different"


def test_nothing_comes_from_torchvision():
    code = (
        "import sys, vlmt_cli.features.vg_x152.extractor\n"
        "print(sorted({'torchvision', 'cv2', 'transformers', 'detectron2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout == "[]\n", done.stderr
