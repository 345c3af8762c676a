"""Parquet as people train on it: which columns name images, and the same file without some records."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixtures.records import damaged_of, ids_of, images_of, texts_of, write_kept

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures import parquet as parquet_form
from vlmt_cli.mixtures.batch import Source, Wanted
from vlmt_cli.mixtures.forms import FORMS

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}}).encode()}


def parquet(path, columns, **settings):
    pq.write_table(pa.table(columns), path, **settings)
    return path


def shown(data=None, name=None):
    return {"bytes": data, "path": name}


def test_llava_onevision_data(tmp_path):
    file = parquet(
        tmp_path / "a.parquet",
        {
            "id": ["000000033471.jpg", "chart-17", "text"],
            "image": pa.array([shown(b"one"), shown(b"two", "ocr/2.png"), None], IMAGE),
            "conversations": [[{"from": "human", "value": "What?"}, {"from": "gpt", "value": "A bus."}], [], None],
            "data_source": ["x", "y", "z"],
        },
    )
    assert images_of(file, "parquet") == [
        (0, 0, {"name": "000000033471.jpg"}),  # an id is taken for a name where it is the name of a file
        (1, 0, {"name": "ocr/2.png"}),
    ]
    assert images_of(file, "parquet", data=True)[1] == (1, 0, {"name": "ocr/2.png", "data": b"two"})
    assert ids_of(file, "parquet") == ["000000033471.jpg", "chart-17", "text"]
    assert texts_of(file, "parquet") == [["What?", "A bus."], [], []]


def test_an_empty_cell_is_not_an_image(tmp_path):
    names, listed = ["a.jpg", "", None, "NaN", "null"], [["a.jpg", ""], [""], None, ["None"], []]
    for column in (names, listed):
        file = parquet(tmp_path / "a.parquet", {"image": column, "text": ["words"] * 5})
        assert images_of(file, "parquet") == [(0, 0, {"name": "a.jpg"})]


def test_cauldron_and_finevision(tmp_path):
    file = parquet(
        tmp_path / "a.parquet",
        {
            "images": pa.array([[shown(b"1"), shown(b"2", "b.jpg")], [], None, [None, shown(b"3")]], pa.list_(IMAGE)),
            "texts": [
                [{"user": "q", "assistant": "a", "source": "VQAv2"}],
                [],
                None,
                [{"user": "r", "assistant": "b"}],
            ],
        },
    )
    assert images_of(file, "parquet") == [(0, 0, {}), (0, 1, {"name": "b.jpg"}), (3, 0, {})]
    assert [image["data"] for _, _, image in images_of(file, "parquet", data=True)] == [b"1", b"2", b"3"]
    assert texts_of(file, "parquet") == [["q", "a"], [], [], ["r", "b"]]


def test_benchmark_whose_image_says_less_than_the_name_beside_it(tmp_path):
    file = parquet(
        tmp_path / "a.parquet",
        {
            "question_id": [1, 2],
            "image": pa.array([shown(b"x", "0.png"), shown(b"y", "1.png")], IMAGE),
            "file_name": ["COCO_train2014_000000581857_16.jpg", None],
            "answer": [["man", "person"], ["cat"]],
        },
    )
    names = [image["name"] for _, _, image in images_of(file, "parquet")]
    assert names == ["COCO_train2014_000000581857_16.jpg", "1.png"]
    assert texts_of(file, "parquet") == [["man", "person"], ["cat"]]
    assert ids_of(file, "parquet") == ["1", "2"]


def test_numbers_of_images(tmp_path):
    rows = {"image": [42, None], "conversations": [[{"from": "human", "value": "What?"}]] * 2}
    assert images_of(parquet(tmp_path / "a", rows), "parquet") == [(0, 0, {"name": "42"})]


def test_tables_of_addresses(tmp_path):
    sha = "08dc1f9bc6a55a04882a2cc3ac792feca030362ddd62990c74b708fe1606ef47"
    laion = {"URL": ["http://a/1.jpg", None], "TEXT": ["a", "b"], "hash": [5, 6]}
    assert images_of(parquet(tmp_path / "laion", laion), "parquet") == [(0, 0, {"url": "http://a/1.jpg"})]
    pixmo = {"image_url": ["http://a/1.jpg", "http://a/2.jpg"], "image_sha256": [sha.upper(), "unknown"]}
    assert images_of(parquet(tmp_path / "pixmo", pixmo), "parquet") == [
        (0, 0, {"url": "http://a/1.jpg", "sha256": sha}),
        (1, 0, {"url": "http://a/2.jpg"}),
    ]
    pages = {"url": ["http://a/page", None], "pic": ["coco/1.jpg", "coco/2.jpg"], "text": ["a", "b"]}
    assert images_of(parquet(tmp_path / "pages", pages), "parquet")[1] == (1, 0, {"name": "coco/2.jpg"})
    strange = {"n": [1, 2], "where": ["https://a/1", "https://a/2"], "what": ["cat.jpg", "a dog"]}
    assert images_of(parquet(tmp_path / "strange", strange), "parquet")[1] == (1, 0, {"url": "https://a/2"})
    lists = {"image_urls": [["http://a/1.jpg", "http://a/2.jpg"], []], "md5": [["0" * 32, "1" * 32], []]}
    assert images_of(parquet(tmp_path / "lists", lists), "parquet")[1] == (
        0,
        1,
        {"url": "http://a/2.jpg", "md5": "1" * 32},
    )


def test_names_addresses_and_base64_in_one_column(tmp_path):
    images = ["coco/1.jpg", "http://a/1.jpg", "/9j/4AAQ", "data:image/png;base64,iVBORw0KGgo="]
    plain = parquet(tmp_path / "plain", {"image": images})
    encoded = parquet(tmp_path / "encoded", {"image": pa.array(images).dictionary_encode()})
    for file in (plain, encoded):
        first, second, third, fourth = (image for _, _, image in images_of(file, "parquet", data=True))
        assert (first, second) == ({"name": "coco/1.jpg"}, {"url": "http://a/1.jpg"})
        assert third == {"data": b"\xff\xd8\xff\xe0\x00\x10"} and fourth["data"].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["", None, "a.jpg", "b.png?x=1"], "a.jpg"),
        ([[], ["a.jpg", "b.jpg"], None, ["c.jpg"]], "a.jpg"),
        ([[{"path": "a.jpg"}], [], [], [{"path": "b.webp"}]], "a.jpg"),
        ([b"\xff\xd8\xff\xe0" + bytes(20)] * 4, None),
        (["/9j/4AAQ" + "A" * 200] * 4, None),
    ],
)
def test_a_column_of_any_name_shows_images_beside_conversations(tmp_path, values, name):
    turns = [[{"from": "human", "value": "a.jpg"}]] * 4
    path = parquet(tmp_path / "mix.parquet", {"conversations": turns, "shown": values})
    assert (name is None) or any(image.get("name") == name for _, _, image in images_of(path, "parquet"))
    assert images_of(path, "parquet")
    parquet(path, {"conversations": turns, "shown": [{"file": "a.jpg"}] * 4})
    with pytest.raises(DataError, match="has no column that names an image"):
        images_of(path, "parquet")
    assert images_of(parquet(path, {"conversations": turns, "shown": [{"file": "a"}] * 4}), "parquet") == []


N, H = "coco/train2017/000000000009.jpg", "coco/train2017/000000000042.jpg"
U, F = "http://images.cocodataset.org/train2017/000000000042.jpg", "https://live.staticflickr.com/1/7_ab.jpg"
TURNS = [{"from": "human", "value": f"<img>{H}</img>What?"}, {"from": "gpt", "value": "A dog."}]
BLOCK = {"type": "image_url", "image_url": {"url": U}}


@pytest.mark.parametrize(
    "row",
    [
        *[{key: H} for key in ("Image", "imgs", "path", "image_paths", "imagePath", "photo", "image_id")],
        {"image": N, "Image": H},
        {"images": [[N], [H]]},
        {"images": [[[N], []], [[H]]]},
        {"image": N, "image2": H, "image_id": "x7"},
        {"left_url": F, "right_url": U},
        {"image_1": "a.png", "image_2": "1.png", "url_2": U},
        {"image": "a.png", "file_name": "1.png", "coco_url": U, "flickr_url": F},
        {"image": "a.png", "image_url": H},
        {"coco_url": H},
        {"url": [U, F], "coco_url": [F, H]},
        {"image": {"bytes": None, "path": "a.png", "file_name": H, "coco_url": U}},
        {"image": {"url": U}},
        {"image_url": {"url": U}},
        {"image_id": 42.0},
        {"image": "a.png", "image_id": 42.0},
        {"conversations": TURNS},
        {"conversations": json.dumps(TURNS)},
        {"messages": [{"role": "user", "content": [BLOCK]}]},
        {"prompt": f"<img>{H}</img>What?"},
    ],
)
def test_a_table_says_what_the_same_records_say_in_json(tmp_path, row):
    other = {key: value if isinstance(value, (dict, str)) else None for key, value in row.items()}
    file = parquet(tmp_path / "a.parquet", {key: [value, other[key], None] for key, value in row.items()})
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(other)}\n{{}}\n")
    said = [
        [(*at, {image.get("name"), image.get("url"), *image.get("also", ())}) for *at, image in images_of(path, form)]
        for path, form in ((file, "parquet"), (tmp_path / "a.jsonl", "records"))
    ]
    assert said[0] and said[0] == said[1]


def test_turns_that_cannot_be_read_are_damaged_records(tmp_path):
    turns = [{"role": "user", "content": [BLOCK]}]
    rows = {"messages": [json.dumps(turns), '[{"image', f"<img>{'x' * 70_000}</img>"]}
    file = parquet(tmp_path / "a.parquet", rows)
    assert images_of(file, "parquet") == [(0, 0, {"url": U})]
    assert [reason[:26] for reason in damaged_of(file, "parquet").values()] == ["its messages cannot be rea"] * 2


def test_bytes_are_not_read_unless_asked_for(tmp_path):
    """Where a column's pages are destroyed, reading the others still works."""
    rows = {"image": pa.array([shown(b"needle" * 99, "a.jpg")], IMAGE)}
    file = parquet(tmp_path / "a.parquet", rows, compression="none", use_dictionary=False)
    content = file.read_bytes()
    at = pq.ParquetFile(file).metadata.row_group(0).column(0).data_page_offset
    file.write_bytes(content[:at] + b"\xff" * 40 + content[at + 40 :])
    assert images_of(file, "parquet") == [(0, 0, {"name": "a.jpg"})]
    with pytest.raises(DataError, match="record 0"):
        images_of(file, "parquet", data=True)


@settings(max_examples=20)
@given(
    keep=st.lists(st.booleans(), min_size=1, max_size=40),
    group=st.integers(1, 15),
    name=st.sampled_from(["snappy", "zstd", "none"]),
)
def test_the_kept_rows_and_nothing_else_are_written(tmp_path_factory, keep, group, name):
    folder = tmp_path_factory.mktemp("kept")
    field = pa.field("n", pa.int32(), metadata={"unit": "rows"})
    rows = pa.table(
        {
            "n": range(len(keep)),
            "image": pa.array([shown(b"%d" % n, f"{n}.jpg") for n in range(len(keep))], IMAGE),
            "label": pa.array([f"{n % 3}" for n in range(len(keep))]).dictionary_encode(),
        }
    )
    schema = pa.schema([field, *list(rows.schema)[1:]], metadata=FEATURES)
    pq.write_table(rows.cast(schema), folder / "a.parquet", row_group_size=group, compression=name)
    write_kept(folder / "a.parquet", "parquet", keep, folder / "b.parquet")

    old, new = pq.ParquetFile(folder / "a.parquet"), pq.ParquetFile(folder / "b.parquet")
    assert new.schema_arrow.equals(old.schema_arrow, check_metadata=True)
    assert new.read().to_pylist() == [row for row, stays in zip(old.read().to_pylist(), keep, strict=True) if stays]
    sizes = [sum(keep[start : start + group]) for start in range(0, len(keep), group)]
    assert [new.metadata.row_group(g).num_rows for g in range(new.num_row_groups)] == [size for size in sizes if size]
    if any(keep):
        assert new.metadata.row_group(0).column(0).compression == old.metadata.row_group(0).column(0).compression


def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(tmp_path):
    rows = {"image": ["a.jpg"] * 3000}
    good = parquet(tmp_path / "good.parquet", rows, compression="none", use_dictionary=False, row_group_size=1000)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(good.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cut\.parquet: record 0: cannot be read from here"):
        images_of(cut, "parquet")
    bad = bytearray(good.read_bytes())
    at = pq.ParquetFile(good).metadata.row_group(1).column(0).data_page_offset
    bad[at : at + 30] = b"\xff" * 30
    cut.write_bytes(bad)
    with pytest.raises(DataError, match=r"record 1000: "):
        write_kept(cut, "parquet", [True] * 3000, tmp_path / "new.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.parquet", "good.parquet"]

    with pytest.raises(DataError, match=r"no column that names an image \(its columns: x and y\); name the column"):
        images_of(parquet(tmp_path / "x", {"x": [1], "y": ["a"]}), "parquet")
    latin = pa.array([b"\xe9.jpg"], pa.binary()).view(pa.string())
    with pytest.raises(DataError, match=r"record 0: .*UTF"):
        images_of(parquet(tmp_path / "latin", {"file_name": latin}), "parquet")


@pytest.mark.parametrize("twice", ["image", "x"])
def test_two_columns_of_one_name_are_refused_in_a_line(tmp_path, twice):
    table = pa.table({"image": ["a.jpg"], "x": ["b"]}).append_column(twice, pa.array(["c.jpg"]))
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as writer:
        writer.write_table(table)
    for form in ("parquet", "arrow"):
        with pytest.raises(DataError, match=rf"a\.{form}: has two columns '{twice}'; rename one of them"):
            images_of(tmp_path / f"a.{form}", form)


def test_a_name_of_100_megabytes_is_a_damaged_record(tmp_path):
    file = parquet(
        tmp_path / "a.parquet",
        {"image": ["a.jpg", "x" * 100_000_000, "b.jpg"]},
        use_dictionary=False,
        write_statistics=False,
    )
    assert images_of(file, "parquet") == [(0, 0, {"name": "a.jpg"}), (2, 0, {"name": "b.jpg"})]
    assert "100,000,000 bytes" in damaged_of(file, "parquet")[1]


def test_only_a_few_row_groups_are_held_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_form, "_BYTES", 1 << 20)
    images = pa.array([shown(random.randbytes(1 << 16), f"{n}.jpg") for n in range(512)], IMAGE)
    file = parquet(tmp_path / "a.parquet", {"image": images}, row_group_size=16, compression="none")
    del images
    before, held = pa.total_allocated_bytes(), []
    for _ in FORMS["parquet"].read(Source(file, "parquet"), Wanted(data=True)):
        held.append(pa.total_allocated_bytes() - before)
    assert len(held) > 30 and max(held) < 8 << 20  # of 32 MB


def test_real_tables(real_data, tmp_path):
    file = real_data / "mixtures/img2dataset/test_1000.parquet"
    rows = pq.read_table(file)
    assert FORMS["parquet"].is_form(file, file.read_bytes()[:64])
    assert [image["url"] for _, _, image in images_of(file, "parquet")] == rows["URL"].to_pylist()
    write_kept(file, "parquet", [n % 3 == 0 for n in range(1000)], tmp_path / "new.parquet")
    assert pq.read_table(tmp_path / "new.parquet").equals(rows.take(list(range(0, 1000, 3))), check_metadata=True)
