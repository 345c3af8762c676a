"""What was there stays until what comes is complete."""

import errno
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from vlmt_cli.base import files
from vlmt_cli.base.errors import VlmtError


def test_a_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "notes.txt"
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), ValueError("no"), OSError(errno.EIO, "broken")])
def test_an_interrupted_write_leaves_the_old_file(tmp_path, trouble):
    path = tmp_path / "notes.txt"
    files.write_text(path, "old")
    with pytest.raises(type(trouble)), files.atomic(path) as temporary:
        temporary.write_text("half")
        raise trouble
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    files.write_parquet(path, pa.table({"a": [1]}))
    old = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(VlmtError, match="no space left") as caught:
        files.write_parquet(path, pa.table({"a": [2]}))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_moves_in_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "clean"
    with files.atomic_folder(folder) as new:
        (new / "a").write_text("1")
        (new / "b").write_text("1")
    (folder / "mine").write_text("kept")
    with pytest.raises(RuntimeError), files.atomic_folder(folder) as new:
        (new / "a").write_text("2")
        raise RuntimeError
    assert {file.name: file.read_text() for file in folder.iterdir()} == {"a": "1", "b": "1", "mine": "kept"}
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_folder_whose_replacement_fails_half_way_is_put_back(tmp_path, monkeypatch, failing):
    folder = tmp_path / "clean"
    folder.mkdir()
    (folder / "a").write_text("old")
    replace, calls = os.replace, []

    def fail(source, target):
        calls.append(target)
        if len(calls) == failing:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(folder) as new:
        (new / "a").write_text("new")
    assert (folder / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_process_put_aside_comes_back(tmp_path):
    aside, others, half = (
        tmp_path / name for name in (".clean.0123abcd.old", ".clean.2.0123abcd.old", ".clean.0123abcd.partial")
    )
    for folder in (aside, others, half):
        folder.mkdir()
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_folder(tmp_path / "clean"):
        raise RuntimeError
    assert (tmp_path / "clean" / "a").read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [others, tmp_path / "clean"]  # the folder clean.2 is another's


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / ".x.abcd.partial").write_text("half")
    (tmp_path / "x").write_text("whole")
    files.remove_leftovers(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


@pytest.fixture
def calls(monkeypatch):
    """What is asked of the disk, in order; every synced path by the name that it has then."""
    calls = []
    fsync, replace, rmtree = os.fsync, os.replace, shutil.rmtree

    def note_sync(number):
        fsync(number)
        calls.append(("sync", Path(f"/proc/self/fd/{number}").readlink()))

    def note_replace(source, target):
        replace(source, target)
        calls.append(("rename", Path(source), Path(target)))

    def note_rmtree(path, *arguments, **options):
        if Path(path).exists():
            calls.append(("remove", Path(path)))
        rmtree(path, *arguments, **options)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(shutil, "rmtree", note_rmtree)
    return calls


def test_a_file_survives_a_power_cut(tmp_path, calls):
    path = tmp_path / "new" / "notes.txt"
    files.write_text(path, "one")
    created, written, renamed, listed = calls
    assert created == ("sync", tmp_path)  # the name of the new folder
    assert written == ("sync", renamed[1]) and renamed[2] == path
    assert listed == ("sync", path.parent)


def test_a_folder_survives_a_power_cut_and_the_old_one_is_removed_last(tmp_path, calls):
    folder = tmp_path / "run"
    for text in ("old", "new"):
        calls.clear()
        with files.atomic_folder(folder) as new:
            (new / "part").mkdir()
            (new / "a").write_text(text)
            (new / "part" / "b").write_text(text)
        (folder / "metrics").write_text("kept")
    aside = calls[4][2]  # after three syncs in the folder and its own
    assert sorted(calls[:3]) == [("sync", new / "a"), ("sync", new / "part"), ("sync", new / "part" / "b")]
    assert calls.index(("sync", new / "part" / "b")) < calls.index(("sync", new / "part"))
    assert calls[3:] == [
        ("sync", new),
        ("rename", folder, aside),
        ("rename", new, folder),
        ("sync", tmp_path),
        ("rename", aside / "metrics", folder / "metrics"),
        ("sync", folder),
        ("remove", aside),
    ]


def test_a_file_is_written_where_directories_cannot_be_synced(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse_directories(number):
        if Path(f"/proc/self/fd/{number}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(number)

    monkeypatch.setattr(os, "fsync", refuse_directories)
    files.write_text(tmp_path / "notes.txt", "one")
    assert (tmp_path / "notes.txt").read_text() == "one"


def test_what_a_killed_process_left_of_a_file_goes_and_what_is_being_written_stays(tmp_path):
    dead = tmp_path / ".file.0123abcd.partial"
    dead.write_bytes(b"half")
    other = tmp_path / ".other.0123abcd.partial"
    other.write_bytes(b"half")
    with files.atomic(tmp_path / "file") as first:
        assert not dead.exists() and other.exists()
        first.write_bytes(b"first")
        with files.atomic(tmp_path / "file") as second:
            second.write_bytes(b"second")
        assert first.exists()
    assert (tmp_path / "file").read_bytes() == b"first"
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "file"]
