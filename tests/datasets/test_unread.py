"""Files below raw/ that nothing reads are named with what they are and what to do."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from commands.running import run

from vlmt_cli.datasets import unread
from vlmt_cli.datasets.unread import unread_files

FILES = {
    "vqa/balanced_dev.json": "a part of NLVR2 that its authors balanced; put dev.json",
    "gqa/train_all_questions/train_all_questions_0.json": "unbalanced questions, which are not trained on; put train_b",
    "conceptual_captions/Train%2FGCC-training.tsv": "under its address's name; rename it to Train_GCC-training.tsv",
    "VQA/v2_OpenEnded_mscoco_val2014_questions.json": "where it is not looked for (VQA v2); put it into raw/vqa",
    "nlvr2/a/b/dev.json": "where it is not looked for (NLVR2); put it into raw/nlvr2",
    "cocoRetreival/all_data_final_train_2014.jsonline": "in the form of the authors' code",
    "coco/coco_karpathy_test.json": "BLIP's form of the Karpathy split; put dataset_coco.json",
    "coco/dataset-coco.json": "perhaps dataset_coco.json (COCO retrieval); rename it",
    "refcoco/finetune_refcoco_test.json": "MDETR's form",
    # RefCOCOg's has the same name.
    "refcoco/refs(google).p": "than RefCOCO's, of which refs(unc).p is read; put refs(unc).p here, of the archive",
    "refcoco/refcoco/refs(google).p": "than RefCOCO's, of which refs(unc).p is read; put refs(unc).p here",
    "refcoco+/refs(umd).p": "than RefCOCO+'s, of which refs(unc).p is read; put refs(unc).p here",
    "refcocog/refs(unc).p": "than RefCOCOg's, of which refs(umd).p is read; put refs(umd).p here, of the archive that"
    " instances.json came in; if it is of another dataset, put it into raw/refcoco or raw/refcoco+",
    "refs(google).p": "where it is not looked for (RefCOCOg); put it into raw/refcocog",
    "visual7w/dataset_v7w_telling.json": "Visual7W's telling questions, which are answered in words, not by a box; put",
    "vqa/OpenEnded_mscoco_train2014_questions.json": "a file of VQA v1 or OK-VQA, which are not among the datasets; d",
    "vqa/mscoco_train2014_annotations.json": "a file of VQA v1 or OK-VQA",
    "conceptual_captions/Train-GCC-training.tsv": "perhaps Train_GCC-training.tsv (Conceptual Captions); rename it",
    "vqa/train2014_obj36.tsv": "features, or a table that is not read; vlmt pack takes features",
    "a/b/c/d/e/f/g/h/dataset_coco.json": "where it is not looked for (COCO retrieval); put it into raw/coco",
    "nlvr2/nlvr.tar.gz": "an archive that is not read; unpack it here",
    "vqa/notes": "not an official file",
    "\x1b[2J.json": "not an official file",
}


@pytest.mark.parametrize("file", FILES)
def test_what_is_not_read_is_named_with_what_to_do(tmp_path: Path, file: str) -> None:
    path = tmp_path / "raw" / file
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    [said] = unread_files(tmp_path)
    assert said.path == file and FILES[file] in f"{said.what}; {said.todo}"


def test_what_lies_where_another_file_is_read_is_compared_with_it(tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "nlvr2"
    (raw / "more").mkdir(parents=True)
    for name, text in (("test1", "1"), ("test", "22"), ("more/test1", "1"), ("train", "3"), ("dev", "4")):
        (raw / f"{name}.json").write_text(text)
    (raw / "train.json.gz").write_bytes(gzip.compress(b"3"))
    (raw / "dev.json.gz").write_bytes(gzip.compress(b"5")[:-9])
    (raw / "test2.json").symlink_to(raw / "test2.json")
    (raw / "readme.md").symlink_to(raw / "nowhere")
    said = {each.path: f"{each.what}; {each.todo}" for each in unread_files(tmp_path)}
    another = "another file than nlvr2/{}, which is read in its stead; keep the right one, and remove the other"
    assert said == {
        "nlvr2/test.json": another.format("test1.json"),
        "nlvr2/dev.json.gz": another.format("dev.json"),
        "nlvr2/more/test1.json": "a second copy of nlvr2/test1.json, which is read; remove one of them",
        "nlvr2/train.json.gz": "a second copy of nlvr2/train.json, which is read; remove one of them",
        "nlvr2/test2.json": "a link that leads nowhere; make it lead to the file, or put the file here",
        "nlvr2/readme.md": "a link that leads nowhere; make it lead to the file, or put the file here",
    }


def test_archives_in_archives_and_too_deep_are_named(tmp_path: Path) -> None:
    raw = tmp_path / "raw" / "flickr30k_entities"
    (raw / "a" / "b").mkdir(parents=True)
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("Sentences/1.txt", "A dog .")
    for name, files in (("master.zip", ("annotations.zip", "test.txt")), ("other.zip", ("annotations.zip",))):
        with zipfile.ZipFile(raw / name, "w") as archive:
            for file in files:
                archive.writestr(file, inner.getvalue())
    (raw / "a" / "b" / "annotations.zip").write_bytes(inner.getvalue())
    said = {each.path.rpartition("entities/")[2]: f"{each.what}; {each.todo}" for each in unread_files(tmp_path)}
    assert said == {
        "master.zip/annotations.zip": "an archive in an archive, which is not read; unpack the outer one here",
        "other.zip": "an archive of archives, which are not read; unpack it here",
        "a/b/annotations.zip": "an archive that holds Sentences; put it into raw/flickr30k_entities",
    }


def test_more_files_than_are_looked_at_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "_MOST", 2)
    (tmp_path / "raw").mkdir()
    for name in "abc":
        (tmp_path / "raw" / name).write_text("")
    assert [each.path for each in unread_files(tmp_path)] == ["a", "b", "c"]
    assert unread_files(tmp_path)[-1].what.startswith("more than 2 files that are not read")


def test_what_is_read_is_not_named_and_many_images_are_one_line(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for folder in ("coco/val2014", "flickr30k_entities/Annotations", "nlvr2"):
        (raw / folder).mkdir(parents=True)
    for number in range(9):
        (raw / "coco" / "val2014" / f"{number}.jpg").write_bytes(b"")
        (raw / "flickr30k_entities" / "Annotations" / f"{number}.xml").write_bytes(b"")
    with zipfile.ZipFile(raw / "nlvr2" / "all.zip", "w") as archive:
        archive.writestr("nlvr2/dev.json", "{}")
    with zipfile.ZipFile(raw / "caption_datasets.zip", "w") as archive:
        archive.writestr("dataset_coco.json", "{}")
        archive.writestr("dataset_flickr30k.json", "{}")
    said = {each.path: f"{each.what}; {each.todo}" for each in unread_files(tmp_path)}
    assert said.keys() == {"coco/val2014/0.jpg and 8 others", "caption_datasets.zip"}
    assert said["caption_datasets.zip"].endswith("; put it into raw/coco and raw/flickr30k")


def test_of_two_files_under_names_of_one_official_file_both_are_named(tmp_path: Path, capsys) -> None:
    raw = tmp_path / "raw"
    for folder in ("snli_ve/inner", "visual7w", "nlvr2", "refcocog"):
        (raw / folder).mkdir(parents=True)
    for file in ("snli_ve/snli_ve_dev.jsonl", "snli_ve/snli_ve_dev.jsonl.gz", "snli_ve/inner/snli_ve_dev.jsonl",
                 "visual7w/dataset_v7w_pointing.json", "visual7w/dataset.json", "refcocog/refs(umd).p",
                 "refcocog/refs(google).p"):  # fmt: skip
        (raw / file).write_text("{}")
    with zipfile.ZipFile(raw / "nlvr2" / "all.zip", "w") as archive:
        archive.writestr("nlvr2/dev.json", "[]")
        archive.writestr("nlvr2/test1.json", "{}")
    (raw / "nlvr2" / "dev.json").write_text("{}")
    passed = {
        "snli_ve/snli_ve_dev.jsonl.gz": "snli_ve/snli_ve_dev.jsonl",
        "snli_ve/inner/snli_ve_dev.jsonl": "snli_ve/snli_ve_dev.jsonl",
        "visual7w/dataset.json": "visual7w/dataset_v7w_pointing.json",
        "nlvr2/all.zip/nlvr2/dev.json": "nlvr2/dev.json",  # of an archive of which the rest is read
    }
    told = {each.path: each.what for each in unread_files(tmp_path)}
    assert told.keys() == passed.keys() and all(passed[path] in what for path, what in told.items())
    assert told["nlvr2/all.zip/nlvr2/dev.json"] == "another file than nlvr2/dev.json, which is read in its stead"
    for asked in (("--datasets", "snli_ve,visual7w,nlvr2,refcocog"), ("--check",)):
        run("clean", *asked, "--data", str(tmp_path))
        err = capsys.readouterr().err
        assert err.count("Warning: ") == len(passed)
        assert all(
            f"{read} is read, and {path} passed over, as both have names of one" in err for path, read in passed.items()
        )
