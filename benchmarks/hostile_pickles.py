"""Pickles made to harm whoever reads them, and what each way of reading one does with them.

    python benchmarks/hostile_pickles.py

reads sixty pickles a seed by every way in which vlmt reads a pickle, each in a child process, and says whether the
child died, hung, or took more memory than ``ROOM`` over the pickle's own size.
"""

import json
import os
import pickle
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOM = 1 << 30
SLOWEST = 5.0  # seconds of CPU
WAYS = ("bytes", "refs", "answers", "npy", "npz", "lmdb", "keys", "ids")


def hostile_pickles(seed: int) -> list[tuple[str, bytes]]:
    """Draw sixty pickles: what each attacks, and its bytes."""
    rng = random.Random(seed)
    made = [(kind.__name__, kind(rng)) for kind in KINDS for _ in range(3)]
    return (made * -(-60 // len(made)))[:60]


def _number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _bytes(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


_CORE = "numpy.core.multiarray"
_EMPTY = _global(_CORE, "_reconstruct") + _tuple(_global("numpy", "ndarray"), _tuple(b"K\0"), b"C\x01b") + b"R"


def _dtype(kind: str, state: bytes = b"") -> bytes:
    return _global("numpy", "dtype") + _tuple(_text(kind), b"\x89", b"\x88") + b"R" + state


def _array(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    return _EMPTY + _tuple(b"K\x01", shape, dtype, b"\x89", content) + b"b"


def names_a_function(rng: random.Random) -> bytes:
    module, name = rng.choice(
        [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("subprocess", "Popen"), ("nt", "system"),
         ("numpy.testing._private.utils", "runstring"), ("pickle", "loads"), ("importlib", "import_module")]
    )  # fmt: skip
    return b"\x80\x02" + _global(module, name) + _tuple(_text("touch RAN")) + b"R."


def hides_an_object_in_a_dtype(rng: random.Random) -> bytes:
    fields = _tuple(_text("a"), b"N")[1:-1]
    described = b"}" + _text("a") + _tuple(_dtype("O8"), b"K\0") + b"s"
    state = _tuple(b"K\x03", _text("|"), b"N", _tuple(fields), described, b"K\x08", b"K\x01", b"K\x10") + b"b"
    pointer = rng.randrange(1 << 47).to_bytes(8, "little")
    return b"\x80\x02" + _array(_tuple(b"K\x01"), _dtype("V8", state), _bytes(pointer)) + b"."


def flags_a_number_as_an_object(rng: random.Random) -> bytes:
    state = _tuple(b"K\x03", _text("|"), b"N", b"N", b"N", b"K\x08", b"K\x08", b"K\x3f") + b"b"
    pointer = rng.randrange(1 << 47).to_bytes(8, "little")
    return b"\x80\x02" + _array(_tuple(b"K\x01"), _dtype(rng.choice(["O8", "V8", "i8"]), state), _bytes(pointer)) + b"."


def has_too_few_objects(rng: random.Random) -> bytes:
    shape = _tuple(_number(rng.choice([2, 1000, 10**9])))
    return b"\x80\x02" + _array(shape, _dtype("O8"), b"](K\x01e") + b"."


def lies_about_the_shape(rng: random.Random) -> bytes:
    sides = [_number(rng.choice([-1, 2**31, 2**62, 10**12, 0, 3])) for _ in range(rng.randint(1, 40))]
    return b"\x80\x02" + _array(_tuple(*sides), _dtype(rng.choice(["f4", "i8", "U4"])), _bytes(b"\0" * 8)) + b"."


def has_elements_of_no_size(rng: random.Random) -> bytes:
    return b"\x80\x02" + _array(_tuple(_number(10**12)), _dtype(rng.choice(["S0", "U0", "V0"])), _bytes(b"")) + b"."


def has_letters_that_do_not_exist(rng: random.Random) -> bytes:
    raw = _bytes(rng.randrange(0x110000, 1 << 32).to_bytes(4, "little"))
    return b"\x80\x02" + _array(_tuple(b"K\x01"), _dtype("U1"), raw) + b"."


def calls_numpy_with_a_lie(rng: random.Random) -> bytes:
    name = rng.choice(["scalar", "_reconstruct"])
    arguments = rng.choice([_tuple(_dtype("O8"), _bytes(b"\1" * 8)), _tuple(_dtype("f8"), _bytes(b"")), _tuple(b"K\1")])
    return b"\x80\x02" + _global(_CORE, name) + arguments + b"R."


def decodes_for_ever(rng: random.Random) -> bytes:
    text = "".join(chr(rng.randrange(0x4E00, 0x9F00)) for _ in range(60_000))
    codec = rng.choice(["punycode", "idna", "unicode_escape", "uu"])
    return b"\x80\x02" + _global("_codecs", "encode") + _tuple(_text(text), _text(codec)) + b"R."


def remembers_too_much(rng: random.Random) -> bytes:
    numbers = [rng.choice([2**28, 2**31, 2**32 - 1]) for _ in range(3)]
    return b"\x80\x02]" + b"".join(b"r" + struct.pack("<I", number) for number in numbers) + b"."


def remembers_too_much_in_words(rng: random.Random) -> bytes:
    return b"]p" + str(rng.choice([2**28, 2**40, 10**30])).encode() + b"\n."


def is_longer_than_it_is(rng: random.Random) -> bytes:
    op = rng.choice([b"\x95", b"\x8e", b"\x8d", b"\x96"])
    return b"\x80\x05" + op + struct.pack("<Q", rng.choice([2**33, 2**40, 2**63 - 1])) + b"N."


def has_a_number_of_a_million_digits(rng: random.Random) -> bytes:
    digits = rng.randrange(10**6, 2 * 10**6)
    in_bytes = b"\x8b" + struct.pack("<i", digits) + b"\x7f" * digits
    return rng.choice([b"L" + b"9" * digits + b"L\n", b"I" + b"9" * digits + b"\n", in_bytes]) + b"."


def laughs_a_billion_times(rng: random.Random) -> bytes:
    """Lists of ten times the list before."""
    parts = [b"\x80\x02](" + b"K\x01" * 10 + b"eq\0"]
    for level in range(1, rng.randint(9, 40)):
        parts.append(b"](" + b"h" + bytes([level - 1]) + (b"h" + bytes([level - 1])) * 9 + b"eq" + bytes([level]))
    return b"".join(parts) + b"."


def hashes_for_ever(rng: random.Random) -> bytes:
    """A key of tuples of two times the tuple before."""
    parts = [b"\x80\x02}K\x01\x85q\0"]
    for level in range(1, rng.randint(40, 200)):
        parts.append(b"0h" + bytes([level - 1]) + b"h" + bytes([level - 1]) + b"\x86q" + bytes([level]))
    return b"".join(parts) + b"K\x01s."


def holds_itself(rng: random.Random) -> bytes:
    return rng.choice([b"\x80\x02]q\0h\0a.", b"\x80\x02}q\0K\x01h\0s.", b"\x80\x02]q\0(h\0h\0h\0e."])


def nests_very_deeply(rng: random.Random) -> bytes:
    depth = rng.randrange(10**5, 10**6)
    return b"\x80\x02" + rng.choice([b"]" * depth + b"a" * (depth - 1), b"N" + b"\x85" * depth, b"(" * depth]) + b"."


def asks_for_memory(rng: random.Random) -> bytes:
    return b"\x80\x02" + rng.choice([b"}", b"]", b"}\x94", b"(]"]) * rng.randrange(10**7, 2 * 10**7) + b"."


def repeats_a_long_text(rng: random.Random) -> bytes:
    return b"\x80\x02](" + _text("x" * 10**6) + b"q\0" + b"h\0" * rng.randrange(10**5, 10**6) + b"e."


def is_damaged(rng: random.Random) -> bytes:
    data = bytearray(
        pickle.dumps([{"image_id": 9, "boxes": np.ones((3, 4), "f4"), "text": "é"}] * 3, rng.randint(0, 5))
    )
    for _ in range(rng.randint(1, 30)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randint(1, len(data))])


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    names_a_function, hides_an_object_in_a_dtype, flags_a_number_as_an_object, has_too_few_objects,
    lies_about_the_shape, has_elements_of_no_size, has_letters_that_do_not_exist, calls_numpy_with_a_lie,
    decodes_for_ever, remembers_too_much, remembers_too_much_in_words, is_longer_than_it_is,
    has_a_number_of_a_million_digits, laughs_a_billion_times, hashes_for_ever, holds_itself, nests_very_deeply,
    asks_for_memory, repeats_a_long_text, is_damaged,
)  # fmt: skip


def read_by(way: str, data: bytes, folder: Path) -> object:
    """Read a pickle in one of ``WAYS``; ``folder`` is empty."""
    from vlmt_cli.base.pickles import loads, read_pickle

    if way == "bytes":
        return loads(data, "here")
    if way == "refs":
        from vlmt_cli.datasets.options import CleanOptions
        from vlmt_cli.datasets.refcoco import read_unc

        (folder / "refs(unc).p").write_bytes(data)
        (folder / "instances.json").write_text('{"images": [], "annotations": [], "categories": []}')
        return read_unc(folder, CleanOptions())
    if way == "answers":
        (folder / "trainval_label2ans.pkl").write_bytes(data)
        return read_pickle(folder / "trainval_label2ans.pkl")
    return _packed(way, data, folder)


def _packed(way: str, data: bytes, folder: Path) -> object:
    """Pack a sound image beside the pickle."""
    import h5py
    import lmdb

    from vlmt_cli.features.formats.entry import PackOptions
    from vlmt_cli.features.pack import pack

    sound = {"boxes": np.array([[0, 0, 9, 9]], "f4"), "features": np.ones((1, 4), "f4"), "image_w": 20, "image_h": 20}
    source, options, store = folder / way, None, folder / "store"
    if way in ("lmdb", "keys"):
        records = {b"9": pickle.dumps(sound), (b"10" if way == "lmdb" else b"keys"): data}
        with lmdb.open(str(source), map_size=1 << 30) as environment, environment.begin(write=True) as transaction:
            for key, value in records.items():
                transaction.put(key, value)
    elif way == "ids":
        source = folder / "train.hdf5"
        with h5py.File(source, "w") as file:
            file.update(features=np.ones((1, 1, 4), "f4"), boxes=np.full((1, 1, 4), [0, 0, 9, 9], "f4"))
            file.update(widths=[20], heights=[20])
        options = PackOptions(ids=folder / "ids.pkl")
        (folder / "ids.pkl").write_bytes(data)
    else:
        source.mkdir()
        np.savez(source / "9.npz", x=sound["features"], bbox=sound["boxes"], image_w=20, image_h=20)
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }\n"
        content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + data
        if way == "npy":
            (source / "10.npy").write_bytes(content)
        else:
            with zipfile.ZipFile(source / "10.npz", "w") as archive:
                archive.writestr("x.npy", content)
    return pack(source, store, image_source="coco", options=options)


def read_all(ways: Sequence[str], pickles: Sequence[tuple[str, bytes]]) -> None:
    """Read pickles one by one, in every way, and print a line before and after each.

    For a child process: whoever started it sees at which of them it died.
    """
    from vlmt_cli.base.errors import VlmtError

    for what, data in pickles:
        for way in ways:
            print(json.dumps({"what": what, "way": way}), flush=True)
            before, start = _peak(), time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    read_by(way, data, Path(folder))
                    said = "read"
                except VlmtError as error:
                    said = str(error)
                except Exception as error:
                    said = f"defect: {type(error).__name__}: {error}"
                took = time.process_time() - start
            over = _peak() - before - len(data)
            print(json.dumps({"what": what, "way": way, "said": said, "seconds": took, "over": over}), flush=True)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Read the pickles of some seeds in every way, a child process each, and print what went wrong."""
    for seed in map(int, sys.argv[1:] or ["0"]):
        names = [what for what, _ in hostile_pickles(seed)]
        readings, wrong = [], []
        for way in WAYS:
            first = 0
            while first < len(names):  # a child goes on until it dies
                lines, code, left = _child(way, seed, first)
                done = [line for line in lines if "said" in line]
                readings += done
                first += len(done)
                if code or left:
                    wrong.append(f"{way}: {names[min(first, len(names) - 1)]} ({first}), exit code {code}, {left}")
                    first += bool(code)
        wrong += [str(line) for line in readings
                  if "defect" in line["said"] or line["seconds"] > SLOWEST or line["over"] > ROOM]  # fmt: skip
        slowest, largest = (max(line[name] for line in readings) for name in ("seconds", "over"))
        most = f"at most {slowest:.1f} s of CPU, and {largest / 1e6:.0f} MB over the pickle's size"
        print(f"seed {seed}: {len(readings)} readings, {len(wrong)} wrong; {most}", *wrong, sep="\n")


def _child(way: str, seed: int, first: int) -> tuple[list[dict[str, Any]], int, list[str]]:
    """Read the pickles from ``first`` on in a child process: its lines, exit code and the files that it left."""
    code = f"from benchmarks.hostile_pickles import *; read_all([{way!r}], hostile_pickles({seed})[{first}:])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-c", code]
        child = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        left = [path.name for path in Path(folder).iterdir()]  # what a pickle ran would leave
    return [json.loads(line) for line in child.stdout.splitlines()], child.returncode, left


if __name__ == "__main__":
    main()
