"""vlmt: 12-in-1 multi-task vision and language learning, from clean data to understanding.

For notebooks: ``load_runs``, ``load_metrics`` and ``load_scores`` return what runs left as pandas frames.
"""

import time
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

BEGAN = time.perf_counter()
"""When the first import began, on the clock of ``time.perf_counter``."""

if TYPE_CHECKING:
    from vlmt_cli.analysis.frames import load_metrics, load_runs, load_scores

__all__ = ["__version__", "load_metrics", "load_runs", "load_scores"]

__version__ = version("vlmt")


def __getattr__(name: str) -> Any:
    """Import pandas only when a frame is asked for: ``vlmt --help`` needs none."""
    if name in ("load_metrics", "load_runs", "load_scores"):
        return getattr(import_module("vlmt_cli.analysis.frames"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
