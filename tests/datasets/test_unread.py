"""Files below raw/ that nothing reads are named with what they are and what to do."""

import zipfile
from pathlib import Path

import pytest

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
    "refcoco/refs(google).p": "another split of RefCOCO than is read; leave it",  # RefCOCOg's has the same name
    "nlvr2/nlvr.tar.gz": "an archive that is not read; unpack it here",
    "vqa/notes": "not an official file",
    "\x1b[2J.json": "not an official file",
}


@pytest.mark.parametrize("file", FILES)
def test_what_is_not_read_is_named_with_what_to_do(tmp_path: Path, file: str) -> None:
    path = tmp_path / "raw" / file
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    [unread] = unread_files(tmp_path)
    assert unread.path == file and FILES[file] in f"{unread.what}; {unread.todo}"


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
