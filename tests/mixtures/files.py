"""A file of each form of mixture made from plain rows, and read again by other means than the readers'."""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[list[str]]
"""The images that each record shows, as names or addresses."""

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True)
class Maker:
    """A way to write a mixture.

    Args:
        name: of the file or folder.
        write: writes rows to a path, and returns them as they came out: not every form can say all.
        read: what a file holds of each record, in order.
        without: what is left of a record that loses the images at some positions; None where it goes as a whole.
    """

    name: str
    write: Callable[[Path, Rows], Rows]
    read: Callable[[Path], list[Any]]
    without: Callable[[Any, set[int]], Any] = lambda record, positions: None


def without_images(record: dict[str, Any], positions: set[int]) -> dict[str, Any] | None:
    left = [image for number, image in enumerate(record["images"]) if number not in positions]
    return {**record, "images": left} if left else None


def is_url(name: str) -> bool:
    return name.startswith("http")


def single(rows: Rows, takes: Callable[[str], bool] = lambda name: True, other: str = "private/7.jpg") -> Rows:
    """Take one image of each row; ``other`` where there is none that a form can say."""
    return [next(([name] for name in row if takes(name)), [other]) for row in rows]


def local(rows: Rows) -> Rows:
    return single(rows, lambda name: not is_url(name))


def llava(number: int, images: list[str]) -> dict[str, Any]:
    image = {} if not images else {"image": images[0]} if len(images) == 1 else {"image": images}
    turns = [{"from": "human", "value": "<image>\nWhat is it doing?"}, {"from": "gpt", "value": f'"{number}", [é'}]
    return {"id": f"r{number}", **image, "conversations": turns}


def messages(number: int, images: list[str]) -> dict[str, Any]:
    blocks = [{"type": "image_url", "image_url": {"url": name}} for name in images]
    return {"messages": [{"role": "user", "content": [*blocks, {"type": "text", "text": f"{number}?"}]}]}


def pope(number: int, images: list[str]) -> dict[str, Any]:
    return {"question_id": number, "image": images[0], "text": "Is there a [dog]?"}


def _text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _json(name: str, record: Callable[[int, list[str]], Any], indent: int | None = None, one: bool = False) -> Maker:
    is_lines = ".jsonl" in name

    def write(path: Path, rows: Rows) -> Rows:
        rows = single(rows) if one else rows
        records = [record(number, images) for number, images in enumerate(rows)]
        lines = "".join(json.dumps(each) + "\r\n" for each in records)
        text = (lines if is_lines else json.dumps(records, indent=indent, ensure_ascii=False)).encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return rows

    def read(path: Path) -> list[Any]:
        text = _text(path)
        return [json.loads(line) for line in text.splitlines()] if is_lines else json.loads(text)

    return Maker(name, write, read)


def _write_coco(path: Path, rows: Rows) -> Rows:
    rows = local(rows)
    images = [{"id": n * 3, "file_name": name} for n, (name,) in enumerate(rows)]
    said = [{"image_id": image["id"], "caption": f"}}] {n}"} for n in (0, 1) for image in images]
    path.write_text(json.dumps({"info": {"year": 2014}, "images": images, "annotations": said, "licenses": []}))
    return rows


def _read_coco(path: Path) -> list[Any]:
    whole = json.loads(path.read_text())
    said: dict[int, list[Any]] = {image["id"]: [] for image in whole["images"]}
    for each in whole["annotations"]:
        said[each["image_id"]].append(each)
    return [(image, said[image["id"]]) for image in whole["images"]]


def _columns(rows: Rows, as_structs: bool) -> pa.Table:
    structs = [[{"bytes": b"%d" % n, "path": name} for name in row] for n, row in enumerate(rows)]
    images = pa.array(structs, pa.list_(STRUCT)) if as_structs else pa.array(rows, pa.list_(pa.string()))
    return pa.table({"id": [f"r{n}" for n in range(len(rows))], "images": images, "n": range(len(rows))})


def _parquet(as_structs: bool) -> Maker:
    def write(path: Path, rows: Rows) -> Rows:
        pq.write_table(_columns(rows, as_structs), path, row_group_size=2)
        return rows

    return Maker("mix.parquet", write, lambda path: pq.read_table(path).to_pylist(), without_images)


def _write_saved(path: Path, rows: Rows) -> Rows:
    path.mkdir()
    names = ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    table = _columns(rows, True)
    for name, part in zip(names, (table[:2], table[2:]), strict=True):
        with pa.ipc.new_stream(str(path / name), table.schema) as writer:
            writer.write_table(part)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    return rows


def _read_saved(path: Path) -> list[Any]:
    shards = [pa.ipc.open_stream(file.read_bytes()).read_all() for file in sorted(path.glob("*.arrow"))]
    return [row for shard in shards for row in shard.to_pylist()]


def _write_arrow(path: Path, rows: Rows) -> Rows:
    table = _columns(rows, False)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return rows


def _read_arrow(path: Path) -> list[Any]:
    return pa.ipc.open_file(str(path)).read_all().to_pylist()


def _tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w:") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def _write_webdataset(path: Path, rows: Rows) -> Rows:
    rows = local(rows)
    members = {}
    for number, (name,) in enumerate(rows):
        members[f"r{number}/{name}"] = b"%d" % number * 600
        members[f"r{number}/{name.rpartition('.')[0]}.txt"] = b"said"
    _tar(path, members)
    return rows


def _read_tar(path: Path) -> list[Any]:
    by_stem: dict[str, list[Any]] = {}
    with tarfile.open(path) as file:
        for info in file.getmembers():
            data = file.extractfile(info).read()  # type: ignore[union-attr]
            by_stem.setdefault(info.name.rpartition(".")[0], []).append((info.name, data))
    return list(by_stem.items())


def _write_img2dataset(path: Path, rows: Rows) -> Rows:
    rows = single(rows, is_url, "http://a.org/7.jpg")
    said = [{"key": f"{n:09}", "url": name, "status": "success"} for n, (name,) in enumerate(rows)]
    members = {}
    for each in said:
        members[f"{each['key']}.jpg"] = b"picture"
        members[f"{each['key']}.json"] = json.dumps(each).encode()
    _tar(path, members)
    failed = {"key": "999999999", "url": "http://a.org/gone.jpg", "status": "failed_to_download"}
    pq.write_table(pa.Table.from_pylist([*said, failed]), path.with_suffix(".parquet"))
    return rows


def _read_img2dataset(path: Path) -> list[Any]:
    table = pq.read_table(path.with_suffix(".parquet")).to_pylist()
    assert table[-1]["status"] == "failed_to_download"
    return list(zip(_read_tar(path), table[:-1], strict=True))


def _table(name: str, header: bool = True) -> Maker:
    delimiter = "\t" if ".tsv" in name else ","

    def write(path: Path, rows: Rows) -> Rows:
        rows = single(rows) if header else single(rows, is_url, "http://a.org/7.jpg")
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        if header:
            writer.writerow(["id", "file_name", "url", "caption"])
        for number, (image,) in enumerate(rows):
            said = f"{number}, a dog" if delimiter == "\t" else f'{number}, "a\ndog"'
            named = [f"r{number}", "", image] if is_url(image) else [f"r{number}", image, ""]
            writer.writerow([*(named if header else [image]), said])
        text = file.getvalue().encode()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return rows

    def read(path: Path) -> list[Any]:
        return list(csv.reader(io.StringIO(_text(path).decode(), newline=""), delimiter=delimiter))[header:]

    return Maker(name, write, read)


def _write_folder(path: Path, rows: Rows) -> Rows:
    path.mkdir()
    rows = [[name for name in row if not is_url(name)] or ["private/7.jpg"] for row in rows]
    lines = [json.dumps({"file_names": row, "text": f"{n}"}) + "\n" for n, row in enumerate(rows)]
    (path / "metadata.jsonl").write_text("".join(lines))
    _write_images(path, rows)
    return rows


def _write_images(path: Path, rows: Rows) -> Rows:
    names = sorted({name for row in local(rows) for name in row})
    for name in {*names, *(name for row in rows for name in row if not is_url(name))}:
        if name.startswith("/") or ".." in name or len(name) > 255:
            continue
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(name.encode())
    return [[name] for name in names]


def _read_folder(path: Path) -> list[Any]:
    rows = [json.loads(line) for line in (path / "metadata.jsonl").read_text().splitlines()]
    return [(row, [(path / name).read_bytes() for name in row["file_names"]]) for row in rows]


def _write_plain_folder(path: Path, rows: Rows) -> Rows:
    names = sorted({name for (name,) in local(rows)})
    _write_images(path, [[name] for name in names])
    return [[each.relative_to(path).as_posix()] for each in _files_of(path)]


def _files_of(path: Path) -> list[Path]:
    """The files of a folder: those of each folder first, as os.walk gives them."""
    return sorted(
        (each for each in path.rglob("*") if each.is_file()),
        key=lambda each: [(part != each.name, part) for part in each.relative_to(path).parts],
    )


def _read_plain_folder(path: Path) -> list[Any]:
    return [(each.relative_to(path).as_posix(), each.read_bytes()) for each in _files_of(path)]


def _write_lines(path: Path, rows: Rows) -> Rows:
    rows = single(rows)
    path.write_bytes(b"# mine\r\n" + b"".join(f"{name} {n}\r\n".encode() for n, (name,) in enumerate(rows)))
    return rows


def _write_names(path: Path, rows: Rows) -> Rows:
    rows = single(rows)
    path.write_text(json.dumps([name for (name,) in rows]))
    return rows


def _write_array(path: Path, rows: Rows) -> Rows:
    rows = single(rows)
    np.save(path, np.array([name for (name,) in rows]))
    return rows


MAKERS = {
    "llava": _json("mix.json", llava),
    "llava indented": _json("mix.json", llava, indent=2),
    "llava lines": _json("mix.jsonl", llava),
    "llava packed": _json("mix.json.gz", llava),
    "messages": _json("mix.json", messages),
    "messages lines": _json("mix.jsonl.gz", messages),
    "records": _json("mix.json", pope, one=True),
    "coco": Maker("mix.json", _write_coco, _read_coco),
    "parquet": _parquet(as_structs=False),
    "parquet structs": _parquet(as_structs=True),
    "arrow": Maker("mix", _write_saved, _read_saved, without_images),
    "arrow file": Maker("mix.arrow", _write_arrow, _read_arrow, without_images),
    "webdataset": Maker("mix.tar", _write_webdataset, _read_tar),
    "webdataset packed": Maker("mix.tgz", _write_webdataset, _read_tar),
    "img2dataset": Maker("00000.tar", _write_img2dataset, _read_img2dataset),
    "table": _table("mix.csv"),
    "table of tabs": _table("mix.tsv.gz"),
    "table without header": _table("mix.tsv", header=False),
    "image_folder": Maker("mix", _write_folder, _read_folder),
    "image_folder plain": Maker("mix", _write_plain_folder, _read_plain_folder),
    "image_list": Maker("mix.txt", _write_lines, lambda path: path.read_text().splitlines()[1:]),
    "image_list names": Maker("mix.json", _write_names, lambda path: json.loads(path.read_text())),
    "image_list array": Maker("mix.npy", _write_array, lambda path: np.load(path).tolist()),
}
"""By form, and how it is laid out."""
