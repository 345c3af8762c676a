"""vlmt clean --check: it asks what the split was made for, reads contents, and no problem hides a leak."""

import gzip
import json
import os
import re
import shlex
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest


def bring_back(data, dataset):
    """Add a removed row of a dataset to keep.parquet; returns its example id."""
    keep, removed = (pq.read_table(data / "clean" / f"{name}.parquet") for name in ("keep", "removed"))
    row = removed.filter(pc.equal(removed["dataset"], dataset)).select(keep.column_names).slice(0, 1).to_pylist()
    pq.write_table(pa.concat_tables([keep, pa.Table.from_pylist(row, keep.schema)]), data / "clean" / "keep.parquet")
    return row[0]["example_id"]


def change_quietly(path, old, new):
    """Change a file at equal size, and give it the time of change that it had."""
    content, stat = path.read_bytes(), path.stat()
    assert len(old) == len(new) and old in content
    path.write_bytes(content.replace(old, new, 1))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    "question",
    [
        ["--datasets", "vqa,refcoco"],
        ["--identity", "paper"],
        ["--set", "vqa.minval=7"],
        ["--available"],
        ["--image-list", "mine:test=list.txt", "--image-list", "detector:detector=list.txt"],
    ],
)
def test_it_asks_what_the_split_was_made_for(vlmt, own_world, tmp_path, monkeypatch, question):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("coco:1\n")
    if "--available" in question:
        shutil.rmtree(own_world / "raw" / "nlvr2")
    assert vlmt("clean", "--data", own_world, *question)[0] == 0
    monkeypatch.chdir(own_world)
    code, out, err = vlmt("clean", "--check", "--data", own_world)
    assert code == 0 and out.startswith("Clean: none of"), err
    report = json.loads((own_world / "clean" / "report.json").read_text())
    assert f"under {report['identity']} identity" in out.replace("\n", " ")
    assert f"{', '.join(report['union'])}," in out.replace("\n", " ")


def test_the_same_question_may_be_said_and_another_is_a_usage_error(vlmt, own_world):
    assert vlmt("clean", "--data", own_world, "--datasets", "vqa,coco", "--identity", "paper")[0] == 0
    check = ["clean", "--check", "--data", own_world]
    assert vlmt(*check, "--datasets", "coco,vqa", "--identity", "paper")[0] == 0
    for other in (["--datasets", "vqa"], ["--identity", "strict"], ["--set", "vqa.minval=7"], ["--replace"]):
        code, _, err = vlmt(*check, *other)
        assert code == 2 and "--check" in err and err.count("\n") == 1


def test_a_file_that_changed_at_equal_size_and_time_is_named(vlmt, cleaned):
    path = cleaned / "raw" / "vg_qa" / "question_answers.json"
    change_quietly(path, b"What", b"That")
    code, _, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 3 and "raw/vg_qa/question_answers.json is not what it was when the split was made" in err
    code, out, _ = vlmt("clean", "--check", "--fast", "--data", cleaned)
    assert code == 0 and "trusted by size and time" in out.replace("\n", " ")
    assert vlmt("clean", "--data", cleaned)[0] == 0  # as the error says
    assert vlmt("clean", "--check", "--data", cleaned)[0] == 0


def test_a_file_of_the_split_that_is_gone_is_noticed(vlmt, cleaned):
    (cleaned / "clean" / "card.md").unlink()
    code, out, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 0 and out.startswith("Clean") and "clean/card.md is gone; vlmt clean writes it again" in err
    (cleaned / "clean" / "removed.parquet").unlink()
    code, out, err = vlmt("clean", "--check", "--data", cleaned)
    assert (code, out) == (3, "") and "removed.parquet, which says why examples were removed, is gone" in err
    assert vlmt("clean", "--data", cleaned)[0] == 0
    assert (cleaned / "clean" / "card.md").exists() and vlmt("clean", "--check", "--data", cleaned)[2] == ""


def test_a_file_that_was_packed_since_is_the_same_file(vlmt, cleaned):
    path = cleaned / "raw" / "vg_qa" / "question_answers.json"
    content = path.read_bytes()
    path.unlink()
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(content))
    code, out, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 0 and out.startswith("Clean") and "came after" not in err
    packed.write_bytes(gzip.compress(content.replace(b"What", b"That", 1)))
    code, _, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 3 and "raw/vg_qa/question_answers.json is gone" in err
    assert "raw/vg_qa/question_answers.json.gz came after the split was made." in err


def test_only_test_files_that_came_since_have_test_images(vlmt, own_world):
    files = {path: path.read_bytes() for path in (own_world / "raw" / "vqa").iterdir() if "questions" in path.name}
    asked = {part: path for path in files for part in ("val2014", "test2015") if part in path.name}
    for path in asked.values():
        path.unlink()
    assert vlmt("clean", "--data", own_world, "--datasets", "vqa", "--available")[0] == 0
    for part, more in (("val2014", "."), ("test2015", "; the test images of vqa test were looked for, too.")):
        asked[part].write_bytes(files[asked[part]])
        _, _, err = vlmt("clean", "--check", "--data", own_world)
        assert f"raw/vqa/{asked[part].name} came after the split was made{more}" in err
        asked[part].unlink()


def test_a_test_image_that_came_in_quietly_is_a_leak(vlmt, cleaned):
    """One more photo of a test set, at equal size and time."""
    keep = pq.read_table(cleaned / "clean" / "keep.parquet")
    is_kept = pc.and_(pc.equal(keep["dataset"], "vg_qa"), pc.equal(keep["split"], "train"))
    row = keep.filter(is_kept)["row"][0].as_py()
    image = pq.read_table(cleaned / "examples" / "vg_qa" / "train.parquet")["images"][row][0].as_py()
    tested = pq.read_table(cleaned / "examples" / "visual7w" / "test.parquet")["images"][0][0].as_py()
    old, new = (f'"image_id": {key.partition(":")[2]},' for key in (tested, image))
    width = max(len(old), len(new))
    path = cleaned / "raw" / "visual7w" / "dataset_v7w_pointing.json"
    nameless = re.sub(r'"filename": "v7w_\d+.jpg",', "", path.read_text())  # a name would contradict the other id
    path.write_text(nameless.replace(old, old.ljust(width)))
    assert vlmt("clean", "--data", cleaned)[0] == 0
    change_quietly(path, old.ljust(width).encode(), new.ljust(width).encode())
    code, _, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 4 and "kept examples show test images" in err and f"{image} of visual7w's test set" in err


def no_raw_files(data):
    shutil.rmtree(data / "raw")


def damaged_raw_file(data):
    path = data / "raw" / "nlvr2" / "train.json"
    path.write_bytes(path.read_bytes()[:-20])


def no_metadata(data):
    path = data / "clean" / "keep.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def no_removed_table(data):
    (data / "clean" / "removed.parquet").unlink()


def other_hash(data):
    path = data / "clean" / "report.json"
    report = json.loads(path.read_text())
    path.write_text(json.dumps(report | {"split_hash": "0" * 64}))


def no_removed_table_and_no_metadata(data):
    no_removed_table(data)
    no_metadata(data)


def damaged_report(data):
    (data / "clean" / "report.json").write_text("{")


def nothing(data):
    pass


@pytest.mark.parametrize(
    "more",
    [
        nothing,
        no_raw_files,
        damaged_raw_file,
        no_metadata,
        no_removed_table,
        no_removed_table_and_no_metadata,
        damaged_report,
        other_hash,
    ],
    ids=lambda f: f.__name__,
)
def test_a_removed_row_that_is_back_is_a_leak_whatever_else_is_wrong(vlmt, cleaned, more):
    example = bring_back(cleaned, "vqa")
    more(cleaned)
    code, _, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 4 and example in err and err.count("\n") == 1


def test_edited_example_tables_and_image_lists_are_named(vlmt, own_world, tmp_path):
    (tmp_path / "list.txt").write_text("coco:1\n")
    assert vlmt("clean", "--data", own_world, "--image-list", f"mine:detector={tmp_path / 'list.txt'}")[0] == 0
    path = own_world / "examples" / "snli_ve" / "test.parquet"
    whole = pq.read_table(path)
    pq.write_table(whole.slice(1), path)
    code, _, err = vlmt("clean", "--check", "--data", own_world)
    assert code == 3 and "snli_ve has example tables that were edited (test.parquet)" in err
    pq.write_table(whole, path)
    (tmp_path / "list.txt").write_text("coco:2\n")
    code, _, err = vlmt("clean", "--check", "--data", own_world)
    assert code == 3 and f"{tmp_path / 'list.txt'} is not what it was when the split was made" in err
    command = err.strip().partition("; run vlmt ")[2]
    assert vlmt(*shlex.split(command))[0] == 0
    assert vlmt("clean", "--check", "--data", own_world)[0] == 0


def test_a_report_of_an_older_vlmt_is_called_that_and_cleaning_again_helps(vlmt, cleaned):
    path = cleaned / "clean" / "report.json"
    report = json.loads(path.read_text())
    for name in ("version", "question", "files"):
        del report[name]
    path.write_text(json.dumps(report))
    code, _, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 3 and "was made by an older vlmt: the key 'question' is missing; run vlmt clean again" in err
    assert vlmt("clean", "--data", cleaned, "--identity", "paper")[0] == 2
    assert vlmt("clean", "--data", cleaned)[0] == 0
    assert vlmt("clean", "--check", "--data", cleaned)[0] == 0


def test_a_report_of_a_dataset_that_is_not_known_is_named(vlmt, cleaned):
    path = cleaned / "clean" / "report.json"
    report = json.loads(path.read_text())
    report["question"]["datasets"].append("mars")
    path.write_text(json.dumps(report))
    code, _, err = vlmt("clean", "--check", "--data", cleaned)
    assert code == 3 and "names the dataset 'mars', which this vlmt does not know; run vlmt clean again" in err
    code, _, err = vlmt("clean", "--data", cleaned)
    assert code == 2 and "--to" in err and "--replace" in err
