"""Near-duplicates against brute force over all pairs, real photos and hand-made files."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance, ImageOps

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.clean.gallery import write_gallery
from vlmt_cli.clean.greys import looks_of_image
from vlmt_cli.clean.image_files import image_files
from vlmt_cli.clean.image_hashes import HASHES, hash_images, open_image
from vlmt_cli.clean.looks import distances
from vlmt_cli.clean.near_duplicates import PAIRS, find_pairs
from vlmt_cli.clean.verdicts import Verdicts, links, read_verdicts


def scene(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """A picture of its own: coarse random colours, smoothly enlarged."""
    colours = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def hashes_of(*rows: tuple[str, bytes, bytes | None]) -> pa.Table:
    """A table of HASHES from (image key, pixels, phash)."""
    keys, pixels, phashes = zip(*rows, strict=True)
    looks = [[phash + bytes(32)] if phash else [] for phash in phashes]  # of details that are alike
    paths = [f"{number}.jpg" for number in range(len(rows))]
    return pa.table([list(keys), paths, [1] * len(rows), [1] * len(rows), list(pixels), looks], schema=HASHES)


# --- pairs -------------------------------------------------------------------------------------------------


def test_pairs_name_pixels_perceptual_and_borderline() -> None:
    zero, four, forty = bytes(32), bytes(31) + b"\x0f", b"\xff" * 5 + bytes(27)
    pairs = find_pairs(
        hashes_of(
            ("vg:1", b"a" * 32, zero),
            ("coco:9", b"a" * 32, zero),  # the pixels of vg:1
            ("flickr30k:3", b"b" * 32, four),
            ("cc:4", b"c" * 32, forty),
            ("coco:9", b"d" * 32, zero),  # again COCO 9: that is not new
        ),
        same=24,
        borderline=40,
    )
    assert pairs.schema == PAIRS
    rows = [(p["image_a"], p["image_b"], p["path_a"], p["path_b"], p["distance"], p["how"]) for p in pairs.to_pylist()]
    assert rows == [
        ("coco:9", "vg:1", "1.jpg", "0.jpg", 0, "pixels"),
        ("coco:9", "flickr30k:3", "1.jpg", "2.jpg", 4, "perceptual"),
        ("cc:4", "coco:9", "3.jpg", "1.jpg", 40, "borderline"),
    ]


def test_thousands_of_equal_images_are_joined_without_all_their_pairs() -> None:
    n = 20_000
    equal_pixels = [(f"coco:{i}", b"p" * 32, bytes(32)) for i in range(n)]
    equal_look = [(f"vg:{i}", b"%032d" % i, b"\x01" + bytes(31)) for i in range(n)]
    pairs = find_pairs(hashes_of(*equal_pixels, *equal_look), 24, 48)
    assert len(pairs) == 2 * n - 1  # a tree over all of them
    assert len({*pairs["image_a"].to_pylist(), *pairs["image_b"].to_pylist()}) == 2 * n


@pytest.mark.parametrize(("same", "borderline"), [(-1, 3), (30, 20), (24, 65)])
def test_distances_that_make_no_sense_are_refused(same: int, borderline: int) -> None:
    with pytest.raises(UsageError, match="same <= borderline <= 64"):
        find_pairs(HASHES.empty_table(), same, borderline)


def test_no_files_no_pairs() -> None:
    table, damaged = hash_images([])
    assert (len(table), damaged) == (0, [])
    assert find_pairs(table, 24, 48).schema == PAIRS and len(links(find_pairs(table, 24, 48))) == 0


# --- names -------------------------------------------------------------------------------------------------


def test_official_file_names_give_image_keys(tmp_path: Path) -> None:
    expected = {
        "any/COCO_train2014_000000391895.jpg": "coco:391895",
        "any/COCO_train2014_000000581857_16.jpg": "coco:581857",  # RefCOCO's spelling
        "any/000000000009.png": "coco:9",
        "any/v7w_2372205.JPG": "vg:2372205",
        "any/n161313.jpg": "gqa:n161313",
        "images/train/27/train-10171-0-img0.png": "nlvr2:train-10171-0-img0",
        "VG_100K/2.jpg": "vg:2",
        "VG_100K_2/part/3.jpg": "vg:3",
        "flickr30k-images/1000092795.jpg": "flickr30k:1000092795",
        "val2017/000000000139.jpg": "coco:139",
        "cc3m/12.webp": "cc:12",
    }
    for name in [*expected, "any/notes.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    files, skipped = image_files([str(tmp_path), str(tmp_path / "any")])
    assert {str(Path(path).relative_to(tmp_path)): image for image, path in files} == expected
    assert [path for _, path in files] == sorted(path for _, path in files)
    assert [(Path(path).name, reason) for path, reason in skipped] == [("notes.txt", "not an image")]


def test_a_bare_number_needs_a_source(tmp_path: Path) -> None:
    save(scene(1), tmp_path / "photos" / "17.jpg")
    with pytest.raises(UsageError, match=r"17\.jpg: .*write source=DIR"):
        image_files([str(tmp_path / "photos")])
    assert image_files([f"vg={tmp_path / 'photos'}"])[0][0].image == "vg:17"
    assert image_files([f"gqa={tmp_path / 'photos'}"])[0][0].image == "vg:17"  # GQA's numbers are Visual Genome's
    with pytest.raises(UsageError, match="'cocos' is not an image source; did you mean coco"):
        image_files([f"cocos={tmp_path / 'photos'}"])


def test_folders_that_are_missing_or_hold_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        image_files([str(tmp_path / "nowhere")])
    with pytest.raises(DataError, match="has no image files"):
        image_files([str(tmp_path)])


@pytest.mark.parametrize("name", ["n\u0661\u0662.jpg", "\u0661\u0662.jpg", "..1.jpg", "COCO_train2014_x.jpg"])
def test_a_name_that_only_resembles_an_official_one_is_refused(tmp_path: Path, name: str) -> None:
    save(scene(1), tmp_path / "vg" / name)
    with pytest.raises(UsageError, match="does not say which image it is"):
        image_files([str(tmp_path / "vg")])


def test_links_out_of_a_folder_are_named_and_not_followed(tmp_path: Path) -> None:
    save(scene(1), tmp_path / "secret" / "1.jpg")
    save(scene(2), tmp_path / "vg" / "2.jpg")
    (tmp_path / "vg" / "3.jpg").symlink_to(tmp_path / "secret" / "1.jpg")
    (tmp_path / "vg" / "4.jpg").symlink_to("2.jpg")
    (tmp_path / "vg" / "more").symlink_to(tmp_path / "secret")
    files, skipped = image_files([str(tmp_path / "vg")])
    assert [image for image, _ in files] == ["vg:2", "vg:4"]
    assert [Path(path).name for path, _ in skipped] == ["3.jpg", "more"]
    assert {reason for _, reason in skipped} == {"a link that leads out of the folder"}


# --- hashes ------------------------------------------------------------------------------------------------


def test_pixels_are_equal_whatever_the_container(tmp_path: Path) -> None:
    picture = scene(3)
    save(picture, tmp_path / "vg" / "1.png")
    save(picture, tmp_path / "vg" / "2.bmp")
    save(picture, tmp_path / "vg" / "3.webp", lossless=True)
    save(picture.convert("RGBA"), tmp_path / "vg" / "4.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees when shown
    save(picture.transpose(Image.Transpose.ROTATE_90), tmp_path / "vg" / "5.png", exif=turned)
    table, damaged = hash_images(image_files([str(tmp_path / "vg")])[0])
    assert not damaged and len(table) == 5
    assert len(set(table["pixels"].to_pylist())) == 1 and len({str(looks) for looks in table["looks"].to_pylist()}) == 1
    assert set(table["width"].to_pylist()) == {160} and set(table["height"].to_pylist()) == {120}


def test_pictures_with_too_little_in_them_match_by_pixels_only(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 160).astype(np.uint8), (120, 1))
    plain = [Image.new("RGB", (160, 120), c) for c in ("white", "white", "#fefefe", "black")]
    stripes = Image.fromarray((np.arange(160) // 20 % 2 * 255).astype(np.uint8)[None].repeat(120, 0))
    for number, picture in enumerate([*plain, Image.fromarray(ramp), Image.fromarray(ramp // 2), stripes]):
        save(picture, tmp_path / "vg" / f"{number}.png")
    table, _ = hash_images(image_files([str(tmp_path / "vg")])[0])
    assert table["looks"].to_pylist() == [[]] * 7
    assert [(p["image_a"], p["image_b"], p["how"]) for p in find_pairs(table, 24, 48).to_pylist()] == [
        ("vg:0", "vg:1", "pixels")
    ]


def test_different_16_bit_and_transparent_pictures_do_not_become_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in (1, 2):
        save(Image.fromarray(rng.integers(300, 65535, (64, 64), dtype=np.uint16)), tmp_path / "vg" / f"{number}.png")
        drawing = Image.new("RGBA", (64, 64))
        drawing.putalpha(scene(number, 64, 64).convert("L"))
        save(drawing, tmp_path / "vg" / f"1{number}.png")
    table, damaged = hash_images(image_files([str(tmp_path / "vg")])[0])
    assert not damaged and len(set(table["pixels"].to_pylist())) == 4


def test_damaged_images_are_named_and_the_rest_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "vg"
    good = save(scene(1), folder / "1.jpg")
    (folder / "2.jpg").write_bytes(good.read_bytes()[:900])
    (folder / "3.png").write_bytes(b"not an image")
    (folder / "4.gif").write_bytes(b"")
    save(Image.new("RGB", (400, 400)), folder / "5.png")
    gone = save(scene(2), folder / "6.jpg")
    os.mkfifo(folder / "7.jpg")
    files, skipped = image_files([str(folder)])
    assert [(Path(path).name, reason) for path, reason in skipped] == [("7.jpg", "not a regular file")]
    gone.unlink()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000)
    table, damaged = hash_images(files)
    assert table["image"].to_pylist() == ["vg:1"]
    reasons = {Path(path).name: reason for path, reason in damaged}
    assert list(reasons) == ["2.jpg", "3.png", "4.gif", "5.png", "6.jpg"]
    assert "of the picture is missing" in reasons["2.jpg"] and reasons["5.png"] == "more than 50,000 pixels"
    assert all("\n" not in reason and reason for reason in reasons.values())


def test_the_cache_hashes_only_what_is_new(tmp_path: Path) -> None:
    folder, cache = tmp_path / "vg", tmp_path / "cache" / "hashes.parquet"
    for number in range(5):
        save(scene(number), folder / f"{number}.png")
    told: list[tuple[int, int]] = []

    def run() -> pa.Table:
        told.clear()
        return hash_images(image_files([str(folder)])[0], cache, progress=lambda done, of: told.append((done, of)))[0]

    first = run()
    assert told[-1] == (5, 5)
    assert run().equals(first) and told == []
    save(scene(99), folder / "3.png")
    os.utime(folder / "3.png", ns=(1, 1))
    second = run()
    assert told == [(1, 1)] and len(pq.read_table(cache)) == 5
    assert [a != b for a, b in zip(first["pixels"], second["pixels"], strict=True)] == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert second.equals(hash_images(image_files([str(folder)])[0])[0])


def test_an_interruption_keeps_what_is_hashed(tmp_path: Path) -> None:
    for number in range(5):
        save(scene(number), tmp_path / "vg" / f"{number}.png")

    def interrupt(done: int, of: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_images(image_files([str(tmp_path / "vg")])[0], tmp_path / "hashes.parquet", progress=interrupt)
    assert len(pq.read_table(tmp_path / "hashes.parquet")) == 3


def test_a_file_that_is_no_cache_is_not_overwritten(tmp_path: Path) -> None:
    pq.write_table(pa.table({"precious": [1]}), tmp_path / "other.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    for name in ("other.parquet", "broken.parquet"):
        with pytest.raises(DataError, match=name):
            hash_images([], tmp_path / name)


def test_processes_give_the_same_hashes(tmp_path: Path) -> None:
    for number in range(70):
        save(scene(number, 64, 48), tmp_path / "vg" / f"{number}.png")
    (tmp_path / "vg" / "7.png").write_bytes(b"damaged")
    files, _ = image_files([str(tmp_path / "vg")])
    (one, damaged_one), (two, damaged_two) = hash_images(files), hash_images(files, workers=2)
    assert one.equals(two) and damaged_one == damaged_two and len(damaged_one) == 1


# --- links and the gallery ---------------------------------------------------------------------------------


def pairs_of(*rows: tuple[str, str, int, str], folder: str = "x") -> pa.Table:
    return pa.table(
        [
            list(column)
            for column in zip(*((a, b, f"{folder}/a", f"{folder}/b", d, how) for a, b, d, how in rows), strict=True)
        ],
        schema=PAIRS,
    )


def test_the_gallery_is_one_page_that_escapes_and_counts(tmp_path: Path) -> None:
    folder = tmp_path / "<script>alert(1)</script>"
    for name in ("a", "b"):
        save(scene(1), folder / name, format="PNG")
    pairs = pairs_of(
        ("coco:1", "vg:2", 30, "borderline"),
        ("coco:1", "vg:4", 26, "borderline"),
        ("coco:1", "vg:6", 28, "borderline"),
        ("coco:1", "vg:8", 29, "borderline"),
        ("coco:9", "vg:9", 3, "perceptual"),
        ("coco:9", "vg:10", 0, "pixels"),
        folder=str(folder),
    )
    page = tmp_path / "gallery.html"
    write_gallery(page, pairs, Verdicts(different=frozenset({frozenset({"coco:1", "vg:8"})})), most=2)
    text = page.read_text()
    assert re.findall(r"<code>(\w+:.*?)</code>", text) == ["coco:1 vg:4", "coco:1 vg:6", "coco:9 vg:9"]
    assert "the 2 most alike of 3 pairs" in text and text.count("data:image/jpeg;base64,") == 6
    assert "<script>alert" not in text and not re.search(r"""(?:src|href)=["']?(?!data:)\w|https?:""", text)
    (folder / "a").unlink()
    write_gallery(page, pairs)
    assert "cannot be shown" in page.read_text()


def test_the_gallery_writes_a_file_of_both_verdicts_and_keeps_what_was_judged(tmp_path: Path) -> None:
    text = "# mine </script>\nsame coco:5 vg:5\ncoco:6 vg:6"
    given = Verdicts(frozenset({frozenset({"coco:5", "vg:5"})}), frozenset({frozenset({"coco:6", "vg:6"})}), text)
    pairs = pairs_of(("coco:1", "vg:2", 30, "borderline"), ("coco:5", "vg:5", 40, "borderline"))
    write_gallery(tmp_path / "gallery.html", pairs, given)
    page = (tmp_path / "gallery.html").read_text()
    assert re.findall(r'class=verdict .*? value="(.*?)"', page) == ["same coco:1 vg:2", "different coco:1 vg:2"]
    kept, script = re.findall(r"<script.*?>(.*?)</script>", page, re.DOTALL)
    assert json.loads(kept) == text
    if node := shutil.which("node"):  # clicks, on as much of a page as the script asks for
        (tmp_path / "page.js").write_text(_PAGE_IN_NODE.format(given=json.dumps(kept)) + script + _CLICKS)
        found = subprocess.run([node, tmp_path / "page.js"], capture_output=True, text=True, check=True).stdout
        (tmp_path / "verdicts.txt").write_text(found)
        verdicts = read_verdicts(tmp_path / "verdicts.txt")
        assert found.startswith(text) and verdicts.same == given.same
        assert verdicts.different == given.different | {frozenset({"coco:1", "vg:2"})}


_PAGE_IN_NODE = """
const button = value => ({{value, dataset: {{pair: "coco:1 vg:2"}}, pressed: "false",
  getAttribute() {{ return this.pressed; }}, setAttribute(name, value) {{ this.pressed = value; }}}});
const all = [button("same coco:1 vg:2"), button("different coco:1 vg:2")];
const parts = {{given: {{textContent: {given}}}, file: {{}}, count: {{}}, save: {{}}, copy: {{}}}};
const document = {{getElementById: id => parts[id], querySelectorAll: () => all}};
"""
_CLICKS = "all[0].onclick(); all[1].onclick(); process.stdout.write(parts.file.value);"


# --- real photos -------------------------------------------------------------------------------------------


def test_versions_of_real_photos_are_caught_and_different_photos_are_not(tmp_path: Path, real_data: Path) -> None:
    folders = [str(real_data / "photos" / source) for source in ("coco", "nlvr2")]
    originals, _ = hash_images(image_files(folders)[0])
    assert len(originals) == 64 and all(originals["looks"].to_pylist())
    assert len(find_pairs(originals, 24, 48)) == 0

    for number, row in enumerate(originals.to_pylist()):
        picture = open_image(row["path"])
        picture.thumbnail((400, 400))
        width, height = picture.size
        version = (
            picture,
            picture.resize((width // 2, height // 2)),
            ImageEnhance.Brightness(picture).enhance(0.8),
            ImageOps.mirror(picture).resize((width // 2, height // 2)),
            picture.transpose(Image.Transpose.ROTATE_90),
            ImageOps.expand(picture, 40, "white"),
            ImageOps.pad(ImageOps.flip(picture), (500, 500)),
        )[number % 7]
        save(version, tmp_path / "vg" / f"{number}.jpg", quality=(30, 50, 75, 95)[number // 7 % 4])
    versions, _ = hash_images(image_files([str(tmp_path / "vg")])[0])
    pairs = find_pairs(pa.concat_tables([originals, versions]), 24, 48)
    keys = dict(zip([f"vg:{number}" for number in range(64)], originals["image"].to_pylist(), strict=True))
    assert {(p["image_b"], p["image_a"]) for p in pairs.to_pylist()} == set(keys.items())
    assert set(pairs["how"].to_pylist()) == {"perceptual"}


def test_the_hash_is_as_good_as_imagehash(tmp_path: Path) -> None:
    imagehash = pytest.importorskip("imagehash")
    for seed in range(8):
        picture = scene(seed, 640, 480)
        copy = open_image(str(save(picture.resize((320, 240)), tmp_path / f"{seed}.jpg", quality=50)))
        ours = distances(*(looks_of_image(image)[:1] for image in (picture, copy)))[0][0]
        theirs = [imagehash.phash(image, hash_size=16) for image in (picture, copy)]
        assert ours <= max(8, theirs[0] - theirs[1])


def test_a_judged_file_stands_for_no_other_and_none_for_it() -> None:
    """coco:1 and flickr30k:9 hash alike but differ in pixels; vg:7 is 10 bits from both."""
    alike = np.random.default_rng(0).integers(0, 256, 32, dtype=np.uint8)
    near = alike.copy()
    near[:10] ^= 1
    names = ["coco:1", "flickr30k:9", "vg:7"]
    hashes = pa.table(
        {
            "image": names,
            "path": names,
            "width": [1, 1, 1],
            "height": [1, 1, 1],
            "pixels": [bytes([i] * 32) for i in range(3)],
            "looks": [[look.tobytes() + bytes(32)] for look in (alike, alike, near)],
        },
        schema=HASHES,
    )
    judged = Verdicts(different=frozenset({frozenset({"coco:1", "flickr30k:9"})}))
    pairs = find_pairs(hashes, 24, 48, apart={"coco:1", "flickr30k:9"})
    found = {(row["image_a"], row["image_b"]): row["distance"] for row in pairs.to_pylist()}
    assert found == {("coco:1", "flickr30k:9"): 0, ("coco:1", "vg:7"): 10, ("flickr30k:9", "vg:7"): 10}
    assert len(pairs) == 3
    assert {(row["image"], row["alias"]) for row in links(pairs, judged).to_pylist()} == {
        ("coco:1", "vg:7"),
        ("flickr30k:9", "vg:7"),
    }
