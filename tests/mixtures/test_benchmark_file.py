"""Benchmarks' files: their test splits alone, pictures that are damaged, and files that are something else."""

import base64
import io
import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlmt_cli.base.errors import DataError
from vlmt_cli.clean.own_index import Lost, index_of_file
from vlmt_cli.mixtures.benchmark_file import hashes_of, read_benchmark

NAMES = [f"COCO_val2014_{number:012d}.jpg" for number in range(6)]
SPLITS = ["Test", "train", "testB", "train", None, "Test"]


def saved(folder, form, **columns):
    table, path = pa.table(columns), folder / f"x.{form}"
    if form == "parquet":
        pq.write_table(table, path)
    elif form == "csv":
        pa.csv.write_csv(table, path)
    elif form == "tsv":
        rows = [table.column_names, *zip(*table.to_pydict().values(), strict=True)]
        path.write_text("".join("\t".join(str(each or "") for each in row) + "\n" for row in rows))
    elif form == "arrow":
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in table.to_pylist()))
    return path


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv", "tsv", "jsonl"])
def test_the_test_splits_alone_are_taken_whatever_the_form(tmp_path, form):
    path = saved(tmp_path, form, file_name=NAMES, question=["q"] * 6, split=SPLITS)
    shown = read_benchmark(path, only_test=True)
    assert [names[0] for names in shown.names] == [NAMES[0], NAMES[2], NAMES[5]] and shown.splits == ("Test", "testB")
    assert len(read_benchmark(path)) == 6
    kinds = saved(tmp_path, form, file_name=NAMES, question=["q"] * 6, subset=["test of sight", "counting", "x"] * 2)
    assert len(read_benchmark(kinds, only_test=True)) == 6


def test_fields_are_those_of_all_forms(tmp_path):
    rows = [{"Image": NAMES[0]}, {"image_1": NAMES[1], "image_2": NAMES[2], "question": "q"}]
    rows += [{"left_url": "http://a/1", "right_url": "http://a/2"}, {"imagePath": NAMES[3], "image_id": 3}]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    shown = read_benchmark(path)
    assert shown.names == [[NAMES[0]], [NAMES[1]], [NAMES[2]], [], [], [NAMES[3], "3"]]
    assert shown.urls[3:5] == [["http://a/1"], ["http://a/2"]] and shown.texts[1:3] == [["q"], ["q"]]


@pytest.mark.parametrize("closed", ["", '"'])
def test_a_quotation_that_runs_on_over_other_rows_is_named(tmp_path, closed):
    path, rows = tmp_path / "x.tsv", [f"{n}\tq\t{name}" for n, name in enumerate(NAMES)]
    said = '0\t"two lines,\nor\tthree\n"\t' + NAMES[0] + '\n1\t"one\n"\t' + NAMES[1]
    path.write_text("\n".join(["index\tquestion\timage", said, *rows]))
    assert len(read_benchmark(path)) == 8
    path.write_text(
        "\n".join(["index\tquestion\timage", said, '0\t"a 5\tx.jpg', *rows[:2], f"1\t{closed}b{closed}\tx.jpg"])
    )
    with pytest.raises(DataError, match=r"x\.tsv: line 7: opens a quotation that runs on over other rows; close it"):
        read_benchmark(path)
    path.write_text("\n".join(["index\tquestion\timage", '0\t"a 5\tx.jpg', f'1\t"b"\t{NAMES[0]}', *rows]))
    with pytest.raises(DataError, match=r"x\.tsv: line 2: opens a quotation"):
        read_benchmark(path)


def test_of_a_saved_dataset_the_folders_are_the_splits(tmp_path):
    for split, names in (("train", NAMES[:4]), ("test", NAMES[4:])):
        (folder := tmp_path / "d" / split).mkdir(parents=True)
        saved(folder, "arrow", file_name=names).rename(folder / "data.arrow")
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    (tmp_path / "d/dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    shown = read_benchmark(tmp_path / "d", only_test=True)
    assert [names[0] for names in shown.names] == NAMES[4:] and shown.splits == ("test",)


def picture(side, color):
    Image.effect_noise((side, side), 60).convert("RGB").save(file := io.BytesIO(), "PNG" if color else "JPEG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("form", ["tsv", "jsonl"])
def test_pictures_that_cannot_be_unpacked_are_counted(tmp_path, form):
    whole = [picture(9, 0), picture(90, 1), picture(40, 0).rstrip("=").replace("+", "-").replace("/", "_")]
    bad = ["anVuaw", "", whole[1][:-9] + "%%%", whole[0][:301] + "!"]  # four letters of something, nothing, two cut
    path = saved(tmp_path, form, index=[str(n + 700) for n in range(8)], image=[*bad, *whole, "705"])
    marks = []
    shown = read_benchmark(path, lambda data: marks.append(data) or hashes_of(data))
    assert (len(shown), sum(shown.damaged), sum(map(bool, shown.hashes))) == (7, 3, 4)
    assert [len(data) for data in marks] == [len(base64.b64decode(each + "==", "-_")) for each in whole] + [4]
    index, lost = index_of_file("b", path, None, images=True)
    assert (lost, index.benchmarks["b"].of, index.known["b"]) == (Lost(0, 0, 3), 7, 4)


def test_a_name_beside_pictures_is_a_name(tmp_path):
    values = [picture(30, 0), NAMES[3], NAMES[4][:-4], "images/x.png", "17", {"bytes": "@@@", "path": None}, "@@@"]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"id": f"q{n}", "image": each}) + "\n" for n, each in enumerate(values)))
    index, lost = index_of_file("b", path, None, images=True)
    assert (lost, index.known["b"]) == (Lost(2, 1, 2), 3)
    path.write_text(json.dumps({"image": "%" * 5_000}))
    with pytest.raises(DataError, match="has no picture that can be unpacked; get the file again"):
        index_of_file("b", path, None, images=True)


def test_what_is_no_file_of_a_benchmark_is_said_with_what_to_do(tmp_path):
    record = json.dumps({"image": NAMES[0]})
    for data, said in {
        record.encode("utf-16"): "is UTF-16 text; save it as UTF-8",
        b"PK\x03\x04\0\0": "is a zip archive; unpack it",
        b"\xfd7zXZ\x00\x01": "is packed with xz; unpack it",
        b"version https://git-lfs.github.com/spec/v1\nsize 1\n": "a Git LFS pointer; fetch the file itself with",
        f"{record}\n{{bad\n".encode(): r":2: is not valid JSON .*; correct the line",
        record[:-3].encode(): "is not valid JSON .*; get the file again",
    }.items():
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(DataError, match=said):
            read_benchmark(tmp_path / "x")
