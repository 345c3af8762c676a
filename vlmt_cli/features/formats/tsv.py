"""Tab-separated features of bottom-up attention and of LXMERT: a line an image, arrays in base64.

trainval_resnet101_faster_rcnn_genome.tsv (bottom-up attention; test2015 and others likewise), without a header
    image_id, image_w, image_h, num_boxes, boxes, features; vilbert_beta's form has cls_prob after them
    150367 <TAB> 640 <TAB> 480 <TAB> 36 <TAB> base64 of float32 (36, 4) <TAB> base64 of float32 (36, 2048)
train2014_obj36.tsv (LXMERT), without a header
    img_id, img_h, img_w, objects_id, objects_conf, attrs_id, attrs_conf, num_boxes, boxes, features
    COCO_train2014_000000132417 <TAB> 333 <TAB> 500 <TAB> ... <TAB> 36 <TAB> base64 <TAB> base64

From https://github.com/peteanderson80/bottom-up-attention and https://github.com/airsplay/lxmert.

Traps: LXMERT has height before width, and so have some tools that wrote the shorter form: it is taken for granted only
where the first boxes fit. Lines are longer than csv allows. LXMERT keeps the best class a box only: no class scores.
Python 3 may have written b'...' around base64. A byte order mark may stand before the first line.
"""

from codecs import BOM_UTF8
from collections.abc import Generator, Sequence
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path

from vlmt_cli.base.errors import DataError
from vlmt_cli.base.opening import open_file
from vlmt_cli.base.words import count
from vlmt_cli.features.formats.entry import Entry, PackOptions, assemble, numbers, whole
from vlmt_cli.features.record import Regions, is_within, problem

SHORT = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
LXMERT = (
    "img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes", "boxes", "features"
)  # fmt: skip
_LONGEST = 1 << 26
_PROBED = 20
_SWAPPED = {"image_w": "image_h", "image_h": "image_w"}


def entries(path: Path, options: PackOptions) -> Generator[Entry]:
    """Read the file line by line. Raises a DataError when its first line has the fields of neither form."""
    size = max(1, path.stat().st_size)
    with _opened(path) as file:
        names, has_header = layout(path)
        if has_header:
            file.readline(_LONGEST)
        done = file.tell()
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1 + has_header):
            done += len(line)
            name = line.partition(b"\t")[0].decode(errors="backslashreplace").strip()
            if line.strip():
                yield Entry(name or f"line {number}", partial(_read, line, names), done / size)


def _opened(path: Path) -> BufferedReader:
    """Open a file behind its byte order mark."""
    file = open_file(path)
    if file.read(len(BOM_UTF8)) != BOM_UTF8:
        file.seek(0)
    return file


def layout(path: Path) -> tuple[Sequence[str], bool]:
    """Return the names of a file's fields, and whether its first line gives them. Raises a DataError."""
    with _opened(path) as file:
        begin = file.tell()
        first = _fields(file.readline(_LONGEST))
        if first and first[0] in (b"image_id", b"img_id"):
            return [name.decode(errors="backslashreplace") for name in first], True
        if len(first) == len(LXMERT):
            return LXMERT, False
        if len(first) in (2, 3) and first[-1].lstrip()[:1] in (b"{", b"[", b'"'):
            raise DataError(
                "is a TSV of Oscar or VinVL, a key and JSON a line, which does not say how large images are",
                where=path,
                todo="pack the features that they were made of: bottom-up attention's TSV, or LXMERT's",
            )
        if len(first) not in (len(SHORT), len(SHORT) + 1):
            raise DataError(
                f"its first line has {count(len(first), 'field')}; bottom-up attention has 6 or 7, LXMERT 10",
                where=path,
                todo="name the format with --format, or write the names of the fields into its first line",
            )
        file.seek(begin)
        names = (*SHORT, "cls_prob")[: len(first)]
        swapped = tuple(_SWAPPED.get(name, name) for name in names)
        fits = {names: 0, swapped: 0}
        for line in islice(iter(lambda: file.readline(_LONGEST), b""), _PROBED):
            for order in fits:
                fits[order] += _fits(line, order)
    return max(fits, key=lambda order: fits[order]), False


def _fits(line: bytes, names: Sequence[str]) -> bool:
    try:
        regions = _read(line, names)
        return problem(regions) is None and is_within(regions)
    except ValueError:
        return False


def _fields(line: bytes) -> list[bytes]:
    return line.rstrip(b"\r\n").split(b"\t")


def _read(line: bytes, names: Sequence[str]) -> Regions:
    values = _fields(line)
    if len(values) != len(names):
        raise ValueError(f"the line has {len(values)} fields, not {len(names)}")
    record = dict(zip(names, values, strict=True))
    sizes = [
        whole(record.get(name, b"").decode(errors="replace"), name)
        for name in ("num_boxes", _prefixed(record, "w"), _prefixed(record, "h"))
    ]
    boxes, features = numbers(record.get("boxes"), "boxes"), numbers(record.get("features"), "features")
    if boxes.size != 4 * sizes[0]:
        raise ValueError(f"boxes are {boxes.size} numbers, not {4 * sizes[0]} for {sizes[0]} boxes")
    scores = record.get("cls_prob")
    return assemble(boxes, features, sizes[1], sizes[2], None if scores is None else numbers(scores, "cls_prob"))


def _prefixed(record: dict[str, bytes], side: str) -> str:
    return f"img_{side}" if f"img_{side}" in record else f"image_{side}"
