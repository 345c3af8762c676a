"""``vlmt index``: the benchmarks that are known, and adding to them in each form that people hold."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlmt_cli.clean.index import aliases_of
from vlmt_cli.clean.index_file import read_index
from vlmt_cli.clean.texts import hash_texts

QUESTION = "Is there a snowboard in the image?"
FILES = {
    "pope.json": json.dumps({"question_id": 1, "image": "COCO_val2014_000000000009.jpg", "text": QUESTION}),
    "qwen.jsonl": json.dumps({"image": "data/COCO_train2014_000000000009.jpg", "sent": QUESTION, "bbox": [1, 2, 3, 4]}),
    "mdetr.json": json.dumps(
        {
            "images": [{"file_name": "COCO_train2014_000000000009.jpg", "id": 0, "caption": QUESTION}],
            "annotations": [],
            "categories": [],
        }
    ),
    "coco.json": json.dumps(
        {"images": [{"file_name": "000000000009.jpg", "id": 9}], "annotations": [{"image_id": 9, "caption": QUESTION}]}
    ),
    "gqa.json": json.dumps({"1": {"imageId": "9", "question": QUESTION}}),
    "columns.jsonl": json.dumps([{"image_id": 9, "question": QUESTION, "image": "x" * 5_000}]),
    "kit.tsv": f"index\tquestion\timage_path\n0\t{QUESTION}\tval2014/COCO_val2014_000000000009.jpg\n",
}


@pytest.mark.parametrize("file", FILES)
def test_benchmarks_are_added_as_people_hold_them(vlmt, tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text(FILES[file])
    to = tmp_path / "index.parquet"
    source = {"gqa.json": ["--source", "gqa"], "columns.jsonl": ["--source", "coco"]}.get(file, [])
    assert vlmt("index", "add", f"mine={tmp_path / file}", "--to", to, *source)[0] == 0
    index = read_index(to)
    assert index.images_of("mine").to_pylist() == ["vg:9" if file == "gqa.json" else "coco:9"]
    assert hash_texts(pa.array([QUESTION]))[0].as_py() in index.images["texts"].to_pylist()[0]
    split = {"pope.json": "val2014", "kit.tsv": "val2014", "qwen.jsonl": "train2014", "mdetr.json": "train2014"}
    assert index.benchmarks["mine"].coco_split == split.get(file)


def test_of_a_file_with_several_splits_the_test_splits_are_added(vlmt, tmp_path: Path) -> None:
    splits = ("train", "restval", "val", "testA", "testB", "test")
    images = [{"cocoid": n, "filename": f"COCO_val2014_{n:012}.jpg", "split": split} for n, split in enumerate(splits)]
    (tmp_path / "karpathy.json").write_text(json.dumps({"images": images, "dataset": "coco"}))
    (tmp_path / "val.json").write_text(json.dumps(images[2:3]))
    to = tmp_path / "index.parquet"
    _, said, _ = vlmt("index", "add", *(f"{name}={tmp_path / name}.json" for name in ("karpathy", "val")), "--to", to)
    index = read_index(to)
    assert index.images_of("karpathy").to_pylist() == ["coco:3", "coco:4", "coco:5"]
    assert index.images_of("val").to_pylist() == ["coco:2"] and "karpathy.json, split test, testA and testB" in said


def test_parquet_and_folders_are_known_by_the_hashes_of_their_images(vlmt, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (8, 8), "red").save(photos / "a b.png")
    Image.new("RGB", (8, 8), "blue").save(photos / "COCO_val2014_000000000009.jpg")
    (photos / "notes.txt").write_text("none")
    data = (photos / "a b.png").read_bytes()
    rows = [{"image": {"bytes": data, "path": None}, "question": QUESTION}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "test.parquet")
    to = tmp_path / "index.parquet"
    assert vlmt("index", "add", f"folder={photos}", f"coco={tmp_path / 'test.parquet'}", "--images", "--to", to)[0] == 0
    index = read_index(to)
    assert index.images_of("folder").to_pylist() == ["coco:9", "folder:a-b-png"]
    aliases = {tuple(row.values()) for row in aliases_of(index).to_pylist()}
    alias = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert {(alias, "folder", "folder:a-b-png", "file"), (alias, "coco", "own_coco:row-0", "file")} <= aliases
    # Both hold the same file, so that each names the other's image, too.
    assert ("folder:a-b-png", "coco", "own_coco:row-0", "file") in aliases


def test_a_prompt_that_every_record_has_is_no_text(vlmt, tmp_path: Path) -> None:
    records = [
        {"image": f"COCO_val2014_{n:012}.jpg", "question": f"What is {n}?", "prompt": QUESTION} for n in range(30)
    ]
    (tmp_path / "b.json").write_text(json.dumps(records))
    assert vlmt("index", "add", f"mine={tmp_path / 'b.json'}", "--to", tmp_path / "index.parquet")[0] == 0
    texts = read_index(tmp_path / "index.parquet").images["texts"].to_pylist()
    assert [len(each) for each in texts] == [1] * 30


def test_own_benchmarks_join_the_built_in_ones(vlmt, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("val2014/COCO_val2014_000000000009.jpg 9\nnobody/knows.jpg\n")
    data = tmp_path / "data"
    code, _, said = vlmt("index", "add", f"refcocog-test={tmp_path / 'list.txt'}", "--data", data)
    assert code == 3 and "there is no such folder; name the data folder" in said and not data.exists()
    code, _, said = vlmt("scan", tmp_path / "list.txt", "--data", data)
    assert code == 3 and "there is no such folder; name the data folder" in said and not data.exists()
    data.mkdir()
    _, _, said = vlmt("index", "add", f"refcocog-test={tmp_path / 'list.txt'}", "--data", data)
    assert "1 image of the file cannot be named" in said
    shown = json.loads(vlmt("index", "--data", tmp_path / "data", "--json")[1])
    assert (shown["refcocog-test"]["known"], shown["coco-test"]["in_coco_train2017"]) == (2_588, 4_407)
    assert shown["refcocog-test"]["family"] == "refcocog"
    (tmp_path / "one.txt").write_text("VG_100K/2.jpg\n")  # which is no image of COCO, as the built-in crosswalk knows
    said = vlmt("index", "add", f"one={tmp_path / 'one.txt'}", "--data", tmp_path / "data")[1]
    assert "Flickr photos" in said and "are COCO images" not in said


def test_an_official_test_file_that_is_not_there_stays_a_gap(vlmt, tmp_path: Path) -> None:
    (tmp_path / "raw" / "nlvr2").mkdir(parents=True)
    for part in ("test1", "test2"):
        row = {"identifier": f"{part}-0-0-0", "sentence": "Two dogs.", "label": "True", "left_url": "https://a.org/1"}
        row |= {
            "right_url": "https://a.org/2",
            "directory": 1,
            "synset": "dog",
            "query": "dogs",
            "extra_validations": [],
        }
        (tmp_path / "raw" / "nlvr2" / f"{part}.json").write_text(json.dumps(row) + "\n")
        code, said, err = vlmt("index", "add", "nlvr2", "--data", tmp_path)
        assert code == 0, err
        assert ("test2 is not in the list; put test2.json below raw/nlvr2 and run" in said) == (part == "test1")


def test_a_part_of_a_crosswalk_says_that_it_is_one(vlmt, tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "vg_qa"
    raw.mkdir(parents=True)
    (raw / "image_data.json").write_text('[{"image_id": 2, "coco_id": null, "flickr_id": 7}]')
    code, out, said = vlmt("index", "add", "vg_images", "--data", tmp_path)
    assert (code, out) == (0, "") and "image_data.json lists 1 image, and is a part" in said
    assert "51,499 links between names of images; no test set was added." in said


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("refcocp", "there is no dataset 'refcocp'; did you mean refcoco"),
        ("a b=x", "cannot add 'a b=x'; write NAME=FILE"),
        ("x=/none", "there is no such file"),
        ("x=numbers.json", "names no image by a name that is known, such as '7'; say with --source"),
        ("x=broken.json", "is not valid JSON"),
        ("x=empty", "says nothing of images"),
        ("all", "has no test set that can be read; put official files there"),
        ("nlvr2", "there is no official file of nlvr2; put nlvr2/train.json"),
    ],
)
def test_what_cannot_be_added_is_said_in_one_line(vlmt, monkeypatch, tmp_path: Path, given: str, says: str) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "numbers.json").write_text('[{"image_id": 7}]')
    (tmp_path / "broken.json").write_text('[{"image_id": 7}')
    monkeypatch.chdir(tmp_path)
    code, _, said = vlmt("index", "add", given)
    assert says in said and said.count("\n") == 1
    assert code in (2, 3) and not (tmp_path / "data" / "index.parquet").exists()
