"""A lock on a folder for one process at a time; a second process gets an error that names the first."""

import contextlib
import errno
import fcntl
import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, TextIO

from vlmt_cli.base.errors import VlmtError
from vlmt_cli.base.files import explained

LOCKS = ".locks"
"""The folder of the lock files, beside the folders that they are of: these are moved and replaced themselves."""
_held: dict[Path, "Claim"] = {}
_log = logging.getLogger(__name__)


class Claim:
    """A lock that this process holds. Sent to a child process, the child holds it as well, until both have ended."""

    def __init__(self, number: int) -> None:
        self.number, self.shared = number, False

    def __reduce__(self) -> tuple[Any, ...]:
        self.shared = True
        return _inherit, (DupFd(self.number),)


def _inherit(number: Any) -> Claim:
    return Claim(number.detach())


@contextlib.contextmanager
def claimed(folder: Path, todo: str = "wait until it has ended") -> Iterator[Claim]:
    """Keep other processes out of ``folder`` until the block ends; they need not wait to learn that it is in use.

    The kernel releases the lock when the last process that holds it ends, however it ends. A process that has claimed
    the folder already may do so again. It is an advisory lock (``flock``) on ``<parent>/.locks/<name>.lock``: processes
    of several machines see each other where the file system passes it on (NFS through its lock service, Lustre when it
    is mounted with ``flock``, not with ``localflock``). Where there are no such locks at all, a warning says so.

    Args:
        folder: need not exist.
        todo: what a process that finds it in use is advised to do.

    Raises:
        VlmtError: another process has claimed it: which, on which host, and since when.
    """
    path = folder.resolve()
    path = path.parent / LOCKS / f"{path.name}.lock"
    if path in _held:
        yield _held[path]
        return
    is_new = not path.parent.parent.exists()
    with explained(folder):
        file = _locked(path, folder, todo)
    with file:
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}))
        file.flush()
        claim = _held[path] = Claim(file.fileno())
        try:
            yield claim
        finally:
            del _held[path]
            if not claim.shared:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # others are there
                    path.parent.rmdir()
                    if is_new:
                        path.parent.parent.rmdir()


def _locked(path: Path, folder: Path, todo: str) -> TextIO:
    """Open and lock a file that whoever held it may remove at any time."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise VlmtError(f"is in use: {_holder(path)}", where=folder, todo=todo) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                file.close()
                raise
            _log.warning("%s: this file system has no locks; see to it that one process at a time is there", folder)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()


def _holder(path: Path) -> str:
    """Say who holds a lock."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} has held it since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):  # it is just writing that
        return "another process holds it"
