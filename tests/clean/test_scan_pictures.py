"""Pictures of a mixture that has no ids, given them back by what they look like."""

import io
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from vlmt_cli.base.images import open_image
from vlmt_cli.clean import scan_drive
from vlmt_cli.clean.index import Benchmark, image_rows, make_index
from vlmt_cli.clean.index_file import read_index, write_index
from vlmt_cli.clean.own_index import index_of_file, without_idle_links
from vlmt_cli.clean.scan import Tally, all_hits
from vlmt_cli.clean.scan_drive import Pictures, Scanner
from vlmt_cli.clean.scan_index import ready
from vlmt_cli.clean.scan_pictures import NO_FILE
from vlmt_cli.clean.verdicts import Verdicts, settled
from vlmt_cli.mixtures.opening import sources_of


def encoded(picture, form="JPEG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def half(picture):
    return picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BICUBIC)


def scene(seed):
    colours = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((160, 120), Image.Resampling.BICUBIC)


def cauldron(path, files):
    """Write images in the shape of The Cauldron: bytes without names."""
    rows = [{"images": [{"bytes": file, "path": None}], "texts": [{"user": "?", "assistant": "!"}]} for file in files]
    kind = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    talk = pa.list_(pa.struct([("user", pa.string()), ("assistant", pa.string())]))
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema([("images", kind), ("texts", talk)])), path)
    return path


def scan(path, index, **options):
    """The hits of a file and what else was met."""
    tally, hits = Tally(), []
    with Scanner(index, pictures=Pictures(**{"workers": 1, **options})) as scanner:
        for source in sources_of(str(path)):
            for part in scanner.scan(source):
                hits.append(part.hits)
                tally.add(part.tally)
    return all_hits(hits), tally


@pytest.fixture(scope="module")
def photos(real_data, tmp_path_factory):
    """64 real photos, small, and an index of them as a folder."""
    folder = tmp_path_factory.mktemp("bench")
    pictures = {}
    for path in sorted([*real_data.glob("photos/coco/*.jpg"), *real_data.glob("photos/nlvr2/*.png")]):
        picture = open_image(str(path))
        picture.thumbnail((400, 400), reducing_gap=2.0)
        pictures[path.stem] = picture
        picture.save(folder / f"{path.stem}.jpg", quality=95)
    index, lost = index_of_file("bench", folder, None, images=True)
    assert len(pictures) == 64 and not lost.unnamed
    return pictures, ready(index, ["bench"])


def test_64_photos_without_ids_are_named(photos, tmp_path):
    pictures, index = photos
    keys = [f"nlvr2:{stem}" if "img" in stem else f"coco:{int(stem)}" for stem in pictures]
    changes = (
        ImageOps.mirror,
        lambda picture: picture.transpose(Image.Transpose.ROTATE_90),
        lambda picture: ImageOps.expand(picture, 40, "white"),
        lambda picture: ImageOps.pad(picture, (max(picture.size),) * 2),
    )
    files = [
        encoded(half(picture) if number % 2 else picture, quality=75)
        for number, picture in enumerate(pictures.values())
    ]
    files += [encoded(changes[number % 4](picture), quality=75) for number, picture in enumerate(pictures.values())]
    hits, tally = scan(cauldron(tmp_path / "m.parquet", files), index)
    assert [(row["record"], row["image"]) for row in hits.to_pylist()] == list(enumerate(keys + keys))
    assert set(hits["how"].to_pylist()) == {"perceptual"}
    assert (tally.compared, tally.pictures, tally.unseen) == (128, 128, Counter())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """An index of a folder with five pictures of known names."""
    folder = tmp_path_factory.mktemp("scenes")
    for number in range(5):
        scene(number).save(folder / f"COCO_val2014_{number:012}.png")
    Image.new("RGB", (64, 48), "red").save(folder / "COCO_val2014_000000000009.png")  # too plain for a look
    return index_of_file("val", folder, None, images=True)[0]


def test_the_same_file_the_same_pixels_and_whatever_decodes(scenes, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    files = [
        encoded(scene(0), "PNG"),  # the same bytes
        encoded(scene(1), "TIFF"),  # the same pixels
        encoded(Image.new("RGB", (64, 48), "red"), "BMP"),
        encoded(scene(2), quality=90)[:-20],  # without its tail
        encoded(scene(3), quality=90, exif=turned),  # upright before, and turned by what its EXIF says
        encoded(Image.new("RGB", (48, 64), "red"), "BMP"),  # the bytes of the pixels are alike, as an MD5 of them is
        encoded(scene(7)),
        b"no picture",
        encoded(scene(4), "PNG")[:900],
        None,
    ]
    hits, tally = scan(cauldron(tmp_path / "m.parquet", files), ready(scenes, ["val"]))
    found = {row["record"]: (row["image"], row["how"], row["distance"] is None) for row in hits.to_pylist()}
    assert found.pop(3)[:2] == ("coco:2", "perceptual") and found.pop(4)[:2] == ("coco:3", "perceptual")
    assert found == {
        0: ("coco:0", "file", True),
        1: ("coco:1", "pixels", True),
        2: ("coco:9", "pixels", True),
        5: ("coco:9", "pixels", True),
    }
    assert tally.images == 10 and tally.pictures == 7
    assert sum(tally.unseen.values()) == 3 and tally.unseen[NO_FILE] == 1
    assert tally.unnamed.total() == 3


def test_files_that_a_mixture_names_lie_below_a_folder(scenes, tmp_path):
    (tmp_path / "pics" / "a").mkdir(parents=True)
    (tmp_path / "pics" / "a" / "x").write_bytes(encoded(scene(2)))  # a name that says nothing, without a suffix
    rows = [{"id": 0, "image": "a/x", "conversations": []}, {"id": 1, "image": "a/gone.jpg", "conversations": []}]
    rows.append({"id": 2, "image": "../pics/a/x", "conversations": []})
    (tmp_path / "mix.json").write_text(json.dumps(rows))
    hits, tally = scan(tmp_path / "mix.json", ready(scenes, ["val"]), folder=tmp_path / "pics")
    assert [(row["record"], row["image"], row["written"]) for row in hits.to_pylist()] == [(0, "coco:2", "a/x")]
    assert tally.unseen == {NO_FILE: 2}


def test_processes_give_the_same_hits(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(scan_drive, "_IMAGES", 2)
    path = cauldron(tmp_path / "m.parquet", [encoded(scene(number % 7)) for number in range(14)])
    one, many = (scan(path, ready(scenes, ["val"]), workers=workers) for workers in (1, 2))
    assert len(one[0]) == 10 and one[0].equals(many[0]) and one[1] == many[1]


def test_an_index_with_looks_is_written_and_shared_and_names_other_benchmarks_images(scenes, tmp_path):
    """``other`` has no picture of its image, but that image's key is one of which the index has a picture."""
    other = make_index({"other": Benchmark("O", "other")}, image_rows("other", pa.array(["coco:1"])), scenes.links)
    write_index(tmp_path / "val.parquet", without_idle_links(scenes))
    again = read_index(tmp_path / "val.parquet")
    assert again.looks == scenes.looks and len(again.looks) >= 5
    both = make_index(other.benchmarks, other.images, again.links, again.looks)
    hits, _ = scan(cauldron(tmp_path / "m.parquet", [encoded(scene(1))]), ready(both, ["other"]))
    assert [(row["benchmark"], row["image"], row["how"]) for row in hits.to_pylist()] == [
        ("other", "coco:1", "perceptual")
    ]
    assert not len(without_idle_links(other).looks)


def test_a_persons_verdicts_settle_what_only_looks_alike(scenes, tmp_path):
    hits, _ = scan(cauldron(tmp_path / "m.parquet", [encoded(scene(1)), encoded(scene(2))]), ready(scenes, ["val"]))
    pairs = [frozenset({row["image"], row["pixels"]}) for row in hits.to_pylist()]
    judged = settled(hits, Verdicts(same=frozenset(pairs[:1]), different=frozenset(pairs[1:])))
    assert [(row["record"], row["how"]) for row in judged.to_pylist()] == [(0, "judged")]
