"""LMDBs that are damaged at random, and what ``vlmt pack`` and ``vlmt doctor`` do with them.

    python benchmarks/damaged_lmdb.py [COUNT]

packs ``COUNT`` (300) damaged LMDBs of the authors' form, and examines as many damaged stores. Each is left to a child
process. Nothing but an error of one line may end a command, and what is packed must be what was there.
"""

import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import lmdb
import numpy as np

PAGE = 4096


def authors_lmdb(folder: Path, images: int = 150) -> dict[str, np.ndarray]:
    """Write an LMDB with small records, which lie in its leaves, and larger ones; returns each image's features."""
    rng = np.random.default_rng(0)
    # Every third has so many regions that its record lies on pages of its own.
    features = {f"coco:{n}": rng.random((2 if n % 3 else 60, 16), np.float32) for n in range(1, images + 1)}
    with lmdb.open(str(folder), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
        for key, value in features.items():
            boxes = np.tile(np.array([0, 0, 9, 9], "f4"), (len(value), 1))
            record = {"boxes": boxes, "features": value, "image_w": 20, "image_h": 20}
            transaction.put(key[5:].encode(), pickle.dumps(record))
    return features


def damage(file: Path, seed: int) -> None:
    """Damage a file in one of several ways."""
    rng = random.Random(seed)
    data = bytearray(file.read_bytes())
    pages = len(data) // PAGE
    at = rng.randrange(pages) * PAGE
    kind = seed % 6
    if kind == 0:  # some bytes
        for _ in range(rng.randint(1, 40)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 1:  # bytes of a page's header and nodes, where the pages are held together
        for _ in range(rng.randint(1, 12)):
            data[at + rng.randrange(64)] = rng.randrange(256)
    elif kind == 2:  # a page that was never written
        data[at : at + PAGE] = bytes(PAGE)
    elif kind == 3:  # a page in place of another
        other = rng.randrange(pages) * PAGE
        data[at : at + PAGE] = data[other : other + PAGE]
    elif kind == 4:  # noise
        data[at : at + PAGE] = rng.randbytes(PAGE)
    else:  # cut
        del data[rng.randrange(len(data)) :]
    file.write_bytes(data)


def pack_damaged(seed: int, folder: Path) -> str:
    """Pack a damaged LMDB and compare what was packed with what was there; returns what vlmt said."""
    from vlmt_cli.base.errors import VlmtError
    from vlmt_cli.features.pack import pack
    from vlmt_cli.features.store import FeatureStore

    features = authors_lmdb(folder / "source")
    damage(folder / "source" / "data.mdb", seed)
    try:
        packed = pack(folder / "source", folder / "store", image_source="coco")
    except VlmtError as error:
        return f"refused: {error}"
    store = FeatureStore(folder / "store")
    read = {key: store.read(key).features for key in features if key in store}
    changed = sum(not np.array_equal(read[key], features[key].astype("f2")) for key in read)
    store.close()
    left_out = sum(problem.count for problem in packed.problems.values())
    return f"packed {packed.images} of {len(features)}, {left_out} left out, {changed} changed"


def examine_damaged(seed: int, folder: Path) -> str:
    """Examine a damaged store; returns what vlmt said."""
    from vlmt_cli.base.errors import VlmtError
    from vlmt_cli.features.doctor import examine
    from vlmt_cli.features.pack import pack

    authors_lmdb(folder / "source")
    pack(folder / "source", folder / "store", image_source="coco")
    before = (folder / "store" / "data.mdb").read_bytes()
    damage(folder / "store" / "data.mdb", seed)
    is_same = before == (folder / "store" / "data.mdb").read_bytes()
    try:
        report = examine(folder / "store")
    except VlmtError as error:
        return f"refused: {error}"
    said = [*report.store_problems, *report.problems]
    return f"damaged: {said}" if said else f"sound, and {'it is' if is_same else 'unused bytes are damaged'}"


def try_all(name: str, first: int, count: int) -> None:
    """Try seeds from ``first`` on, and print a line each: for a child process, which shows where it died."""
    for seed in range(first, count):
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps([seed, TRIED[name](seed, Path(folder))]), flush=True)


TRIED = {"pack": pack_damaged, "doctor": examine_damaged}


def main() -> None:
    """Damage, pack and examine, in child processes."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    for name in TRIED:
        said: dict[str, int] = {}
        first = 0
        while first < count:  # a child goes on until it dies
            code = f"from benchmarks.damaged_lmdb import try_all; try_all({name!r}, {first}, {count})"
            environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
            child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
            for line in child.stdout.splitlines():
                seed, outcome = json.loads(line)
                kind = "".join("N" if letter.isdigit() else letter for letter in outcome.partition(":")[0])
                said[kind] = said.get(kind, 0) + 1
                first = seed + 1
            if child.returncode:
                print(f"{name}, seed {first}, ended with {child.returncode}: {child.stderr[-400:]}")
                first += 1
        print(name, said)


if __name__ == "__main__":
    main()
