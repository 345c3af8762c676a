"""``RESULTS.md``: a section for each benchmark, between markers of its own."""

import re
from collections.abc import Sequence
from pathlib import Path

from vlmt_cli.base.files import write_text

RESULTS = Path(__file__).with_name("RESULTS.md")


def write_section(name: str, lines: Sequence[str]) -> None:
    """Replace the section of benchmark ``name``; the others stay as they are."""
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    section = "\n".join([start, *lines, end])
    text = RESULTS.read_text() if RESULTS.exists() else "# Benchmarks\n"
    if start in text:
        text = re.sub(f"{start}.*?{end}", lambda _: section, text, flags=re.DOTALL)
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    write_text(RESULTS, text)
