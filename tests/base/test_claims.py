"""One process at a time in a folder, and the second one knows why."""

import errno
import fcntl
import multiprocessing
import os
import platform
import re
import signal
import subprocess
import sys

import pytest

from vlmt_cli.base.claims import claimed
from vlmt_cli.base.errors import VlmtError

HOLD = """
import sys, time
from pathlib import Path
from vlmt_cli.base.claims import claimed
with claimed(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has claimed a folder which does not exist yet."""
    command = [sys.executable, "-c", HOLD, tmp_path / "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_process_learns_who_is_there(tmp_path, holder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
    said = f"is in use: process {holder.pid} on {re.escape(platform.node())} has held it since {since}; come back"
    for name in (tmp_path / "run", tmp_path / "other" / ".." / "run", tmp_path.relative_to(tmp_path) / "run"):
        with pytest.raises(VlmtError, match=said) as caught, claimed(name, "come back"):
            pass
        assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    with claimed(tmp_path / "another run"):
        pass


def test_a_claim_leaves_nothing_behind(tmp_path):
    with claimed(tmp_path / "runs" / "run"):
        assert list(tmp_path.rglob("*.lock"))
    assert not list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    for _ in range(2):
        with claimed(tmp_path / "run"), claimed(tmp_path / "run"):  # twice in one process
            pass


def _stay(claim, pipe):
    pipe.send("there")
    pipe.recv()


def test_a_child_keeps_what_its_parent_claimed(tmp_path):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with claimed(tmp_path / "run") as claim:
        child = context.Process(target=_stay, args=(claim, theirs))
        child.start()
        assert ours.recv() == "there"
    with pytest.raises(VlmtError, match="is in use"), claimed(tmp_path / "run"):
        pass
    ours.send("go")
    child.join()
    with claimed(tmp_path / "run"):
        pass


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with claimed(tmp_path / "run"):
        assert "this file system has no locks" in caplog.text
