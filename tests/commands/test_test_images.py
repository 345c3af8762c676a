"""A test image is a test image, though no example shows it: each way in which official files leave it without one."""

import json

import pytest
from handmade import GAME, INSTANCES, REFS, Lines, Pickle, annotation, entity, official, write

from vlmt_cli.clean.own_index import index_of_datasets
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.prepare import prepare

COCO, V7W = official("coco")["dataset_coco.json"], official("visual7w")["dataset_v7w_pointing.json"]
NO_CAPTION = {"dataset_coco.json": {**COCO, "images": [{**COCO["images"][0], "sentences": []}, *COCO["images"][1:]]}}
NO_PAIR = {
    "dataset_v7w_pointing.json": {**V7W, "images": [*V7W["images"], {"image_id": 9, "split": "test", "qa_pairs": []}]}
}
SILENT = Pickle([REFS[0], {**REFS[1], "sentences": []}, REFS[2]])
OTHERS = Pickle([{**REFS[1], "split": "test", "sentences": []}])
LOST = Lines([{**GAME, "status": status, "dialogue_id": n} for n, status in enumerate(("failure", "incomplete", "?"))])
WON = {**GAME, "picture_id": 9, "dialogue_id": 9, "picture": {}}
NO_BOX = {
    "test.txt": "10\n11\n12\n13\n",
    **{f"Sentences/{n}.txt": "[/EN#5/other A box]\n" for n in (10, 11, 12)},
    "Sentences/13.txt": "A box\n",
    "Annotations/10.xml": annotation(entity(5, instead="nobndbox")),
    "Annotations/11.xml": annotation(entity(5, box=(9, 9, 2, 2))),
    "Annotations/12.xml": annotation(entity(5, box=(2, 2, 9, 9))),
    "Annotations/13.xml": annotation(entity(5, box=(2, 2, 9, 9))),
}
CASES = {
    "no caption": ("coco", NO_CAPTION, {"test": ["coco:391895"]}, {}),
    "no pair": ("visual7w", NO_PAIR, {"test": ["vg:9"]}, {}),
    "no sentence": ("refcoco", {"refs(unc).p": SILENT, "instances.json": INSTANCES}, {"testA": ["coco:9"]}, {}),
    "no instances.json": ("refcoco", {"refs(unc).p": Pickle(REFS)}, {"testA": ["coco:9"]}, {}),
    "no sentence of umd": (
        "refcocog",
        {"refs(google).p": Pickle(REFS[:1]), "refs(umd).p": OTHERS, "instances.json": INSTANCES},
        {"test-umd": ["coco:9"]},
        {"split_by": "google"},
    ),
    "no success": ("guesswhat", {"guesswhat.test.jsonl": Lines([WON, *LOST])}, {"test": ["coco:489209"]}, {}),
    "no box": ("flickr30k_entities", NO_BOX, {"test": [f"flickr30k:{n}" for n in (10, 11, 13)]}, {}),
    "no folders": ("flickr30k_entities", {"test.txt": "10\n"}, {"test": ["flickr30k:10"]}, {}),
}


@pytest.mark.parametrize("case", CASES)
def test_test_images_without_an_example_are_kept_beside_the_examples(tmp_path, case):
    name, files, images, options = CASES[case]
    write(tmp_path / "raw" / name, files)
    read = lambda: prepare(tmp_path, [name], Options.model_validate({name: options} if options else {}))[name]  # noqa: E731
    made = read()
    assert {split: keys.to_pylist() for split, keys in made.images_alone().items()} == images
    for split, keys in images.items():
        assert made.manifest.notes[f"{split} images without an example, whose copies are removed"] == len(keys)
    (made.folder / "test_images.parquet").unlink()
    assert read().images_alone() != {}


def test_tables_of_files_whose_test_images_all_have_examples_are_as_ever(tmp_path):
    write(tmp_path / "raw" / "coco", official("coco"))
    made = prepare(tmp_path, ["coco"], Options())["coco"]
    assert not made.images_alone() and set(made.manifest.example_hashes) == {"train", "test"}
    assert {path.name for path in made.folder.glob("*.parquet")} == {"train.parquet", "test.parquet", "links.parquet"}


def image(cocoid, split):
    said = [{"sentid": cocoid, "raw": "A dog."}]
    return {"cocoid": cocoid, "filename": f"COCO_val2014_{cocoid:012}.jpg", "split": split, "sentences": said}


@pytest.mark.parametrize("identity", ["strict", "paper"])
def test_their_copies_are_removed_and_looked_for(tmp_path, vlmt, identity):
    raw = tmp_path / "raw"
    write(raw / "coco", {"dataset_coco.json": {"images": [image(n, "train") for n in (9, 7, 489209)]}})
    write(raw / "guesswhat", {"guesswhat.test.jsonl": LOST})
    write(raw / "refcoco+", {"refs(unc).p": Pickle([{**REFS[1], "image_id": 7000, "file_name": ""}])})
    refs = {"refs(unc).p": SILENT, "instances.json": INSTANCES}
    write(raw / "refcoco", refs)
    data = ("--data", tmp_path)
    clean = ("clean", "--available", *data, "--json")
    assert vlmt("clean", "--available", "--identity", identity, *data, "--json")[0] == 0
    report = json.loads((tmp_path / "clean" / "report.json").read_text())
    kept = {f"{split['dataset']} {split['split']}": split["kept"] for split in report["splits"]}
    assert kept["coco train"] == kept["guesswhat test-without-examples"] == kept["refcoco testA-without-examples"] == 1
    assert report["union"] == ["refcoco", "refcoco+", "guesswhat"]
    assert all("images without" in str(report["notes"][name]) for name in report["union"])
    assert vlmt("clean", "--check", *data)[0] == 0
    assert json.loads(vlmt("data", "explain", "coco:9", *data, "--json")[1])[-1]["split"] == "testA-without-examples"
    assert "testA images alone 1" in vlmt("data", "status", *data)[1]
    # Of a split that was made when the image was no test image, its copy is left.
    write(raw / "refcoco", refs | {"refs(unc).p": Pickle([REFS[0], REFS[2]])})
    assert vlmt(*clean, "--identity", identity, "--replace")[0] == 0
    write(raw / "refcoco", refs)
    code, _, err = vlmt("clean", "--check", *data)
    assert code == 4 and "which is one of refcoco's test set" in err


def test_an_index_of_official_files_has_them(tmp_path):
    write(tmp_path / "raw" / "guesswhat", {"guesswhat.test.jsonl": Lines([WON, *LOST])})
    index = index_of_datasets(prepare(tmp_path, ["guesswhat"], Options()), val=False)
    assert index.benchmarks["guesswhat-test"].of == 2
    assert sorted(index.images["image"].to_pylist()) == ["coco:489209", "coco:9"]
