"""A file that kills the process that opens it first."""

import os
import signal
from pathlib import Path

import pyarrow as pa


def open_or_die(address):
    """Open a file; at the first time this process is killed. ``address`` is its path."""
    marker = Path(f"{address}.opened")
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return pa.OSFile(address)
