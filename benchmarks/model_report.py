"""What the parts of ``model.py`` share: a clock, tables, and the section of RESULTS.md."""

import os
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from vlmt_cli.base.files import write_text

RESULTS = Path(__file__).with_name("RESULTS.md")
END = "<!-- model:end -->"
T = TypeVar("T")


def clock(device: str, call: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """Call, and take the seconds of wall time, and of CPU time of all threads."""
    if device == "cuda":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    if device == "cuda":
        torch.cuda.synchronize()
    return result, (time.perf_counter() - wall, time.process_time() - cpu)


def table(*names: str) -> list[str]:
    return [*row(*names), "|---" + "|---:" * (len(names) - 1) + "|"]


def row(*cells: str) -> list[str]:
    return [f"| {' | '.join(cells)} |"]


def machine_lines(device: str) -> list[str]:
    """Say what the measurements ran on."""
    names = [line.partition(":")[2].strip() for line in cpu_info().splitlines() if line.startswith("model name")]
    cpu = f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
    card = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}; " if device == "cuda" else ""
    threads = f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"
    return [f"{card}{cpu} ({threads}); Python {platform.python_version()}, torch {torch.__version__}."]


def cpu_info() -> str:
    info = Path("/proc/cpuinfo")
    return info.read_text() if info.exists() else ""


def has_bf16() -> bool:
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", cpu_info()) is not None


def write_part(name: str, lines: list[str]) -> None:
    """Replace one part of our section of RESULTS.md, or add it at the section's end."""
    start, end = f"<!-- model {name}:start -->", f"<!-- model {name}:end -->"
    part = "\n".join([start, *lines, end])
    text = RESULTS.read_text()
    before, found, rest = text.partition(start)
    if found:
        write_text(RESULTS, before + part + rest.partition(end)[2])
    else:
        write_text(RESULTS, text.replace(END, f"\n{part}\n{END}"))
