"""Another question never replaces an answer: it goes elsewhere, or says that it may."""

import json
import re
import shlex
import shutil

import pyarrow.parquet as pq
import pytest
from PIL import Image

from vlmt_cli.base.errors import DataError
from vlmt_cli.datasets.clean_command import clean_command, get_examples
from vlmt_cli.tasks.tables import require_in_split


def files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def here(cleaned, tmp_path, monkeypatch):
    """A cleaned world of one's own as ``data`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text("coco:1\n")
    (tmp_path / "photos").mkdir()
    Image.effect_noise((64, 48), 60).save(tmp_path / "photos" / "1.png")
    return cleaned


QUESTIONS = {
    "--identity paper": "takes paper identity instead of strict",
    "--set vqa.minval=7": "sets vqa.minval to 7 instead of 3000",
    "--datasets vqa,coco": "leaves out vg_qa, gqa, flickr30k, refcoco, refcoco+, refcocog, visual7w, "
    "guesswhat, nlvr2, snli_ve",
    "--datasets all,flickr30k_entities": "adds flickr30k_entities",
    "--image-list mine:detector=list.txt": "adds the image list mine:detector",
    "--near-duplicates coco=photos": "compares image files",
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_it_is_refused_and_the_error_says_what_would_be_lost(vlmt, here, question):
    before = files(here)
    split = json.loads((here / "clean" / "report.json").read_text())["split_hash"]
    for folder in (here / "runs" / "mine", here / "runs" / "mine" / "best"):  # one run, whose best weights are beside
        folder.mkdir(parents=True)
        (folder / "lineage.json").write_text(json.dumps({"stages": [{"name": "mine", "split_hash": split}]}))
    code, _, err = vlmt("clean", "--data", here, *shlex.split(question))
    assert code == 2 and err.count("\n") == 1
    assert QUESTIONS[question] in err and split[:16] in err and "1 run was trained on (mine)" in err
    shutil.rmtree(here / "runs")
    assert files(here) == before


@pytest.mark.parametrize("question", ["--set vqa.minval=7", "--near-duplicates coco=photos"])
def test_the_advice_works(vlmt, here, question):
    before, examples = files(here / "clean"), files(here / "examples")
    command = ["clean", "--data", here, *shlex.split(question)]
    other = re.search(r"--to (\S+)", vlmt(*command)[2])[1]
    code, _, err = vlmt(*command, "--to", other)
    assert code == 0, err
    assert files(here / "clean") == before and files(here / "examples") == examples
    assert vlmt("clean", "--check", "--data", here)[0] == 0
    code, out, err = vlmt("clean", "--check", "--data", here, "--to", other)
    assert code == 0 and out.startswith("Clean"), err
    assert vlmt(*command, "--replace")[0] == 0
    assert files(here / "clean") != before


def test_the_same_question_is_asked_again_and_again(vlmt, here):
    command = ["clean", "--data", here]
    before = files(here / "clean")
    path = here / "raw" / "nlvr2" / "train.json"
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    assert vlmt(*command, "--datasets", "all", "--identity", "strict")[0] == 0
    assert files(here / "clean") != before


def test_what_only_trains_stays_in_a_split_that_is_made_again(vlmt, here):
    """The user's own command, after the demo's: what is kept of the twelve is the same with captions beside them."""
    assert vlmt("clean", "--data", here, "--datasets", "all,conceptual_captions", "--replace")[0] == 0
    before = files(here / "clean")
    for more in ((), ("--replace",)):
        code, _, err = vlmt("clean", "--data", here, "--datasets", "all", *more)
        assert code == 0 and "Kept in the split, having no test set: conceptual_captions" in err
        assert files(here / "clean") == before


def test_the_advice_for_a_lacking_dataset_keeps_what_the_split_holds(vlmt, here):
    assert (
        vlmt("clean", "--data", here, "--datasets", "vqa,flickr30k_entities", "--identity", "paper", "--replace")[0]
        == 0
    )
    command = clean_command(here, "conceptual_captions", "vqa")
    assert command == (
        f"vlmt clean --datasets vqa,flickr30k_entities,conceptual_captions --identity paper --data {here} --replace"
    )
    assert vlmt(*shlex.split(command)[1:])[0] == 0
    report = json.loads((here / "clean" / "report.json").read_text())
    assert report["question"]["datasets"] == ["vqa", "flickr30k_entities", "conceptual_captions"]
    assert clean_command(here, "vqa") == command.removesuffix(" --replace")  # it is there, and nothing is replaced
    with pytest.raises(DataError, match=r"has no coco, nlvr2; run vlmt clean --datasets vqa,.*coco,nlvr2 .*--replace"):
        require_in_split(here, ["coco", "vqa", "nlvr2"])


def test_the_advice_names_the_files_without_which_cleaning_makes_nothing(vlmt, here, tmp_path):
    raw, captions = here / "raw", "conceptual_captions"
    assert get_examples(here, captions) == f"run {clean_command(here, captions)}"
    assert get_examples(here, "coco", split="test") == f"run vlmt clean --datasets all --data {here}"  # was read
    shutil.rmtree(raw / captions)
    said = get_examples(here, captions)
    assert f"put {captions}/Train_GCC-training.tsv (https://" in said and f"below {raw}, then run vlmt clean" in said
    assert "--replace" not in said and "--available" not in said
    (raw / "nlvr2" / "train.json").unlink()
    assert "--available" in get_examples(here, captions) and "--available" in clean_command(here, "vqa")
    assert get_examples(here, "nlvr2", split="train").startswith("run ")  # the table was made before
    assert "put nlvr2/train.json (https://" in get_examples(here, "nlvr2", split="extra")
    shutil.copy(raw / "nlvr2" / "dev.json", raw / "nlvr2" / "test2.json")  # never read yet
    assert get_examples(here, "nlvr2", split="extra").startswith("run vlmt clean")


def test_files_that_are_gone_take_nothing_out_of_a_split(vlmt, here):
    before = files(here / "clean")
    shutil.rmtree(here / "raw" / "nlvr2")
    code, _, err = vlmt("clean", "--data", here, "--available")
    assert code == 2 and "leaves out nlvr2 train" in err and "whose files are gone" in err
    assert files(here / "clean") == before


def test_a_split_elsewhere_is_one_of_its_own(vlmt, here, tmp_path):
    assert vlmt("clean", "--data", here, "--set", "vqa.minval=7", "--to", "other")[0] == 0
    kept = pq.read_table(tmp_path / "other" / "keep.parquet")
    path = tmp_path / "other" / "examples" / "vqa" / "val.parquet"
    assert path.exists() and pq.read_metadata(path).num_rows == 7
    assert kept.num_rows > 0
    code, _, err = vlmt("clean", "--data", here, "--to", "other")
    assert code == 2 and "sets vqa.minval to" in err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    code, _, err = vlmt("clean", "--data", here, "--to", "mine")
    assert code == 2 and "holds other files" in err
    code, _, err = vlmt("clean", "--data", here, "--to", here / "clean")
    assert code == 2 and "is the split that training reads" in err


def test_a_folder_that_does_not_exist_is_an_error_and_is_not_made(vlmt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (
        "data status",
        "data show vqa",
        "data explain coco:1",
        "clean",
        "clean --available",
        "clean --check",
        "clean --dry-run --available",
        "clean --to other",
        "analyze overlap --available",
        "train --task vqa --scale mini",
        "pretrain --scale mini",
        "pack --hard-negatives store",
    ):
        code, out, err = vlmt(*command.split(), "--data", "typo")
        assert code == 3 and "typo" in err and not out, command
        assert not list(tmp_path.iterdir()), command


def test_a_device_in_place_of_an_image_list_is_refused(vlmt, cleaned):
    code, _, err = vlmt("clean", "--image-list", "a:train=/dev/zero", "--data", cleaned)
    assert code == 3 and "/dev/zero: is a device, not a file" in err
