"""From a path, a glob, a folder or a list to files of records; lists of images; COCO-style JSON."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mixtures.files import MAKERS
from mixtures.records import damaged_of, images_of, texts_of, write_kept

from vlmt_cli.base.errors import DataError
from vlmt_cli.mixtures.batch import Wanted
from vlmt_cli.mixtures.forms import FORMS, LISTS
from vlmt_cli.mixtures.opening import form_of, sources_of

RECORDS = [{"id": n, "image": f"{n:012d}.jpg", "conversations": []} for n in range(4)]
REAL = Path(os.environ.get("VLMT_REAL_DATA", "/nowhere")) / "mixtures"


def names_of(path) -> list[str]:
    return [image.get("name") or image.get("url") for _, _, image in images_of(path, form_of(path))]


def put(path, text) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


INTERNVL = {"a": {"root": "coco/", "annotation": "a.json", "repeat_time": 2, "length": 4}}
ONEVISION = 'datasets:\n  - json_path: a.json # here\n    sampling_strategy: "first:50%"\n'
QWEN = {"a%50": {"annotation_path": "a.json", "data_path": "vg"}}
LLAMAFACTORY_1 = "a: # here\n  path: a.json\n  source: local\nhub:\n  path: x/y\n  source: hf_hub\n"
LLAMAFACTORY = {"hub": {"hf_hub_url": "x/y"}, "a": {"file_name": "a.json"}}


@pytest.mark.parametrize(
    ("name", "text", "form", "root", "sampling"),
    [
        ("m.json", INTERNVL, "internvl", "coco/", "x2"),
        ("m.yaml", ONEVISION, "onevision", "", "first:50%"),
        ("m.json", QWEN, "qwen", "vg", "%50"),
        ("m.json", LLAMAFACTORY, "llamafactory", "", None),
        ("m.yaml", LLAMAFACTORY_1, "llamafactory1", "", None),
    ],
)
def test_lists_of_mixtures(tmp_path, name, text, form, root, sampling):
    put(tmp_path / "a.json", RECORDS)
    path = put(tmp_path / "lists" / name, text)
    assert form_of(path) == form
    (source,) = sources_of(str(path))
    assert (source.path, source.form, source.root, source.sampling) == (tmp_path / "a.json", "llava", root, sampling)
    new = put(tmp_path / "new dir" / 'a "b".json', RECORDS)
    LISTS[form].write(path, {source.path: new}, tmp_path / "out" / name, {source.path: (4, 3)})
    (again,) = sources_of(str(tmp_path / "out" / name))
    assert (again.path, again.root, again.sampling) == (new, root, sampling)
    assert ('"length": 3' in (tmp_path / "out" / name).read_text()) == (form == "internvl")
    assert ("# here" in path.read_text()) == ("# here" in (tmp_path / "out" / name).read_text())


@pytest.mark.parametrize("name", ["a.json", "a.parquet", "a.csv"])
def test_a_list_says_what_the_field_of_images_is_called(tmp_path, name):
    rows = [{"seen": "coco/7", "image": "b.jpg", "conversations": [{"from": "human", "value": "c.jpg"}]}] * 2
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist([{**row, "image": 5} for row in rows]), tmp_path / name)
    elif name == "a.csv":
        (tmp_path / name).write_text("seen,file_name\ncoco/7,b.jpg\ncoco/7,b.jpg\n")
    else:
        (tmp_path / name).write_text(json.dumps(rows))
    for columns, shown in (
        ({"images": "seen"}, True),
        ({"images": ["seen"]}, False),
        ({"videos": "seen"}, False),
    ):
        (tmp_path / "info.json").write_text(json.dumps({"mine": {"file_name": name, "columns": columns}}))
        (source,) = sources_of(str(tmp_path / "info.json"))
        (batch,) = FORMS[source.form].read(source, Wanted())
        assert ("coco/7" in batch.images.column("name").to_pylist()) == shown


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ("m.yaml", "names itself, over m.yaml"),
        ("../../up.json", "climbs out of its folder"),
        ("gone.json", "'gone.json' is not there"),
        ("https://example.org/a.json", "download it"),
    ],
)
def test_lists_that_cannot_be_followed(tmp_path, listed, said):
    path = put(tmp_path / "m.yaml", f"datasets:\n  - json_path: {listed}\n")
    with pytest.raises(DataError, match=r"^[^\n]*$") as error:
        sources_of(str(path))
    assert said in str(error.value)


@pytest.mark.parametrize("records", [[{"file_name": "1.jpg"}], {"7": {"file_name": "1.JPG"}}])
def test_records_of_images_are_no_list_of_mixtures(tmp_path, records):
    assert form_of(put(tmp_path / "m.json", records)) == "records"


def test_lists_in_lists_have_an_end(tmp_path):
    for number in range(200):
        put(tmp_path / f"{number}.yaml", f"datasets:\n  - json_path: {number + 1}.yaml\n")
    with pytest.raises(DataError, match="is a list in a list, 30 times over; name its files in one list"):
        sources_of(str(tmp_path / "0.yaml"))


def test_globs_and_folders(tmp_path):
    put(tmp_path / "a" / "1.json", RECORDS)
    put(tmp_path / "a" / "2.jsonl", "\n".join(map(json.dumps, RECORDS)))
    put(tmp_path / "a" / "README.md", "# About\nThis is text.\n")
    put(tmp_path / "a" / "m.json", {"x": {"annotation": "1.json", "root": "r"}})
    assert [source.path.name for source in sources_of(str(tmp_path / "a" / "[12].*"))] == ["1.json", "2.jsonl"]
    sources = [source for path in [tmp_path / "a"] for source in sources_of(str(path))]
    assert [(source.path.name, source.root) for source in sources] == [("2.jsonl", ""), ("1.json", "r")]
    put(tmp_path / "a" / ".cache" / "part.json", "half of a file")
    put(tmp_path / "a" / "dataset_infos.json", {"default": {"features": {}}})
    MAKERS["arrow"].write(tmp_path / "a" / "saved", [["1.jpg"]])
    assert [source.path.name for source in sources_of(str(tmp_path / "a"))] == ["2.jsonl", "1.json", "saved"]
    put(tmp_path / "a" / "3.parquet", "version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"3\.parquet: is a Git LFS pointer"):  # and is not passed over
        sources_of(str(tmp_path / "a"))
    put(tmp_path / "a" / "coco" / "1.jpg", "picture")
    with pytest.raises(DataError, match=r"holds images and 7 files of records, as '1\.json'; give .*, or say --form"):
        sources_of(str(tmp_path / "a"))
    assert [source.form for source in sources_of(str(tmp_path / "a"), "image_folder")] == ["image_folder"]
    with pytest.raises(DataError, match="names no file of records here"):
        sources_of(str(tmp_path / "a" / "1.json"), "onevision")


@pytest.mark.parametrize("name", ["1.json", "stage1/1.json", "stage1/deep/1.parquet", "1.jsonl.zst", "a.yaml", "a.txt"])
def test_no_file_of_records_is_passed_over_beside_images(tmp_path, name):
    put(tmp_path / "photo.jpg", "picture")
    put(tmp_path / "photo.txt", "262148 dogs")
    put(tmp_path / "sub" / "photo.JPEG", "picture")
    put(tmp_path / "sub" / "photo.json", "{}")
    put(tmp_path / "notes.txt", "About these photos.\n")
    assert [source.form for source in sources_of(str(tmp_path))] == ["image_folder"]
    written = {"a.yaml": "datasets:\n  - json_path: a.json\n", "a.txt": "COCO_val2014_000000253964.jpg\n"}
    put(tmp_path / name, written.get(name, "[]"))
    with pytest.raises(DataError, match=rf"holds images and a file of records, '{name}'; give .*{name}, or say --form"):
        sources_of(str(tmp_path))
    put(tmp_path / "more" / "2.json", "[]")
    with pytest.raises(DataError, match=r"holds images and 2 files of records, as .*; give those files, or say --form"):
        sources_of(str(tmp_path))


def test_no_file_of_records_is_passed_over_in_a_saved_dataset_or_packed_otherwise(tmp_path):
    MAKERS["arrow"].write(tmp_path / "saved", [["1.jpg"]])
    put(tmp_path / "1.json", RECORDS)
    assert len(sources_of(str(tmp_path))) == 2
    put(tmp_path / "saved" / "2.json", RECORDS)
    assert [source.path.name for source in sources_of(str(tmp_path))] == ["1.json", "saved", "2.json"]
    with pytest.raises(DataError, match=r"holds a saved dataset and a file of records, '2\.json'"):
        sources_of(str(tmp_path / "saved"))
    put(tmp_path / "3.jsonl.xz", "packed")
    with pytest.raises(DataError, match=r"3\.jsonl\.xz: is packed as \.xz"):
        sources_of(str(tmp_path))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("[]".encode("utf-16"), "is UTF-16 text"),
        (b"<!doctype html>", "web page"),
        (b"PK\x03\x04", "zip archive"),
        (b"some prose about nothing", "is not a mixture of a known form"),
    ],
)
def test_what_is_no_mixture(tmp_path, data, said):
    (tmp_path / "mix.json").write_bytes(data)
    with pytest.raises(DataError, match=said):
        sources_of(str(tmp_path / "mix.json"))


@pytest.mark.parametrize("form", ["parquet", "arrow", "webdataset", "img2dataset", "table", "image_list"])
def test_a_form_that_a_file_cannot_be_of_is_refused(tmp_path, form):
    path = put(tmp_path / "mix.json", RECORDS)
    with pytest.raises(
        DataError, match=rf"not of the form {form}: by its content it is LLaVA; leave --form out, or say"
    ):
        sources_of(str(path), form)
    assert [source.form for source in sources_of(str(path), "records")] == ["records"]


def test_lines_of_names(tmp_path):
    path = tmp_path / "list.txt"
    data = (
        b"\xef\xbb\xbf# mine\r\nVG_100K_2/2415417.jpg xml/2415417.xml\r\n\r\n# more\r\na b.jpg\t1\r\nhttp://x.org/1.jpg"
    )
    path.write_bytes(data)
    assert names_of(path) == ["VG_100K_2/2415417.jpg", "a b.jpg", "http://x.org/1.jpg"]
    write_kept(path, "image_list", [False, True, True], tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_bytes() == data.replace(b"VG_100K_2/2415417.jpg xml/2415417.xml\r\n", b"")
    path.write_bytes(b"1.jpg\n\xff.jpg\n2.jpg\n3.jpg\r4.jpg\r\n")
    assert names_of(path) == ["1.jpg", "2.jpg"]
    assert {n: said[:17] for n, said in damaged_of(path, "image_list").items()} == {
        1: "is not UTF-8", 3: "has several lines"
    }  # fmt: skip


def test_arrays_of_ids(tmp_path):
    np.save(tmp_path / "ids.npy", np.array([5, 2**40, 9]))
    write_kept(tmp_path / "ids.npy", "image_list", [True, True, False], tmp_path / "out.npy")
    assert names_of(tmp_path / "out.npy") == ["5", str(2**40)]
    np.save(tmp_path / "bad.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="is not an array that can be read"):
        names_of(tmp_path / "bad.npy")
    path = put(tmp_path / "ids.json", ["a.jpg", 5, "b"])
    assert names_of(path) == ["a.jpg", "5", "b"]
    write_kept(path, "image_list", [False, True, True], tmp_path / "out.json")
    assert json.loads((tmp_path / "out.json").read_text()) == [5, "b"]


@pytest.mark.parametrize("order", [["images", "annotations"], ["annotations", "images"], ["images"]])
def test_coco_json(tmp_path, order):
    lists = {
        "images": [
            {"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "flickr_url": f"http://f/{n}"} for n in range(4)
        ],
        "annotations": [{"image_id": n % 4, "caption": f"c{n}", "x": '"}],'} for n in range(9)],
    }
    whole = {"info": {"year": 2014}, **{name: lists[name] for name in order}, "categories": [{"id": 1}]}
    for indent in (None, 1):
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(whole, indent=indent))
        assert form_of(path) == "coco"
        assert names_of(path) == [image["file_name"] for image in whole["images"]]
        if "annotations" in order:
            assert texts_of(path, "coco")[1] == ["c1", "c5"]
        write_kept(path, "coco", [False, True, True, False], tmp_path / "out.json")
        stays = {**whole, "images": lists["images"][1:3]}
        if "annotations" in order:
            stays["annotations"] = [each for each in lists["annotations"] if each["image_id"] in (1, 2)]
        assert json.loads((tmp_path / "out.json").read_text()) == stays
        write_kept(path, "coco", [False] * 4, tmp_path / "out.json")
        assert json.loads((tmp_path / "out.json").read_text())["images"] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("json_path: " + "[" * 60_000, "is nested too deeply"),
        ("json_path: a\n" + "# more\n" * 50_000, "has 350,013 bytes, too many for a list in YAML; write it as several"),
        ("- json_path: a\n  json_path: b\n", "the key 'json_path' stands twice"),
        ("a0: [1, 1]\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9 if n > 1 else 1}]\n" for n in range(1, 30))
         + "json_path: a\n", "holds more than 100,000 values"),
        ("datasets:\n  - path: a.jsonl\n    type: chat_template\n", "is not a known list .*give the files of records"),
    ],
)  # fmt: skip
def test_yaml_is_refused_at_once_and_with_what_to_do(tmp_path, text, said):
    (tmp_path / "mix.yaml").write_text(text)
    begin = time.process_time()
    with pytest.raises(DataError, match=said):
        sources_of(str(tmp_path / "mix.yaml"))
    assert time.process_time() - begin < 2


def test_a_list_of_images_with_a_line_that_names_none(tmp_path):
    path, names = tmp_path / "a.txt", "coco:9\nCOCO:42\n\n# more\ncoco:7\n"
    path.write_text(names)
    with pytest.raises(DataError, match=r"form \(line 2, 'COCO:42', names no image\); .* --form image_list, which"):
        sources_of(str(path))
    path.write_text("see below\ncoco/train2017/000000000042.jpg\n")
    assert [source.form for source in sources_of(str(path), "image_list")] == ["image_list"]  # it could be a table, too
    path.write_text("9.0\n42.0\n")
    np.save(tmp_path / "a.npy", np.array([9.0, 42.0]))
    for each in (path, tmp_path / "a.npy"):
        (source,) = sources_of(str(each))
        assert [image["name"] for _, _, image in images_of(source.path, source.form)] == ["9", "42"]


def test_a_list_may_have_aliases(tmp_path):
    (tmp_path / "a.json").write_text('[{"image": "a.jpg"}]')
    text = "first: &first\n  json_path: a.json\n  sampling_strategy: all\ndatasets:\n- *first\n- <<: *first\n  x: 1\n"
    (tmp_path / "mix.yaml").write_text(text)
    assert [source.path.name for source in sources_of(str(tmp_path / "mix.yaml"))] == ["a.json"] * 2


def test_in_coco_json_an_id_is_a_name_of_its_image(tmp_path):
    path, official = tmp_path / "coco.json", "COCO_train2014_000000000009.jpg"
    images = [{"id": 42}, {"id": "7", "file_name": "a.jpg"}, {"id": 9, "file_name": official}]
    path.write_text(json.dumps({"images": images, "annotations": []}))
    shown = [{"name": "42"}, {"name": "a.jpg", "also": ["7"]}, {"name": official}]
    assert images_of(path, "coco") == [(number, 0, each) for number, each in enumerate(shown)]


@pytest.mark.skipif(not REAL.is_dir(), reason="VLMT_REAL_DATA has no mixtures")
def test_real_lists_are_recognised():
    for name, form in {
        "internvl/coco_caption.json": "internvl",
        "internvl/custom_data.json": "internvl",
        "llava_next/onevision.yaml": "onevision",
        "llamafactory/dataset_info.json": "llamafactory",
        "llamafactory/v1_multimodal_demo.yaml": "llamafactory1",
        "qwen/single_images.json": "llava",
    }.items():
        assert form_of(REAL / name) == form
    with pytest.raises(DataError, match=r"none of the 82 files that it lists is there, such as '/mnt/bn/"):
        sources_of(str(REAL / "llava_next/onevision.yaml"))
    with pytest.raises(DataError, match=r"13 of the 14 files that it lists are not there, such as 'identity\.json'"):
        sources_of(str(REAL / "llamafactory/dataset_info.json"))
    assert len(FORMS) > 8
