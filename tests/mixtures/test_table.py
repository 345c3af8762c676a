"""CSV and TSV, held against Python's own csv module."""

import csv
import gzip
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures.records import batches_of, damaged_of, ids_of, images_of, texts_of, write_kept

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures import table, table_records
from vlmt_cli.mixtures.forms import FORMS

CAPTIONS = b'a very typical bus station\thttp://a/1.jpg\n"a" bus, "new\thttp://a/2.jpg\r\ncaf\xc3\xa9\thttp://a/3.jpg'
PIXMO = (
    b'\xef\xbb\xbfimage_url,caption,uid\r\nhttp://a/1.jpg,"red, white\nand ""blue""",7\r\nhttp://a/2.jpg,5" wide,8\r\n'
)


def file_of(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_conceptual_captions_have_no_header(tmp_path, name):
    file = file_of(tmp_path / name, CAPTIONS)
    assert images_of(file, "table") == [(n, 0, {"url": f"http://a/{n + 1}.jpg"}) for n in range(3)]
    spans = np.concatenate([batch.spans for batch in batches_of(file, "table")])
    assert [CAPTIONS[start:end] for start, end in spans] == CAPTIONS.splitlines(keepends=True)
    write_kept(file, "table", [False, True, True], tmp_path / f"new-{name}")
    new = (tmp_path / f"new-{name}").read_bytes()
    assert (gzip.decompress(new) if name.endswith("gz") else new) == CAPTIONS.partition(b"\n")[2]


def test_a_header_names_the_columns(tmp_path):
    file = file_of(tmp_path / "a.csv", PIXMO)
    assert images_of(file, "table") == [(n, 0, {"url": f"http://a/{n + 1}.jpg"}) for n in range(2)]
    assert ids_of(file, "table") == ["7", "8"]
    assert texts_of(file, "table") == [['red, white\nand "blue"'], ['5" wide']]
    write_kept(file, "table", [False, True], tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes() == PIXMO[: PIXMO.index(b"\n") + 1] + b'http://a/2.jpg,5" wide,8\r\n'


CELL = st.text('ab,"\n é', max_size=6)


@settings(max_examples=60)
@given(
    cells=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=12), bits=st.integers(0, 4095), size=st.integers(1, 99)
)
def test_kept_records_stay_byte_for_byte_however_the_file_is_cut(tmp_path_factory, cells, bits, size):
    folder = tmp_path_factory.mktemp("csv")
    rows = [(f"{number}.jpg", *row) for number, row in enumerate(cells)]
    lines = []
    for row in rows:
        csv.writer(buffer := io.StringIO(newline=""), lineterminator="\n").writerow(row)
        lines.append(buffer.getvalue().encode())
    header = b"file_name,text,caption\n"
    file = file_of(folder / "a.csv", header + b"".join(lines))
    keep = [bool(bits >> number & 1) for number in range(len(rows))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_BYTES", size)
        assert [image["name"] for _, _, image in images_of(file, "table")] == [row[0] for row in rows]
        assert texts_of(file, "table") == [[cell for cell in row[1:] if cell] for row in rows]
        write_kept(file, "table", keep, folder / "b.csv")
    kept = [line for line, stays in zip(lines, keep, strict=True) if stays]
    assert (folder / "b.csv").read_bytes() == header + b"".join(kept)


def test_what_is_a_table(tmp_path):
    is_form = FORMS["table"].is_form
    for content in (CAPTIONS, PIXMO, b"URL\nhttp://a/1\n", b"coco/1.jpg\t1\ncoco/2.jpg\t2\n", b"id,url\n"):
        assert is_form(tmp_path / "a", content)
    for content in (b"", b"a.jpg\nb.jpg\n", b'{"a": 1, "url": "b.jpg"}\n', b'[{"url": 1}]', b"x,y\n1,2\n", b"url\0"):
        assert not is_form(tmp_path / "a", content)


def test_damaged_lines_are_named_and_the_others_are_read(tmp_path):
    content = b"url,text\nhttp://a/0,x\nhttp://a/1\nhttp://a/2,x,y\n\nhttp://a/4,\xff\rz\nhttp://\xff/5,x\n\xff\n"
    file = file_of(tmp_path / "a.csv", content)
    assert damaged_of(file, "table") == {
        1: "its line has 1 of 2 fields",
        2: "its line has 3 of 2 fields",
        6: "its line has 1 of 2 fields",
    }
    assert [(record, image["url"]) for record, _, image in images_of(file, "table")] == [
        (0, "http://a/0"),
        (4, "http://a/4"),
        (5, "http://�/5"),
    ]
    with pytest.raises(DataError, match=r"b\.csv: has no column that names an image \(its columns: x and y\)"):
        images_of(file_of(tmp_path / "b.csv", b"x,y\n1,2\n"), "table")
    with pytest.raises(DataError, match="there is no such file"):
        images_of(tmp_path / "c.csv", "table")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(content * 99)[:-30])
    with pytest.raises(DataError, match="is not an intact"):
        images_of(cut, "table")
    with pytest.raises(DataError, match="is not an intact"):
        write_kept(cut, "table", [True] * 999, tmp_path / "new.csv.gz")
    assert not list(tmp_path.glob("*new*"))


def test_a_quotation_that_never_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "_LARGEST", 10_000)
    monkeypatch.setattr(table, "_BYTES", 4_000)
    file = file_of(tmp_path / "a.csv", b'url,text\nhttp://a/0,x\nhttp://a/1,"' + b"x\n" * 20_000)
    with pytest.raises(DataError, match=r"record 1: is longer than 10,000 bytes; close the quotation mark"):
        images_of(file, "table")


PHOTO = "coco/train2017/{:012d}.jpg"
ROWS = [f"{PHOTO.format(n)},x{n}" for n in range(60)]
OPEN = f'{PHOTO.format(9)},"a 5'


@pytest.mark.parametrize(
    ("header", "lines", "bad"),
    [
        ("image,caption", [OPEN, *ROWS], {0: "runs on over other records"}),
        ("image,caption", [ROWS[0], OPEN, *ROWS[:12], f'{ROWS[0]}"', *ROWS], {1: "runs on over other records"}),
        ("image,caption", [OPEN, f'{ROWS[0]}"'], {0: "runs on over other records"}),
        ("image,caption", [OPEN, *(f'{PHOTO.format(n)},"b, ""c"" {n}"' for n in range(9))], {0: "runs on"}),
        ("image,caption", [f'{PHOTO.format(8)},a 5" pipe', OPEN, *ROWS, OPEN, *ROWS], {1: "runs on", 62: "runs on"}),
        ("caption,image", ['"a 5,' + PHOTO.format(9), *(f"x,{PHOTO.format(n)}" for n in range(9))], {0: "runs on"}),
        ("image_id,caption", ['9,"a 5', *(f"{n},x" for n in range(9)), '10,"b"', "11,c"], {0: "runs on"}),
        ("image_id,caption", ['9,"a 5', '8,"b"', "7,c"], {0: "runs on"}),
        ("image,caption", [*ROWS, OPEN], {60: "opens a quotation that nothing closes"}),
        ("image,caption", [*ROWS, OPEN, "two", "three"], {60: "nothing closes", 61: "1 of 2", 62: "1 of 2"}),
    ],
)
@pytest.mark.parametrize("size", [1 << 24, 700])
def test_a_quotation_mark_that_is_not_closed_costs_one_record(tmp_path, monkeypatch, header, lines, bad, size):
    monkeypatch.setattr(table, "_BYTES", size)
    file = file_of(tmp_path / "a.csv", "\n".join([header, *lines]).encode())
    damaged = damaged_of(file, "table")
    assert {number: reason for number, reason in damaged.items() if bad.get(number, "?") not in reason} == {}
    assert damaged.keys() == bad.keys()
    assert [record for record, _, _ in images_of(file, "table")] == [n for n in range(len(lines)) if n not in bad]
    write_kept(file, "table", [n in bad for n in range(len(lines))], tmp_path / "b.csv")
    kept = [line for n, line in enumerate(lines) if n in bad]
    assert (tmp_path / "b.csv").read_text().splitlines() == [header, *kept]


def test_a_table_whose_marks_are_letters_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(table_records, "_MOST_BAD", 100)
    file = file_of(tmp_path / "a.csv", b"image,caption\n" + b'coco/1.jpg,"a\n' * 150)
    with pytest.raises(
        DataError, match=r"opens quotations that nothing closes in 101 of 101 records; write its texts in"
    ):
        images_of(file, "table")


def test_texts_of_many_lines_are_no_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "_BYTES", 7000)
    said = ["a\nb, see http://a/9.jpg\n\nc,d", "Year,Value\n" + "2010,5\n" * 9, "a line, of text\n" * 2000]
    for name, key in (("image", PHOTO.format(9)), ("image_id", "9")):
        for text in said:
            rows = [(name, "text"), (key, text), (key, text)]
            csv.writer(buffer := io.StringIO(), lineterminator="\n").writerows(rows)
            file = file_of(tmp_path / "a.csv", buffer.getvalue().encode())
            assert damaged_of(file, "table") == {}
            assert texts_of(file, "table") == [[text]] * 2


def test_quotation_marks_that_open_nothing_take_no_time(tmp_path):
    file = file_of(tmp_path / "a.csv", b"url,text\nhttp://a/0,x\n" + b'{"a":' * 100_000)
    assert images_of(file, "table") == [(0, 0, {"url": "http://a/0"})]
