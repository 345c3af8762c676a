"""The taggers of ``vlmt vgc`` on texts tagged by hand: F1 of nouns, of adjectives, and of both together.

    python benchmarks/tagger.py

writes its section of ``benchmarks/RESULTS.md``. The texts are those of ``tests/data/tagged_texts.json``. spaCy's
en_core_web_sm is measured where it is installed.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vlmt_cli.analysis.consistency.concepts import LEXICON, SPACY, Tagger, load_tagger
from vlmt_cli.base.errors import DataError

TEXTS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "tests" / "data" / "tagged_texts.json").read_text(encoding="utf-8")
)["texts"]
SECOND_DRAW = [text for text in TEXTS if text["source"] in ("vqa2", "regions2")]
"""Drawn and tagged after the built-in tagger was finished."""


def f1(tagger: Tagger, texts: Sequence[Mapping[str, Any]], *parts: str) -> float:
    """F1 of the words of these parts of speech; of both together, it does not matter which is which."""
    hits = found = right = 0
    for text, words in zip(texts, tagger([text["text"] for text in texts]), strict=True):
        ours = Counter(text["text"][w.start : w.end].lower() for w in words if w.part in parts)
        ours = Counter({word: n for word, n in ours.items() if word not in text["open"]})
        theirs = Counter(word for part in parts for word in text[f"{part}s"])
        hits += (ours & theirs).total()
        found += ours.total()
        right += theirs.total()
    return 2 * hits / (found + right)


def main() -> None:
    """Measure, print and write."""
    from results import write_section

    lines = [
        "## Taggers for MT-VGC",
        "",
        f"F1 on the {len(TEXTS)} texts of `tests/data/tagged_texts.json`, and on the {len(SECOND_DRAW)} of them that"
        " were sampled and tagged after the built-in tagger was finished (`python benchmarks/tagger.py`).",
        "",
        "| tagger | texts | nouns | adjectives | both together |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in (LEXICON, SPACY):
        try:
            tagger = load_tagger(name)
        except DataError as error:
            lines.append(f"| {name} | not measured: {error.what} | | | |")
            continue
        for texts in (TEXTS, SECOND_DRAW):
            scores = (f1(tagger, texts, *parts) for parts in (("noun",), ("adjective",), ("noun", "adjective")))
            lines.append(f"| {name} | {len(texts)} | {' | '.join(f'{score:.3f}' for score in scores)} |")
    write_section("tagger", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
