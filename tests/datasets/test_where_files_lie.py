"""Official files as they are downloaded: in zip archives, or a folder deeper."""

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from handmade import official, write

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.flickr30k_entities import image_sizes
from vlmt_cli.datasets.official import fingerprint, missing_files, raw_files, sha256_of
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.prepare import prepare
from vlmt_cli.datasets.source import find, read_json
from vlmt_cli.datasets.unread import unread_files

PAIR = {
    "identifier": "dev-0-0-0",
    "sentence": "A dog.",
    "label": "True",
    "left_url": "http://a/1",
    "right_url": "http://a/2",
}
LINE = json.dumps(PAIR).encode()


def plain(raw: Path) -> None:
    raw.mkdir(parents=True)
    (raw / "dev.json").write_bytes(LINE)


def deeper(raw: Path) -> None:
    plain(raw / "data")


def zipped(raw: Path, name: str = "nlvr2/data/dev.json", data: bytes = LINE) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(raw / "nlvr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"__MACOSX/{name}", b"")
        archive.writestr(name, data)


def zipped_deeper(raw: Path) -> None:
    zipped(raw / "downloads")


@pytest.mark.parametrize("put", [deeper, zipped, zipped_deeper])
def test_files_are_read_where_downloads_leave_them(tmp_path: Path, put) -> None:
    plain(tmp_path / "plain" / "raw" / "nlvr2")
    put(tmp_path / "other" / "raw" / "nlvr2")
    made = [prepare(tmp_path / data, ["nlvr2"], Options())["nlvr2"].manifest for data in ("plain", "other")]
    assert made[0].example_hashes == made[1].example_hashes and made[0].sha256 == made[1].sha256
    assert missing_files(tmp_path / "other", "nlvr2") == missing_files(tmp_path / "plain", "nlvr2")


def test_what_is_unpacked_later_is_the_same_file(tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "nlvr2"
    zipped(raw)
    before, [path] = fingerprint(tmp_path, "nlvr2"), raw_files(tmp_path, "nlvr2")
    assert path == raw / "nlvr.zip" / "nlvr2/data/dev.json"
    (raw / "dev.json").write_bytes(LINE)
    assert raw_files(tmp_path, "nlvr2") == [raw / "dev.json"]
    assert fingerprint(tmp_path, "nlvr2")["dev.json"][0] == before["dev.json"][0]
    assert sha256_of(path) == sha256_of(raw / "dev.json")


def test_folders_of_an_archive_are_read_as_they_are(tmp_path: Path) -> None:
    name, files = "flickr30k_entities", official("flickr30k_entities")
    write(tmp_path / "plain" / "raw" / name, files)
    raw = write(tmp_path / "zip" / "raw" / name, {"train.txt": files.pop("train.txt")})
    for folder, others in ((raw / "flickr30k_entities-master", ()), (tmp_path / "zip" / "raw" / "flickr30k", ("a",))):
        folder.mkdir()
        with zipfile.ZipFile(folder / "annotations.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file, text in files.items():
                archive.writestr(f"__MACOSX/{file}", b"")
                archive.writestr(file, text)
            for file in others:
                archive.writestr(file, "b")
    made = [prepare(tmp_path / data, [name], Options())[name].manifest for data in ("plain", "zip")]
    assert made[0].example_hashes == made[1].example_hashes and made[0].sha256 == made[1].sha256
    assert made[0].splits["train"] == made[1].splits["train"] > 0
    keys = pa.array(["flickr30k:10", "flickr30k:99"])
    sizes = [image_sizes(tmp_path / data / "raw" / name, keys) for data in ("plain", "zip")]
    np.testing.assert_array_equal(*sizes)
    [unread] = unread_files(tmp_path / "zip")
    assert unread.what.startswith("an archive that holds Annotations, Sentences")
    assert unread.todo == "put it into raw/flickr30k_entities"
    (tmp_path / "plain" / "raw" / name / "Sentences" / "a.txt").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"Sentences: a file of it cannot be read \(No such file or directory: a.txt\)"):
        prepare(tmp_path / "plain", [name], Options())
    data = bytearray((archive := raw / "flickr30k_entities-master" / "annotations.zip").read_bytes())
    data[data.index(b"Annotations/11.xml") + 20] ^= 255
    archive.write_bytes(data)
    with pytest.raises(DataError, match=r"Annotations/11.xml: cannot be read from its archive"):
        prepare(tmp_path / "zip", [name], Options())


def test_a_bomb_a_climbing_name_and_a_damaged_archive_are_refused(tmp_path: Path) -> None:
    zipped(tmp_path / "bomb", "dev.json", b"0" * (65 << 20))
    zipped(tmp_path / "climbing", "../../dev.json")
    for folder, says in (("bomb", "unpacks to more than 100 times"), ("climbing", "climbs out of its folder")):
        path = find(tmp_path / folder, "dev.json")
        assert path is not None
        with pytest.raises(DataError, match=says):
            read_json(path, list)
    zipped(tmp_path / "changed")
    archive = tmp_path / "changed" / "nlvr.zip"
    path = find(tmp_path / "changed", "dev.json")
    data = bytearray(archive.read_bytes())
    data[data.index(b"dev.json", 100) + 12] ^= 255
    archive.write_bytes(data)
    with pytest.raises(DataError, match="cannot be read from its archive"):
        read_json(path, list)
    archive.write_bytes(b"PK\x03\x04")
    os.utime(archive, ns=(1, 1))
    assert find(tmp_path / "changed", "dev.json") is None
