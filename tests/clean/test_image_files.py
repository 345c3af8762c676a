"""Which files of a folder are images, and what is passed over with which reason."""

import io
from pathlib import Path

import pytest
from PIL import Image

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.clean.image_files import NOT_AN_IMAGE, NOT_NAMED, image_files


def picture(form="JPEG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, form)
    return file.getvalue()


def found(folder):
    files, skipped = image_files([str(folder)])
    return {Path(path).name: image for image, path in files}, {Path(path).name: reason for path, reason in skipped}


def test_the_contents_of_a_file_say_whether_it_is_an_image(tmp_path):
    files = {
        "1.tif": picture("TIFF"),
        "2.jfif": picture(),
        "3.jpg.1": picture(),
        "4.jpeg~": picture(),
        "5.JPG?size=large": picture(),
        "1620893517": picture(),
        "6.txt": picture("PNG"),
        "7.jpg": b"<html>404</html>",  # an image by its name: it will count as damaged
        "notes.txt": "two fräuleins".encode(),
        "8.json": b"{}",
        "9": b"",
        ".DS_Store": b"\0\0",
        "10.zip": b"PK\3\4\0\0\0\0",
        "11.heic": b"\0\0\0\x18ftypheic",
        "12.svg": b"<?xml version='1.0'?><svg/>",
        "cover.jpg": picture(),
        "vg:13.jpg": picture(),
    }
    (tmp_path / "vg").mkdir()
    for name, data in files.items():
        (tmp_path / "vg" / name).write_bytes(data)
    images, reasons = found(tmp_path)
    numbers = {"1.tif": 1, "2.jfif": 2, "3.jpg.1": 3, "4.jpeg~": 4, "5.JPG?size=large": 5, "1620893517": 1620893517}
    assert images == {name: f"vg:{number}" for name, number in (numbers | {"6.txt": 6, "7.jpg": 7}).items()} | {
        "vg:13.jpg": "vg:13"
    }
    undecoded = "in a format that is not decoded"
    assert reasons == {
        **dict.fromkeys(("notes.txt", "8.json", "9", ".DS_Store"), NOT_AN_IMAGE),
        **dict.fromkeys(("10.zip", "11.heic", "12.svg"), undecoded),
        "cover.jpg": NOT_NAMED,
    }
    assert len(images) + len(reasons) == len(files)


def test_links_in_a_circle_and_to_nothing_do_not_stop_it(tmp_path):
    folder = tmp_path / "vg"
    folder.mkdir()
    (folder / "1.jpg").write_bytes(picture())
    for name, target in {"2.jpg": "2.jpg", "3.jpg": "4.jpg", "4.jpg": "3.jpg", "5.jpg": "gone.jpg"}.items():
        (folder / name).symlink_to(target)
    (folder / "again").symlink_to(folder)
    images, reasons = found(folder)
    assert images == {"1.jpg": "vg:1"}
    assert set(reasons) == {"2.jpg", "3.jpg", "4.jpg", "5.jpg"}
    assert all(reason.startswith("cannot be read (") for reason in reasons.values())


def test_a_folder_of_texts_has_no_image_and_one_without_a_name_asks_for_it(tmp_path):
    (tmp_path / "1.txt").write_text("a dog")
    with pytest.raises(DataError, match="has no image files"):
        image_files([str(tmp_path)])
    (tmp_path / "1.jpg").write_bytes(picture())
    with pytest.raises(UsageError, match="write source=DIR"):
        image_files([str(tmp_path)])
