"""Records go to a file as chunks of text, so that no file is ever whole in memory."""

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

from .arrays import CHUNK

Chunks = Iterator[list[str]]


def write(path: Path, *parts: str | Chunks, between: str = ", ") -> int:
    """Write text and chunks of records one after another; return the number of records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = 0
    with gzip.open(path, "wt", compresslevel=4) if path.suffix == ".gz" else path.open("w") as file:
        for part in parts:
            if isinstance(part, str):
                file.write(part)
                continue
            for number, chunk in enumerate(part):
                file.write((between if number else "") + between.join(chunk))
                records += len(chunk)
    return records


def batched(rows: Iterable[str]) -> Chunks:
    """Rows that come one by one, as chunks."""
    chunk: list[str] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == CHUNK // 5:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
