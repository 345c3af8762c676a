"""vlmt clean, end to end, on a world in official files."""

import csv
import errno
import gzip
import hashlib
import json
import os
import pickle
import shutil
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands.running import run
from PIL import Image

from vlmt_cli.clean import heatmap
from vlmt_cli.clean.overlap import Share
from vlmt_cli.clean.split_folder import read_report
from vlmt_cli.datasets.table import TWELVE, short_title


def files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_all_twelve_are_cleaned_and_test_sets_stay(vlmt, world):
    code, out, _ = vlmt("clean", "--data", world, "--json", "--dry-run")
    report = json.loads(out)
    assert code == 0
    assert report["union"] == list(TWELVE)
    assert not report["warnings"]
    for split in report["splits"]:
        assert split["kept"] + split["removed"] == split["examples"]
        assert split["role"] != "test" or split["removed"] == 0
    assert all(cell["hit"] == 0 for row in report["test_images_after"].values() for cell in row.values())
    assert report["test_images_before"]["refcoco"]["vqa"]["hit"] == report["test_images_before"]["refcoco"]["vqa"]["of"]


def test_keep_and_removed_share_out_all_examples(world):
    keep, removed = (pq.read_table(world / "clean" / f"{name}.parquet") for name in ("keep", "removed"))
    total = sum(
        pq.read_metadata(path).num_rows
        for name in TWELVE
        for path in (world / "examples" / name).glob("*.parquet")
        if path.stem != "links"
    )
    assert keep.num_rows + removed.num_rows == total
    assert all(hits for hits in removed["hits"].to_pylist())
    relations = {hit["how"] for hits in removed["hits"].to_pylist() for hit in hits}
    assert {"id", "crosswalk", "flickr", "url"} <= relations


def test_cleaning_again_changes_no_byte(vlmt, own_world):
    assert vlmt("clean", "--data", own_world)[0] == 0
    before = files(own_world / "clean")
    shutil.rmtree(own_world / "examples")
    assert vlmt("clean", "--data", own_world)[0] == 0
    assert files(own_world / "clean") == before


def test_the_check_passes_and_fails_when_the_crosswalk_learns_of_a_leak(vlmt, own_world):
    path = own_world / "raw" / "vg_qa" / "image_data.json"
    whole = json.loads(path.read_text())
    assert vlmt("clean", "--data", own_world)[0] == 0
    code, out, _ = vlmt("clean", "--data", own_world, "--check")
    assert code == 0 and "none of" in out
    assert vlmt("clean", "--data", own_world, "--identity", "paper", "--dry-run")[0] == 0

    removed = pq.read_table(own_world / "clean" / "removed.parquet").to_pylist()
    by_crosswalk = {
        hit["image"] for row in removed if all(h["how"] == "crosswalk" for h in row["hits"]) for hit in row["hits"]
    }
    known = sorted(int(key.removeprefix("vg:")) for key in by_crosswalk if key.startswith("vg:"))
    forgotten = [
        image | {"coco_id": None, "flickr_id": None} if image["image_id"] in known else image for image in whole
    ]
    path.write_text(json.dumps(forgotten))
    assert vlmt("clean", "--data", own_world)[0] == 0
    one_more = [new if old["image_id"] == known[0] else old for old, new in zip(forgotten, whole, strict=True)]
    path.write_text(json.dumps(one_more))
    code, _, err = vlmt("clean", "--data", own_world, "--check")
    assert code == 4
    assert "kept examples show test images" in err and err.count("\n") == 1


def test_the_papers_identity_is_blind_to_photos_and_addresses(vlmt, world):
    strict = json.loads(vlmt("clean", "--data", world, "--json", "--dry-run")[1])
    paper = json.loads(vlmt("clean", "--data", world, "--json", "--dry-run", "--identity", "paper")[1])
    assert "vg_qa" not in paper["union"]
    assert paper["split_hash"] != strict["split_hash"]
    by_paper = {(one["dataset"], one["split"]): one["removed_under_paper_identity"] for one in strict["splits"]}
    assert {(one["dataset"], one["split"]): one["removed"] for one in paper["splits"]} == by_paper
    assert {how for one in paper["splits"] for how in one["by_relation"]} == {"id", "crosswalk"}
    assert {how for one in strict["splits"] for how in one["by_relation"]} == {"id", "crosswalk", "flickr", "url"}


def test_missing_files_are_listed_and_available_goes_on_and_says_so(vlmt, own_world):
    shutil.rmtree(own_world / "raw" / "nlvr2")
    (own_world / "raw" / "vg_qa" / "image_data.json").unlink()
    code, _, err = vlmt("clean", "--data", own_world)
    assert code == 3
    assert "3 official files are missing: nlvr2/train.json, nlvr2/dev.json, nlvr2/test1.json" in err
    assert "/nlvr2/data/train.json" in err and "--available" in err and err.count("\n") == 1
    code, out, _ = vlmt("clean", "--data", own_world, "--available", "--json")
    report = json.loads(out)
    warnings = report["warnings"]
    assert code == 0 and report["crosswalk"] == "built-in"
    assert "Clean of the test images of vqa" in warnings[0] and "3 official files are missing" in warnings[0]
    assert "Test images of nlvr2 were not looked for, and may be left (vlmt scan knows image ids of" in warnings[0]
    assert "test images of nlvr2 were not looked for" in report["verdict"]
    assert "Test images of nlvr2 were not looked for" in vlmt("clean", "--data", own_world, "--check")[1]
    assert "image_data.json is missing" in warnings[1]


def test_the_built_in_crosswalk_takes_the_turn_of_visual_genomes(vlmt, tmp_path):
    """Visual Genome's 107933 is COCO's 410707; no annotation file here says so."""
    raw = tmp_path / "raw"
    for folder in ("coco", "vg_qa"):
        (raw / folder).mkdir(parents=True)
    photo = {"split": "test", "cocoid": 410707, "sentences": [{"raw": "a dog", "sentid": 1}]}
    (raw / "coco" / "dataset_coco.json").write_text(json.dumps({"images": [photo]}))
    asked = [
        {"id": n, "qas": [{"qa_id": n, "image_id": n, "question": "What?", "answer": "A dog."}]} for n in (1, 107933)
    ]
    (raw / "vg_qa" / "question_answers.json").write_text(json.dumps(asked))
    arguments = ["clean", "--data", tmp_path, "--datasets", "coco,vg_qa", "--available", "--json"]
    report = json.loads(vlmt(*arguments)[1])
    split = next(one for one in report["splits"] if one["dataset"] == "vg_qa")
    assert (split["kept"], split["by_relation"], report["crosswalk"]) == (1, {"crosswalk": 1}, "built-in")
    assert "is known from the built-in crosswalk" in report["warnings"][0]
    assert vlmt("clean", "--data", tmp_path, "--check")[0] == 0
    images = [{"image_id": n, "coco_id": None} for n in (1, 107933)]
    (raw / "vg_qa" / "image_data.json").write_text(json.dumps(images))
    assert "vg_qa/image_data.json came after the split was made" in vlmt("clean", "--data", tmp_path, "--check")[2]
    report = json.loads(vlmt(*arguments)[1])
    split = next(one for one in report["splits"] if one["dataset"] == "vg_qa")
    assert (split["kept"], report["crosswalk"]) == (2, "image_data.json")
    (raw / "vg_qa" / "image_data.json").write_text(json.dumps(images[:1]))  # a part; the rest is the built-in one's
    report = json.loads(vlmt(*arguments, "--replace")[1])
    split = next(one for one in report["splits"] if one["dataset"] == "vg_qa")
    assert (split["kept"], report["crosswalk"]) == (1, "image_data.json and built-in")
    assert "lists 1 image, and 2 are used" in report["warnings"][0] and "are COCO images, 1," in report["warnings"][0]
    assert "coco:410707" in vlmt("data", "explain", "vg:107933", "--data", tmp_path)[1]


def test_the_page_counts_as_the_report_does_and_leaves_out_empty_panels(world, tmp_path):
    from vlmt_cli.analysis.overview import leaks_section  # needs torch

    report = read_report(world / "clean")
    section = leaks_section(world)
    assert report.verdict in section.intro  # one denominator
    for test, row in report.test_images_before.items():
        listed = section.body.split(f"<td>{short_title(test)}</td>")[1].split("</tr>")[0]
        assert all((f">{short_title(column)} " in listed) == bool(cell.hit) for column, cell in row.items())
    (test, row), *_ = report.test_images_after.items()
    left = report.model_copy(update={"test_images_after": {test: dict.fromkeys(row, Share(1, 2))}})
    heights = []
    for one in (report, left):
        heatmap.draw_heatmap(one, tmp_path / "overlap.png")
        with Image.open(tmp_path / "overlap.png") as picture:
            heights.append(picture.height)
    assert heights[1] > 1.9 * heights[0]


def test_a_dry_run_writes_no_split(vlmt, own_world):
    assert vlmt("clean", "--data", own_world, "--dry-run")[0] == 0
    assert not (own_world / "clean").exists()


def test_image_lists_join_as_test_train_and_detector(vlmt, own_world, tmp_path):
    assert vlmt("clean", "--data", own_world, "--datasets", "snli_ve", "--dry-run")[0] == 0
    key = pq.read_table(own_world / "examples" / "snli_ve" / "train.parquet")["images"][0][0].as_py()
    (tmp_path / "list.txt").write_text(f"{key}\n")
    arguments = ["clean", "--data", own_world, "--datasets", "snli_ve", "--json"]
    code, _, err = vlmt(*arguments, "--image-list", f"snli_ve:train={tmp_path / 'list.txt'}")
    assert code == 2 and "snli_ve has train images already" in err
    lists = [f"mine:{role}={tmp_path / 'list.txt'}" for role in ("test", "train", "detector")]
    code, out, _ = vlmt(*arguments, *(part for one in lists for part in ("--image-list", one)))
    report = json.loads(out)
    counts = {(one["dataset"], one["split"]): (one["kept"], one["removed"]) for one in report["splits"]}
    assert code == 0
    assert counts["snli_ve", "train"][1] > 0
    assert counts["mine", "train-images"] == (0, 1)
    assert counts["mine", "detector-images"] == (0, 0)
    assert report["test_images_after"]["mine"]["mine (detector)"] == {"hit": 1, "of": 1}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--datasets", "vqa2"], "did you mean vqa"),
        (["--identity", "loose"], "choose strict or paper"),
        (["--image-list", "x=y"], "NAME:ROLE=FILE"),
        (["--set", "vqa.minvl=1"], "did you mean vqa.minval"),
        (["some-folder"], "--near-duplicates"),
        (["--verdicts", "x.txt"], "--near-duplicates"),
        (["--near-duplicates", "--identity", "paper"], "strict identity"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(vlmt, world, arguments, hint):
    code, _, err = vlmt("clean", "--data", world, "--dry-run", *arguments)
    assert code == 2
    assert hint in err and err.count("\n") == 1


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


def replaced(old, new):
    return lambda data: data.replace(old, new, 1)


DAMAGE = {
    "cut short": ("vqa/v2_mscoco_val2014_annotations.json", lambda data: data[: len(data) // 2]),
    "another kind": ("coco/dataset_coco.json", lambda data: b"[1, 2]"),
    "no field": ("vg_qa/question_answers.json", replaced(b'"question"', b'"query"')),
    "wrong type": ("visual7w/dataset_v7w_pointing.json", replaced(b'"image_id": ', b'"image_id": "x", "y": ')),
    "hostile pickle": ("refcoco/refs(unc).p", lambda data: pickle.dumps([Evil()])),
    "path in an id": ("gqa/testdev_balanced_questions.json", replaced(b'"imageId": "n', b'"imageId": "../n')),
    "gz cut short": ("guesswhat/guesswhat.valid.jsonl.gz", lambda data: data[:-40]),
    "gz of nothing": ("guesswhat/guesswhat.train.jsonl.gz", lambda data: gzip.compress(b"{}\n")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line_exit_3_and_leaves_the_split_that_was_there(vlmt, own_world, damage, monkeypatch):
    monkeypatch.chdir(own_world)
    assert vlmt("clean", "--data", own_world)[0] == 0
    before = files(own_world / "clean")
    name, change = DAMAGE[damage]
    path = own_world / "raw" / name
    good = path.read_bytes()
    assert change(good) != good
    path.write_bytes(change(good))
    code, _, err = vlmt("clean", "--data", own_world)
    assert code == 3
    assert path.name in err and err.count("\n") == 1
    assert files(own_world / "clean") == before
    assert not list(own_world.rglob("*.partial")) and not (own_world / "ran").exists()


@pytest.mark.parametrize(("trouble", "exit_code"), [(OSError(errno.ENOSPC, "full"), 1), (KeyboardInterrupt(), 130)])
def test_a_full_disk_or_ctrl_c_leaves_the_split_that_was_there(vlmt, own_world, monkeypatch, trouble, exit_code):
    assert vlmt("clean", "--data", own_world)[0] == 0
    before = files(own_world / "clean")
    replace, calls = os.replace, []

    def fail(source, target):
        calls.append(target)
        if calls.count(own_world / "clean") == 1 and target == own_world / "clean":  # the old one is put aside by now
            raise trouble
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    code, _, err = vlmt("clean", "--data", own_world, "--identity", "paper", "--replace")
    assert code == exit_code
    assert len(calls) > 1 and err.count("\n") <= 2 and "Traceback" not in err
    assert files(own_world / "clean") == before
    assert not list(own_world.rglob("*.partial"))


@pytest.fixture(scope="module")
def real_report(real_data, tmp_path_factory):
    """The report of cleaning the real files: the official lists of SNLI-VE's images stand in for its train file."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "raw").symlink_to(real_data / "raw")
    lists = {
        "snli_ve:train": "snli_ve_train_val.txt",
        "bottom_up:detector": "visual_genome_detector_train.txt",
    }
    named = [f"--image-list={name}={real_data / 'ids' / file}" for name, file in lists.items()]
    assert run("clean", "--data", str(folder), "--available", *named) == 0
    report = json.loads((folder / "clean" / "report.json").read_text())
    return report, (folder / "clean" / "report.md").read_text()


def test_the_real_files_give_the_papers_figures(real_report):
    report, page = real_report
    images = {one["dataset"]: one for one in report["images"]}
    train = next(one for one in report["splits"] if (one["dataset"], one["split"]) == ("flickr30k", "train"))
    before = report["test_images_before"]
    assert before["flickr30k"]["snli_ve"] == {"hit": 975, "of": 1000}  # table 1: 98%
    assert before["snli_ve"]["flickr30k"] == {"hit": 937, "of": 1000}  # table 1: 94%
    assert images["flickr30k"]["train_val"] == 30_014  # table 7
    assert images["flickr30k"]["cleaned_train_val_under_paper_identity"] == 29_077
    assert images["snli_ve"]["train_val"] == 30_783
    assert images["snli_ve"]["cleaned_train_val_under_paper_identity"] == 29_808
    assert images["nlvr2"]["test"] == 8_056 - 2  # addresses: http and https are one, and two are one Flickr photo
    assert train["examples"] == 145_000  # table 8
    assert train["examples"] - train["removed_under_paper_identity"] == 140_485
    assert before["vg_qa"]["bottom_up (detector)"]["hit"] > 0
    assert "97.5% (98%)" in page and "93.7% (94%)" in page


def test_the_real_files_hold_leaks_that_the_paper_did_not_see(real_report):
    report, _ = real_report
    splits = {(one["dataset"], one["split"]): one for one in report["splits"]}
    before = report["test_images_before"]
    assert before["nlvr2"]["nlvr2"]["hit"] == 48  # dev and test1 share addresses
    assert splits["nlvr2", "val"]["by_relation"]["url"] == 90
    # A Doberman that leaps through water: photo 2637959357 is in Flickr30k's and SNLI-VE's train and NLVR2's test1.
    assert before["nlvr2"]["flickr30k"]["hit"] == before["nlvr2"]["snli_ve"]["hit"] == 1
    assert splits["flickr30k", "train"]["by_relation"]["flickr"] == 5


def test_a_copy_of_a_test_image_under_another_name_goes_and_a_judged_pair_stays(vlmt, own_world, tmp_path):
    assert vlmt("clean", "--data", own_world)[0] == 0
    keep = pq.read_table(own_world / "clean" / "keep.parquet").to_pylist()
    kept = next(row for row in keep if (row["dataset"], row["split"]) == ("vg_qa", "train"))
    train = pq.read_table(own_world / "examples" / "vg_qa" / "train.parquet")["images"][kept["row"]][0].as_py()
    test = pq.read_table(own_world / "examples" / "flickr30k" / "test.parquet")["images"][0][0].as_py()
    picture = Image.effect_noise((64, 48), 60)
    for key in (train, test):
        source, _, stem = key.partition(":")
        (tmp_path / source).mkdir()
        picture.save(tmp_path / source / f"{stem}.png")
    folders = ["--near-duplicates", tmp_path / "vg", tmp_path / "flickr30k"]
    code, out, _ = vlmt("clean", "--data", own_world, "--json", "--replace", *folders)
    report = json.loads(out)
    vg = next(one for one in report["splits"] if (one["dataset"], one["split"]) == ("vg_qa", "train"))
    assert code == 0
    found = report["near_duplicates"]
    assert (found["files"], found["pairs"], found["to_judge"], found["damaged"]) == (2, {"pixels": 1}, 0, [])
    assert vg["by_relation"]["pixels"] > 0
    (tmp_path / "judged.txt").write_text(f"{train} {test}  # they only look alike\n")
    more = ["--json", "--replace", "--verdicts", tmp_path / "judged.txt"]
    code, out, _ = vlmt("clean", "--data", own_world, *more, *folders)
    vg = next(one for one in json.loads(out)["splits"] if (one["dataset"], one["split"]) == ("vg_qa", "train"))
    assert code == 0 and "pixels" not in vg["by_relation"]


def test_like_files_are_listed_also_where_no_test_image_is_among_them(vlmt, cleaned, tmp_path):
    keep = pq.read_table(cleaned / "clean" / "keep.parquet").to_pylist()
    rows = [row["row"] for row in keep if (row["dataset"], row["split"]) == ("vg_qa", "train")]
    images = pq.read_table(cleaned / "examples" / "vg_qa" / "train.parquet")["images"]
    first, second = sorted({images[row][0].as_py() for row in rows})[:2]
    (tmp_path / "vg").mkdir()
    for stem in (first.partition(":")[2], second.partition(":")[2], "999999999"):
        Image.effect_noise((64, 48), 60).save(tmp_path / "vg" / f"{stem}.png")
    shutil.copy(tmp_path / "vg" / f"{first[3:]}.png", tmp_path / "vg" / f"{second[3:]}.png")
    code, _, err = vlmt("clean", "--data", cleaned, "--replace", "--near-duplicates", tmp_path / "vg")
    assert code == 0
    assert "2 of 3 files compared; pairs: 1 pixels" in err and "999999999.png" in err
    assert f"pixels: {first} {second}, 0 of 256 bits differ" in err
    assert f"{first}" in (cleaned / "near_duplicates" / "pairs.csv").read_text()


def test_a_part_of_the_examples_that_is_gone_or_damaged_comes_back(vlmt, own_world):
    assert vlmt("clean", "--data", own_world)[0] == 0
    before = files(own_world / "clean")
    (own_world / "examples" / "coco" / "train.parquet").unlink()
    assert vlmt("clean", "--data", own_world)[0] == 0
    (own_world / "examples" / "coco" / "train.parquet").write_text("junk")
    code, _, err = vlmt("data", "explain", "coco:1", "--data", own_world)
    assert code == 3 and f"delete {own_world / 'examples' / 'coco'}" in err
    assert vlmt("clean", "--data", own_world)[0] == 0
    assert files(own_world / "clean") == before


def test_files_without_examples_and_a_folder_that_is_not_there_are_errors(vlmt, own_world, tmp_path):
    (own_world / "raw" / "coco" / "dataset_coco.json").write_text(
        '{"images": [{"cocoid": 9, "split": "val", "sentences": []}]}'
    )
    code, _, err = vlmt("clean", "--data", own_world)
    assert code == 3 and "the files of coco hold no example" in err
    code, _, err = vlmt("clean", "--data", tmp_path / "nowhere", "--available")
    assert code == 3 and "there is no such folder" in err and not (tmp_path / "nowhere").exists()


def test_files_that_are_not_read_are_named_where_official_ones_are_missing(vlmt, tmp_path):
    raw = tmp_path / "raw"
    for name in ("foo.json", "gqa/testdev_all_questions_0.json", "gqa/readme.md", "gqa/b.json", "gqa/c.json"):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        (raw / name).write_text("{}")
    said = (
        "gqa/testdev_all_questions_0.json is there and not read (GQA's unbalanced questions, which are not trained on"
    )
    for options in ([], ["--available"]):
        code, _, err = vlmt("clean", *options, "--data", tmp_path)
        assert code == 3 and said in err and "foo.json is there" in err and "readme" not in err
        assert "1 other file is not read (vlmt data status lists them)" in err


def test_a_part_of_the_crosswalk_that_is_missing_is_said_with_its_size(vlmt, own_world):
    (own_world / "raw" / "coco" / "instances_train2014.json").unlink()
    pairs = own_world / "raw" / "nlvr2" / "train.json"
    lines = [json.loads(line) for line in pairs.read_text().splitlines()]
    bare = [{name: value for name, value in line.items() if not name.endswith("_url")} for line in lines]
    pairs.write_text("".join(f"{json.dumps(line)}\n" for line in bare))
    images = own_world / "raw" / "vg_qa" / "image_data.json"
    images.write_text(json.dumps(json.loads(images.read_text())[:20]))
    code, out, _ = vlmt("clean", "--data", own_world, "--json", "--dry-run")
    warnings = json.loads(out)["warnings"]
    assert code == 0 and len(warnings) == 3
    assert "image_data.json lists 20 images" in warnings[0]
    assert "COCO images have no Flickr id" in warnings[1]
    assert "NLVR2 images come without their address" in warnings[2]


@pytest.mark.parametrize("change", ["twice", "unknown", "negative"])
def test_the_check_looks_at_every_row_of_keep(vlmt, own_world, change):
    assert vlmt("clean", "--data", own_world)[0] == 0
    path = own_world / "clean" / "keep.parquet"
    keep = pq.read_table(path)
    row = keep.slice(0, 1).to_pylist()[0]
    row |= {"twice": {}, "unknown": {"split": "extra"}, "negative": {"row": -1}}[change]
    pq.write_table(pa.concat_tables([keep, pa.Table.from_pylist([row], schema=keep.schema)]), path)
    code, _, err = vlmt("clean", "--data", own_world, "--check")
    assert code == 3 and "keep.parquet" in err and err.count("\n") == 1


def test_further_official_test_files_join_the_union_and_absent_ones_are_named(vlmt, own_world):
    """A photo of dev is in test2 under another name; challenge asks about an image that Visual Genome QA trains on."""
    dev = json.loads((own_world / "raw" / "nlvr2" / "dev.json").read_text().splitlines()[0])
    arguments = ["clean", "--data", own_world, "--json", "--dry-run"]
    before = json.loads(vlmt(*arguments)[1])
    absent = ["gqa/test_balanced_questions.json", "gqa/challenge_balanced_questions.json", "nlvr2/test2.json"]
    assert before["absent_test_files"] == absent
    assert "No test image is left" not in before["verdict"] and all(file in before["verdict"] for file in absent)

    kept = {(one["dataset"], one["split"]): one["kept"] for one in before["splits"]}
    trained = pq.read_table(own_world / "examples" / "vg_qa" / "train.parquet")["images"].to_pylist()
    image = max(
        (key for keys in trained for key in keys), key=lambda key: key.startswith("vg:") and trained.count([key])
    )
    questions = {"1": {"imageId": image.removeprefix("vg:"), "question": "Is it?"}}
    pair = dev | {"identifier": "test2-1-0-0", "right_url": "https://elsewhere.org/1.jpg"}
    for name, content in {"test": {"2": {"imageId": "n7", "question": "?"}}, "challenge": questions}.items():
        (own_world / "raw" / "gqa" / f"{name}_balanced_questions.json").write_text(json.dumps(content))
    (own_world / "raw" / "nlvr2" / "test2.json").write_text(json.dumps(pair) + "\n")
    after = json.loads(vlmt(*arguments)[1])
    assert {"gqa test-challenge", "nlvr2 test2"} <= set(after["union"]) and not after["absent_test_files"]
    assert "No test image is left among" in after["verdict"]
    hits = {(one["dataset"], one["split"]): one["by_test_set"] for one in after["splits"]}
    assert hits["nlvr2", "val"]["nlvr2 test2"] >= 1 and hits["vg_qa", "train"]["gqa test-challenge"] >= 1

    paper = json.loads(vlmt(*arguments, "--set", "clean.test_files=paper")[1])
    assert paper["union"] == before["union"]
    assert kept.items() <= {(one["dataset"], one["split"]): one["kept"] for one in paper["splits"]}.items()
    by_paper = [one["removed_under_paper_identity"] for one in before["splits"] if one["role"] != "test"]
    assert [one["removed_under_paper_identity"] for one in after["splits"] if one["role"] != "test"] == by_paper


@pytest.mark.parametrize("form", ["cut", "TIFF"])
def test_copies_that_lack_their_tail_or_are_tiffs_are_found(vlmt, tmp_path, form):
    """Conceptual Captions' only image is a copy of a COCO test photo; another one has a file that is not an image."""
    raw, images = tmp_path / "raw", tmp_path / "images"
    for folder in (raw / "coco", raw / "conceptual_captions", images / "coco", images / "cc"):
        folder.mkdir(parents=True)
    caption = {"raw": "a dog", "sentid": 1}
    photo = {"split": "test", "cocoid": 1, "sentences": [caption]}
    (raw / "coco" / "dataset_coco.json").write_text(json.dumps({"images": [photo]}))
    (raw / "conceptual_captions" / "Train_GCC-training.tsv").write_text(
        "a dog\thttp://a.org/1\na cat\thttp://a.org/2\n"
    )
    Image.effect_noise((64, 48), 60).resize((320, 240)).save(images / "coco" / "1.jpg")
    data = (images / "coco" / "1.jpg").read_bytes()
    if form == "cut":
        (images / "cc" / "0.jpg").write_bytes(data[:-20])
    else:
        Image.open(images / "coco" / "1.jpg").save(images / "cc" / "0", form)
    (images / "cc" / "1.jpg").write_bytes(b"<html>404</html>")
    arguments = ["clean", "--data", tmp_path, "--datasets", "coco,conceptual_captions", "--available"]
    code, out, _ = vlmt(*arguments, "--near-duplicates", "--json")
    report = json.loads(out)
    split = next(one for one in report["splits"] if one["dataset"] == "conceptual_captions")
    assert code == 0 and (split["kept"], split["removed"]) == (1, 1)
    assert "None is left among 1 image compared by ids, pixels and look; 1 could not be compared" in report["verdict"]
    assert "1 damaged file" in report["verdict"] and "1.jpg" in report["near_duplicates"]["damaged"][0]
    assert report["verdict"] in (tmp_path / "clean" / "report.md").read_text()


def test_a_pair_that_a_person_judges_the_same_is_removed_and_says_so(vlmt, own_world, tmp_path):
    assert vlmt("clean", "--data", own_world)[0] == 0
    keep = pq.read_table(own_world / "clean" / "keep.parquet").to_pylist()
    kept = next(row for row in keep if (row["dataset"], row["split"]) == ("vg_qa", "train"))
    train = pq.read_table(own_world / "examples" / "vg_qa" / "train.parquet")["images"][kept["row"]][0].as_py()
    test = pq.read_table(own_world / "examples" / "flickr30k" / "test.parquet")["images"][0][0].as_py()
    (tmp_path / "vg").mkdir()
    Image.effect_noise((64, 48), 60).save(tmp_path / "vg" / f"{train.removeprefix('vg:')}.png")
    (tmp_path / "verdicts.txt").write_text(f"same {train} {test}\n")
    arguments = ["--replace", "--near-duplicates", tmp_path / "vg", "--verdicts", tmp_path / "verdicts.txt"]
    assert vlmt("clean", "--data", own_world, *arguments)[0] == 0
    assert vlmt("clean", "--data", own_world, "--check")[0] == 0
    removed = pq.read_table(own_world / "clean" / "removed.parquet").to_pylist()
    hits = [hit for row in removed if row["example_id"] == kept["example_id"] for hit in row["hits"]]
    assert {"image": train, "test_set": "flickr30k", "how": "judged"} in hits


def test_what_is_published_is_the_report_s(vlmt, cleaned):
    assert vlmt("clean", "--data", cleaned, "--croissant")[0] == 0
    folder = cleaned / "clean"
    report = read_report(folder)
    with (folder / "contamination.csv").open(newline="") as file:
        rows = {
            (row["Evaluation Dataset"], row["Contaminated Source"]): row for row in csv.DictReader(file, delimiter=";")
        }
    cell = report.test_images_before["refcoco"]["vqa"]
    assert rows["RefCOCO", "VQA train and val"]["Test Split"] == f"{100 * cell.hit / cell.of:.2f}"
    assert len(rows) == sum(cell.hit > 0 for row in report.test_images_before.values() for cell in row.values())
    line = next(line for line in (folder / "card.md").read_text().splitlines() if "| RefCOCO | VQA train" in line)
    assert line.split(" | ")[2:4] == [f"{cell.hit:,}", f"{cell.of:,}"] and line.endswith("| 0 |")
    described = json.loads((folder / "croissant.json").read_text())
    assert {each["name"]: each["sha256"] for each in described["distribution"]} == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "croissant.json"
    }
    raw = {unquote(each["@id"]): each["sha256"] for each in described["prov:wasDerivedFrom"]}
    assert raw and all(
        sha == hashlib.sha256((cleaned / "raw" / path).read_bytes()).hexdigest() for path, sha in raw.items()
    )
