"""The pages that people read, and the blocks of code in them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "cli.md"),
]
_BLOCK = re.compile(r"(?:<!-- (?P<marker>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, language and text, and the comment above it: what it needs, or what tests it."""

    page: str
    language: str
    text: str
    marker: str

    @property
    def commands(self) -> list[list[str]]:
        """Its command lines, as words, without comments."""
        return [words for line in self.text.splitlines() if (words := shlex.split(line, comments=True))]


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page.name, match["language"], match["text"], match["marker"] or "") for match in found]


ALL = [block for page in PAGES if page.exists() for block in blocks(page)]
