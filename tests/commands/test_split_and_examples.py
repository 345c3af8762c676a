"""A split and the examples beside it are of one making, or nothing is trained, scored or counted on them."""

import json
import shlex
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from evaluation.tiny_run import make_run

from vlmt_cli.clean import split_write
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.prepare import prepare

MINI = ["--scale", "mini", "--set", "training.iterations=1"]


def files(folder):
    return {file.relative_to(folder): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture
def data(trained_world, tmp_path):
    """The small world's data, to change."""
    folder = tmp_path / "data"
    for name in ("raw", "examples", "clean"):
        shutil.copytree(trained_world / name, folder / name)
    (folder / "features").mkdir()
    for path in (trained_world / "features").iterdir():
        (folder / "features" / path.name).symlink_to(path)
    return folder


def reorder(data, dataset="nlvr2", name="train.json"):
    """Bring the records of an official file into another order."""
    path = data / "raw" / dataset / name
    path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))


def swap(data):
    """Put the train table of one dataset in the place of its own val table."""
    shutil.copy(data / "examples" / "nlvr2" / "val.parquet", data / "examples" / "nlvr2" / "train.parquet")


def swap_folders(data):
    for one, other in (("refcoco", "aside"), ("refcoco+", "refcoco"), ("aside", "refcoco+")):
        (data / "examples" / one).rename(data / "examples" / other)


def bring_back(data):
    """Add a removed row to keep.parquet, as pyarrow does it, which keeps the metadata."""
    keep, removed = (pq.read_table(data / "clean" / f"{name}.parquet") for name in ("keep", "removed"))
    row = removed.filter(pc.equal(removed["dataset"], "nlvr2")).slice(0, 1).select(keep.column_names)
    row = pa.Table.from_pylist(row.to_pylist(), keep.schema)
    pq.write_table(pa.concat_tables([keep, row]), data / "clean" / "keep.parquet")


def bring_back_with_pandas(data):
    """The same by a tool that drops the metadata."""
    bring_back(data)
    path = data / "clean" / "keep.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def killed_clean(data):
    """Rewrite examples and not the split, as a process that dies in between."""
    reorder(data)
    prepare(data, ["nlvr2"], Options())


def other_links(data):
    """Rewrite the crosswalk alone."""
    path = data / "raw" / "vg_qa" / "image_data.json"
    path.write_text(json.dumps([image | {"coco_id": None} for image in json.loads(path.read_text())]))
    prepare(data, ["vg_images"], Options())


ATTACKS = {
    "killed clean": killed_clean,
    "table swapped": swap,
    "row back": bring_back,
    "row back, no metadata": bring_back_with_pandas,
}
OF_ALL = {"folders swapped": swap_folders, "other links": other_links, "killed clean": killed_clean}


@pytest.mark.parametrize("attack", ATTACKS)
def test_training_refuses_and_names_dataset_and_split(vlmt, data, tmp_path, attack):
    ATTACKS[attack](data)
    code, _, err = vlmt("train", "--task", "nlvr2", *MINI, "--data", data, "--run", tmp_path / "run")
    assert code == 3 and "vlmt clean" in err and "keep.parquet" in err and "nlvr2 train" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("attack", OF_ALL)
def test_every_reader_of_the_split_refuses_though_another_dataset_changed(vlmt, data, tmp_path, attack):
    """What another dataset tests was taken out of this one."""
    model = make_run(tmp_path / "at", data, ["cc:1"])
    OF_ALL[attack](data)
    run = ["--data", data, "--run", tmp_path / "run"]
    for command in (
        ["train", "--task", "vqa", *MINI, *run],
        ["pretrain", *MINI, *run],
        ["evaluate", "--model", model, "--tasks", "vqa", "--data", data],
        ["pack", "--hard-negatives", data / "features" / "pixels", "--data", data],
        ["vgc", "--model", model, "--tagger", "lexicon", "--data", data, "--to", tmp_path / "vgc"],
        ["analyze", "pairs", *MINI, "--data", data, "--runs", tmp_path / "runs", "--plan"],
    ):
        code, _, err = vlmt(*command)
        assert code == 3 and "keep.parquet: the clean split was made" in err and "; run vlmt clean" in err, command
    code, _, err = vlmt("data", "explain", "coco:1", "--data", data)
    assert code == 0 and "Warning" in err and "the clean split was made" in err


def test_the_advice_works_and_the_run_trains_on_what_was_cleaned(vlmt, data, tmp_path):
    killed_clean(data)
    arguments = ["--data", data, "--run", tmp_path / "run"]
    advice = vlmt("train", "--task", "nlvr2", *MINI, *arguments)[2].strip().split("; run vlmt ")[1]
    assert advice == f"clean --datasets all,conceptual_captions,flickr30k_entities --data {data}"
    assert vlmt(*shlex.split(advice))[0] == 0
    assert vlmt("train", "--task", "nlvr2", *MINI, *arguments)[0] == 0
    seen = set(pq.read_table(tmp_path / "run" / "images-1.parquet")["image"].to_pylist())
    tests = pq.read_table(data / "examples" / "nlvr2" / "test.parquet")["images"].to_pylist()
    assert not seen & {image for pair in tests for image in pair}


@pytest.mark.parametrize("trouble", [KeyboardInterrupt(), OSError(28, "full")])
def test_a_clean_that_ends_between_examples_and_split_is_noticed(vlmt, data, tmp_path, monkeypatch, trouble):
    reorder(data)

    def fail(*arguments):
        raise trouble

    with monkeypatch.context() as patch:
        patch.setattr(split_write, "write", fail)
        assert vlmt("clean", "--data", data, "--datasets", "all,conceptual_captions,flickr30k_entities")[0] != 0
    code, _, err = vlmt("train", "--task", "nlvr2", *MINI, "--data", data, "--run", tmp_path / "run")
    assert code == 3 and "nlvr2" in err


def test_a_clean_that_fails_leaves_split_and_examples_to_train_on(vlmt, data, tmp_path):
    before = files(data / "examples") | files(data / "clean")
    reorder(data)
    path = data / "raw" / "visual7w" / "dataset_v7w_pointing.json"
    path.write_bytes(path.read_bytes()[:-40])
    assert vlmt("clean", "--data", data, "--datasets", "all,conceptual_captions,flickr30k_entities")[0] == 3
    after = files(data / "examples") | files(data / "clean")
    assert {name: after[name] for name in before} == before
    assert vlmt("train", "--task", "nlvr2", *MINI, "--data", data, "--run", tmp_path / "run")[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        ["data", "show", "nlvr2"],
        ["data", "show", "nlvr2", "--set", "vqa.minval=1"],
        ["data", "show", "vqa", "--set", "vqa.minval=1"],
        ["analyze", "overlap"],
        ["clean", "--dry-run"],
        ["clean", "--dry-run", "--set", "vqa.minval=1"],
        ["clean", "--check"],
        ["clean", "--to", "elsewhere", "--set", "vqa.minval=1"],
    ],
)
def test_no_command_but_clean_rewrites_examples_under_a_split(vlmt, data, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    reorder(data)
    before = files(data / "examples") | files(data / "clean")
    vlmt(*command, "--data", data)
    after = files(data / "examples") | files(data / "clean")
    assert after == before


def test_show_says_that_it_shows_what_is_not_cleaned_yet(vlmt, data):
    first = pq.read_table(data / "examples" / "nlvr2" / "train.parquet")["text"][0].as_py()
    reorder(data)
    code, out, err = vlmt("data", "show", "nlvr2", "--data", data, "--json")
    assert code == 0 and json.loads(out)[0]["text"] != first
    assert "nlvr2 has another train.json since the clean split was made" in err


def test_a_copy_with_other_times_is_the_same_file(vlmt, data):
    for path in (data / "raw").rglob("*"):
        path.touch()
    code, _, err = vlmt("data", "show", "nlvr2", "--data", data)
    assert code == 0 and not err


def test_a_row_that_names_another_example_is_noticed(vlmt, data, tmp_path):
    path = data / "clean" / "keep.parquet"
    keep = pq.read_table(path)
    is_mine = pc.and_(pc.equal(keep["dataset"], "nlvr2"), pc.equal(keep["split"], "train"))
    rows = keep["row"].to_numpy().copy()
    mine = np.flatnonzero(is_mine.to_numpy())
    rows[mine[0]] = min(set(range(len(mine) + 1)) - set(rows[mine].tolist()))
    pq.write_table(keep.set_column(2, keep.schema.field(2), pa.array(rows)), path)
    code, _, err = vlmt("train", "--task", "nlvr2", *MINI, "--data", data, "--run", tmp_path / "run")
    assert code == 3 and "its rows of nlvr2 train are not those that vlmt clean wrote" in err
