"""Image files as links, and what is left for a person."""

import numpy as np
import pyarrow as pa
from PIL import Image

from vlmt_cli.base.identity import LINKS
from vlmt_cli.clean.compare_files import compare_files
from vlmt_cli.clean.splits import image_split


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
        "vlmt_cli.clean.image_hashes.perceptual_hash",
        lambda image: by_pixels.get(np.asarray(image).tobytes(), bytes([170] * 32)),
    )
    splits = [
        image_split("train", "train", pa.array(["coco:1", "vg:7"])),
        image_split("test", "test", pa.array(["flickr30k:9"])),
    ]
    folders = [str(tmp_path / source) for source in ("coco", "flickr30k", "vg")]
    compared = compare_files(splits, LINKS.empty_table(), folders, same=24, borderline=48)
    assert compared.found.files == 3  # no split has vg:8
    assert compared.found.pairs == {"borderline": 1, "pixels": 1}
    assert compared.links.to_pylist() == [{"image": "coco:1", "alias": "flickr30k:9", "relation": "pixels"}]
    shown = {(row["image_a"], row["image_b"], row["how"]) for row in compared.to_judge.to_pylist()}
    assert shown == {("coco:1", "flickr30k:9", "pixels"), ("coco:1", "vg:7", "borderline")}
    assert compared.found.to_judge == 1
