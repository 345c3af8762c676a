"""Image files as links, and what is left for a person."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from vlmt_cli.base.identity import LINKS
from vlmt_cli.clean.claim import UNUSED
from vlmt_cli.clean.compare_files import compare_files
from vlmt_cli.clean.image_files import NOT_AN_IMAGE, NOT_NAMED
from vlmt_cli.clean.splits import image_split
from vlmt_cli.clean.verdicts import NONE, Verdicts


def look(phash):
    """A look of some hash, with a detail that all have."""
    return np.frombuffer(phash + bytes(32), np.uint64)[None]


def test_a_borderline_copy_of_a_copy_of_a_test_image_is_shown(tmp_path, monkeypatch):
    """vg:7 is borderline to coco:1, which has the pixels of the test image flickr30k:9."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    pictures = {"coco/1": noise, "flickr30k/9": noise, "vg/7": noise[::-1], "vg/8": noise[:, ::-1]}
    for name, pixels in pictures.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    alike, other = bytes(32), bytes([255] * 5 + [0] * 27)  # 40 bits apart
    by_pixels = {noise.tobytes(): alike, noise[::-1].tobytes(): other}
    monkeypatch.setattr(
        "vlmt_cli.clean.image_hashes.looks_of_image",
        lambda image: look(by_pixels.get(np.asarray(image).tobytes(), bytes([170] * 32))),
    )
    splits = [
        image_split("train", "train", pa.array(["coco:1", "vg:7"])),
        image_split("test", "test", pa.array(["flickr30k:9"])),
    ]
    folders = [str(tmp_path / source) for source in ("coco", "flickr30k", "vg")]
    compared = compare_files(splits, LINKS.empty_table(), folders, same=24, borderline=48)
    assert compared.near_duplicates.files == 3  # no split has vg:8
    assert compared.near_duplicates.pairs == {"borderline": 1, "pixels": 1}
    assert compared.links.to_pylist() == [{"image": "coco:1", "alias": "flickr30k:9", "relation": "pixels"}]
    shown = {(row["image_a"], row["image_b"], row["how"]) for row in compared.to_judge.to_pylist()}
    assert shown == {("coco:1", "flickr30k:9", "pixels"), ("coco:1", "vg:7", "borderline")}
    assert compared.near_duplicates.to_judge == 1


def test_every_file_and_image_is_accounted_for(tmp_path):
    """coco:1 has a sound file, coco:2 a damaged one, coco:3 none, vg:5 is coco:1's twin by the crosswalk."""
    folder = tmp_path / "coco"
    folder.mkdir()
    Image.effect_noise((64, 48), 60).save(folder / "1.png")
    (folder / "2.png").write_bytes(b"damaged")
    Image.effect_noise((64, 48), 60).save(folder / "9.png")
    (folder / "cover.jpg").write_bytes((folder / "1.png").read_bytes())
    (folder / "notes.txt").write_text("photos")
    splits = [
        image_split("train", "train", pa.array(["coco:1", "coco:2", "coco:3"])),
        image_split("test", "test", pa.array(["vg:5"])),
    ]
    crosswalk = pa.table([["vg:5"], ["coco:1"], ["crosswalk"]], schema=LINKS)
    found = compare_files(splits, crosswalk, [str(folder)], same=24, borderline=48).near_duplicates
    assert (found.files, found.images, found.images_without_file, len(found.damaged)) == (1, 1, 2, 1)
    passed = {one.reason: (one.files, Path(one.first).name) for one in found.passed_over}
    assert passed == {NOT_AN_IMAGE: (1, "notes.txt"), NOT_NAMED: (1, "cover.jpg"), UNUSED: (1, "9.png")}


@pytest.mark.parametrize("settled", ["same", "different", "crosswalk", "test image itself"])
def test_a_borderline_pair_is_undecided_until_a_verdict_would_change_nothing(tmp_path, monkeypatch, settled):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for name, pixels in {"coco/1": noise, "vg/7": noise[::-1]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    by_pixels = {noise.tobytes(): bytes(32), noise[::-1].tobytes(): bytes([255] * 5 + [0] * 27)}  # 40 bits apart
    monkeypatch.setattr(
        "vlmt_cli.clean.image_hashes.looks_of_image", lambda image: look(by_pixels[np.asarray(image).tobytes()])
    )
    splits = [image_split("a", "train", pa.array(["vg:7"])), image_split("b", "test", pa.array(["coco:1"]))]
    folders, no_links = [str(tmp_path / "coco"), str(tmp_path / "vg")], LINKS.empty_table()
    assert compare_files(splits, no_links, folders, same=24, borderline=48).near_duplicates.to_judge == 1

    verdicts, links = NONE, no_links
    if settled in ("same", "different"):
        verdicts = Verdicts(**{settled: frozenset({frozenset({"coco:1", "vg:7"})})})
    elif settled == "crosswalk":
        links = pa.table([["vg:7"], ["coco:1"], ["crosswalk"]], schema=LINKS)
    else:
        splits.append(image_split("c", "test", pa.array(["vg:7"])))
    compared = compare_files(splits, links, folders, verdicts=verdicts, same=24, borderline=48)
    assert compared.near_duplicates.to_judge == 0 and len(compared.to_judge) == 0
    linked = [("coco:1", "vg:7", "judged")] if settled == "same" else []
    assert [tuple(link.values()) for link in compared.links.to_pylist()] == linked
