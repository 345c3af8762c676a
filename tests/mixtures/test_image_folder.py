"""Folders of images, with a table of metadata and without."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mixtures.records import damaged_of, images_of, texts_of, write_kept
from PIL import Image

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.mixtures.forms import FORMS


def folder_of(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


LINES = [
    b'{"file_name": "1.jpg", "text": "a bus"}\r\n',
    b'{"file_names": ["sub/2.png", "1.jpg"],   "text": null, "boxes": [[1, 2]]}\n',
    b"not JSON\n",
    b'{"file_name": "3.jpg"}',
]
FILES = {"1.jpg": b"one", "sub/2.png": b"two", "3.jpg": b"three", "4.jpg": b"four", "README": b"read"}


def test_lines_of_metadata(tmp_path):
    folder = folder_of(tmp_path / "a", {**FILES, "metadata.jsonl": b"".join(LINES[:1]) + b"\n" + b"".join(LINES[1:])})
    assert FORMS["image_folder"].is_form(folder, b"")
    assert images_of(folder, "image_folder", data=True) == [
        (0, 0, {"name": "1.jpg", "data": b"one"}),
        (1, 0, {"name": "sub/2.png", "data": b"two"}),
        (1, 1, {"name": "1.jpg", "data": b"one"}),
        (3, 0, {"name": "3.jpg", "data": b"three"}),
    ]
    assert texts_of(folder, "image_folder") == [["a bus"], [], [], []]
    assert list(damaged_of(folder, "image_folder")) == [2]
    write_kept(folder, "image_folder", [False, True, False, True], tmp_path / "b")
    assert files_of(tmp_path / "b") == {
        "1.jpg": b"one",
        "sub/2.png": b"two",
        "3.jpg": b"three",
        "metadata.jsonl": LINES[1] + LINES[3],
    }


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_metadata_without_a_record_beside_images_is_refused(tmp_path, kind):
    folder = folder_of(tmp_path / "a", {f"metadata.{kind}": b"file_name,text\n" if kind == "csv" else b"\n"})
    if kind == "parquet":
        pq.write_table(pa.table({"file_name": pa.array([], pa.string())}), folder / "metadata.parquet")
    assert images_of(folder, "image_folder") == []
    folder_of(folder, {"sub/2.png": b"two"})
    with pytest.raises(DataError, match=rf"metadata\.{kind}: has no record, and images lie beside it, such as 'sub/2"):
        images_of(folder, "image_folder")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_of_metadata(tmp_path, kind):
    folder = folder_of(tmp_path / "a", {**FILES, "metadata.csv": b"file_name,text\n1.jpg,a\n3.jpg,b\n"})
    if kind == "parquet":
        (folder / "metadata.csv").unlink()
        pq.write_table(pa.table({"file_name": ["1.jpg", "3.jpg"], "text": ["a", "b"]}), folder / "metadata.parquet")
    assert [image["data"] for _, _, image in images_of(folder, "image_folder", data=True)] == [b"one", b"three"]
    write_kept(folder, "image_folder", [False, True], tmp_path / "b")
    assert images_of(tmp_path / "b", "image_folder") == [(0, 0, {"name": "3.jpg"})]
    assert sorted(files_of(tmp_path / "b")) == ["3.jpg", f"metadata.{kind}"]


def test_images_without_metadata(tmp_path):
    folder = folder_of(tmp_path / "a", {**FILES, ".hidden/5.jpg": b"hidden"})
    names = ["1.jpg", "3.jpg", "4.jpg", "sub/2.png"]
    assert images_of(folder, "image_folder") == [(n, 0, {"name": name}) for n, name in enumerate(names)]
    write_kept(folder, "image_folder", [True, False, False, True], tmp_path / "b")
    assert files_of(tmp_path / "b") == {"1.jpg": b"one", "sub/2.png": b"two"}
    assert (tmp_path / "b/1.jpg").stat().st_ino == (folder / "1.jpg").stat().st_ino
    with pytest.raises(UsageError, match=r"holds images of something else, such as '1\.jpg'; remove them"):
        write_kept(folder, "image_folder", [False, True, True, True], tmp_path / "b")  # they would be records again
    assert files_of(tmp_path / "b") == {"1.jpg": b"one", "sub/2.png": b"two"}
    assert not FORMS["image_folder"].is_form(folder_of(tmp_path / "c", {"README": b""}), b"")


def test_names_that_lead_out_and_files_that_are_missing(tmp_path):
    rows = [{"file_name": name} for name in ("../secret.jpg", "/etc/passwd", "gone.jpg", "1.jpg")]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    folder = folder_of(tmp_path / "a", {"../secret.jpg": b"secret", "1.jpg": b"one", "metadata.jsonl": lines})
    assert [image["data"] for _, _, image in images_of(folder, "image_folder", data=True)] == [b"one"]
    write_kept(folder, "image_folder", [True] * 4, tmp_path / "b/c")
    assert files_of(tmp_path / "b") == {"c/1.jpg": b"one", "c/metadata.jsonl": lines}

    (folder / "metadata.jsonl").write_bytes(b'{"x": 1}\n')
    with pytest.raises(DataError, match=r"no column that names an image \(its columns: x\)"):
        images_of(folder, "image_folder")
    with pytest.raises(DataError, match=r"no metadata\.jsonl, but a folder in it has; give .*/a and"):
        images_of(tmp_path, "image_folder")


def test_images_without_a_suffix_are_known_by_their_first_bytes(tmp_path):
    named = {"1620893517": "JPEG", "2.jpg.1": "PNG", "3": "TIFF", "4.img": "WEBP", "5": "BMP", "6": "GIF"}
    for name, form in named.items():
        Image.new("RGB", (8, 8), "red").save(tmp_path / name, form)
    folder_of(tmp_path, {"README": b"BM is text", "data.bin": bytes(64), "short": b"", "7.JPG": b"by its suffix"})
    os.mkfifo(tmp_path / "pipe")
    assert [row[2]["name"] for row in images_of(tmp_path, "image_folder")] == sorted([*named, "7.JPG"])
