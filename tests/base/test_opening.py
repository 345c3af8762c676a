"""What stands in place of a file is refused at once."""

import os
import socket

import pytest

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import check_file, open_file, read_file


def test_a_file_and_a_link_to_one_are_read(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_file(tmp_path / "file") == read_file(str(tmp_path / "link")) == b"content"
    check_file(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "missing")


def test_pipes_sockets_devices_and_folders_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for path, kind in (("pipe", "pipe"), ("socket", "socket"), ("/dev/zero", "device"), (".", "folder")):
            for refuse in (check_file, open_file):
                with pytest.raises(DataError, match=f"is a {kind}, not a file"):
                    refuse(path)
