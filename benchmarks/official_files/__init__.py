"""Annotation files of all twelve datasets at the paper's full size (tables 7 and 8), from one seed.

The records have all fields of the official ones, at their usual length; the texts are
random English words. Images are shared among the datasets about as in table 1, so that
cleaning removes about what it removes from the real files. What no paper counts (objects
an image, words a sentence) is set by a look at real files.

Two departures from the real sizes: GuessWhat has as many *successful* games as table 8 has
games (15 % of the real ones failed), and Visual Genome has table 8's 1,437,931 training
questions plus twice 5,000 held out (really 1,445,322 in all).
"""

import json
from pathlib import Path

from .grounding import guesswhat, refcoco, refcoco_plus, refcocog, visual7w
from .questions import gqa, vg_qa, vqa
from .retrieval import coco, flickr30k
from .verification import nlvr2, snli_ve
from .world import make_world

__all__ = ["MANIFEST", "make", "make_world"]

FORMAT = 1
MANIFEST = "manifest.json"
WRITERS = {
    "vqa": vqa, "vg_qa": vg_qa, "gqa": gqa, "coco": coco, "flickr30k": flickr30k, "refcoco": refcoco,
    "refcoco+": refcoco_plus, "refcocog": refcocog, "visual7w": visual7w, "guesswhat": guesswhat,
    "snli_ve": snli_ve, "nlvr2": nlvr2,
}  # fmt: skip


def make(folder: Path, scale: float = 1.0, seed: int = 12) -> dict[str, int]:
    """Write ``folder/raw/<dataset>/<official file>`` for all twelve, or keep what a finished earlier call left.

    Returns:
        The number of records of every file. The manifest lists no file until all are written.
    """
    manifest = folder / MANIFEST
    wanted = {"format": FORMAT, "scale": scale, "seed": seed}
    if manifest.exists():
        found = json.loads(manifest.read_text())
        files: dict[str, dict[str, int]] = found.pop("files")
        if found == wanted and files and all(size(folder, name) == file["bytes"] for name, file in files.items()):
            return {name: file["records"] for name, file in files.items()}
    elif folder.exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder}: holds something else; choose another folder or empty it")
    folder.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({**wanted, "files": {}}))
    world = make_world(scale, seed)
    records: dict[str, int] = {}
    for name, writer in WRITERS.items():
        records |= {f"{name}/{file}": count for file, count in writer(folder / "raw" / name, world).items()}
    files = {name: {"records": count, "bytes": size(folder, name)} for name, count in records.items()}
    manifest.write_text(json.dumps({**wanted, "files": files}, indent=1))
    return records


def size(folder: Path, name: str) -> int:
    path = folder / "raw" / name
    return path.stat().st_size if path.exists() else 0
