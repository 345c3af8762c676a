"""Checkpoints come back as they went out, and what is wrong with one is one line."""

import dataclasses
import json
import os
import pickle
import re

import pytest
import torch
from safetensors.torch import load_file, save_file

from vlmt_cli.base.errors import DataError, UsageError, VlmtError
from vlmt_cli.runs.checkpoint import Checkpoint, load_checkpoint
from vlmt_cli.runs.checkpoint_writer import push_to_hub, save_pretrained, save_single_file
from vlmt_cli.runs.folders import check_checkpoint, find_run
from vlmt_cli.runs.lineage import Extractor, Lineage, Stage
from vlmt_cli.runs.tensors import read_torch
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.trunks.config import make_config

LINEAGE = Lineage(
    stages=(Stage(name="pretrain", steps=7), Stage(name="all-tasks", split_hash="abc", images="images-2.txt", steps=9)),
    extractor=Extractor(name="x152", hash="1234"),
    source="bert-base-uncased",
)


@pytest.fixture
def checkpoint():
    torch.manual_seed(0)
    config = ModelConfig(trunk=make_config("tiny"), heads=("vqa", "nlvr2"), answers={"vqa": 3})
    return Checkpoint(
        model=MultiTaskModel(config).eval(),
        labels={"vqa": ["yes", "no", "café"], "nlvr2": ["False", "True"]},
        tokenizer='{"version": "1.0"}',
        lineage=LINEAGE,
        unread={"linguisic_logit.bias": torch.randn(1)},
        images={"images-2.txt": b"coco:1\nvg:2\n"},
    )


def save(form, tmp_path, checkpoint):
    path = tmp_path / ("run" if form == "folder" else "model.pt")
    (save_pretrained if form == "folder" else save_single_file)(path, checkpoint)
    return path


def refused(path, error=DataError, **options):
    with pytest.raises(error) as caught:
        load_checkpoint(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


both = pytest.mark.parametrize("form", ["folder", "single file"])


@both
def test_everything_comes_back(form, tmp_path, checkpoint):
    path = save(form, tmp_path, checkpoint)
    loaded = load_checkpoint(str(path))
    before = checkpoint.model.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.model.state_dict().items())
    assert not loaded.model.training and not loaded.misfits
    for name in ("config", "labels", "tokenizer", "lineage", "images"):
        assert getattr(loaded, name) == getattr(checkpoint, name), name
    assert torch.equal(loaded.unread["linguisic_logit.bias"], checkpoint.unread["linguisic_logit.bias"])
    again = save(form, tmp_path / "again", checkpoint)
    for file in [path] if path.is_file() else sorted(path.iterdir()):
        copy = again if path.is_file() else again / file.name
        assert copy.read_bytes() == file.read_bytes(), file


def test_a_run_folder_has_the_files_that_people_look_for(tmp_path, checkpoint):
    folder = save("folder", tmp_path, checkpoint)
    (folder / "metrics.jsonl").write_text("kept")
    assert json.loads((folder / "labels.json").read_text())["vqa"] == ["yes", "no", "café"]
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1
    card = (folder / "README.md").read_text()
    total = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    assert f"{total:,} parameters" in card and re.search(r"\| vqa \| VQA v2, Visual Genome QA.* \| 3 \|", card)
    assert "Stage all-tasks: 9 steps on clean split abc; its images are in `images-2.txt`." in card
    save_pretrained(folder, dataclasses.replace(checkpoint, unread={}, tokenizer=None))
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "config.json",
        "images-2.txt",
        "labels.json",
        "lineage.json",
        "metrics.jsonl",
        "model.safetensors",
    ]


def test_a_single_file_needs_nothing_of_ours(tmp_path, checkpoint):
    content = torch.load(save("single file", tmp_path, checkpoint), weights_only=True)
    assert content["labels"]["vqa"] == ["yes", "no", "café"]
    assert content["config"]["trunk"]["text"]["width"] == 64
    assert content["weights"].keys() == checkpoint.model.state_dict().keys()


def test_half_precision_is_read_as_float32(tmp_path, checkpoint):
    half = dataclasses.replace(checkpoint, model=MultiTaskModel(checkpoint.config).bfloat16())
    loaded = load_checkpoint(save("folder", tmp_path, half))
    assert {tensor.dtype for tensor in loaded.model.state_dict().values()} == {torch.float32}


@both
def test_a_crash_leaves_the_checkpoint_before(form, tmp_path, checkpoint, monkeypatch):
    path = save(form, tmp_path, checkpoint)

    def crash(*_, **__):
        raise RuntimeError("power cut")

    monkeypatch.setattr("safetensors.torch.save_file" if form == "folder" else "torch.save", crash)
    other = dataclasses.replace(checkpoint, model=MultiTaskModel(checkpoint.config))
    with pytest.raises(RuntimeError, match="power cut"):
        save(form, tmp_path, other)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    loaded, before = load_checkpoint(path).model.state_dict(), checkpoint.model.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in loaded.items())


def edit_weights(folder, edit):
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def drop(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


SCORE = "heads.vqa.outer.weight"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (drop(SCORE), f"1 missing ({SCORE})"),
        (lambda t: t.update(extra=torch.ones(1), other=torch.ones(1)), "2 unexpected (extra, other)"),
        (lambda t: t.update({SCORE: torch.ones(2, 128)}), f"1 misshapen ({SCORE}: float32 [2, 128], not [3, 128])"),
        (lambda t: t.update({SCORE: torch.ones(3, 128).int()}), f"1 misshapen ({SCORE}: int32 [3, 128], not"),
        (lambda t: t[SCORE].view(-1)[5:6].fill_(torch.nan), f"{SCORE} holds weights that are NaN or infinite"),
        (lambda t: t[SCORE].view(-1)[5:6].fill_(-torch.inf), f"{SCORE} holds weights that are NaN or infinite"),
        (lambda t: [t.pop(name) for name in list(t) if "co_layers" in name], "text_qkv.bias, "),
    ],
)
def test_tensors_that_do_not_fit_are_listed_in_one_line(edit, message, tmp_path, checkpoint):
    folder = save("folder", tmp_path, checkpoint)
    edit_weights(folder, edit)
    text = refused(folder)
    assert message in text and len(text) < 500, text
    assert text.startswith(str(folder / "model.safetensors"))


def test_what_fits_is_loaded_when_asked(tmp_path, checkpoint):
    folder = save("folder", tmp_path, checkpoint)

    def edit(tensors):
        del tensors["heads.vqa.inner.weight"]
        tensors.update({SCORE: torch.ones(2, 128), "extra": torch.ones(1)})

    edit_weights(folder, edit)
    loaded = load_checkpoint(folder, partial=True)
    assert loaded.misfits.missing == ("heads.vqa.inner.weight",) and loaded.misfits.unexpected == ("extra",)
    assert [name.partition(":")[0] for name in loaded.misfits.misshapen] == [SCORE]
    before = checkpoint.model.state_dict()
    same = {name: torch.equal(tensor, before[name]) for name, tensor in loaded.model.state_dict().items()}
    assert [name for name, equal in same.items() if not equal] == ["heads.vqa.inner.weight", SCORE]
    assert all(tensor.isfinite().all() for tensor in loaded.model.state_dict().values())


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("config.json", lambda c: c["trunk"].update(text_placement=[1, 9]), "trunk: text_placement asks for 9 layers"),
        ("config.json", lambda c: c["trunk"].update(text_placement=[2, 1]), "does not rise"),
        ("config.json", lambda c: c["trunk"].update(colour="red"), "trunk.colour"),
        ("config.json", lambda c: c.update(answers={}), "the head vqa needs the length of its answer vocabulary"),
        ("config.json", lambda c: c.update(format="vlmt checkpoint 3"), "newer vlmt"),
        ("labels.json", lambda c: c.update(vqa=["yes"]), "1 answers for vqa, whose classifier has 3"),
        ("labels.json", lambda c: c.update(gqa=["yes"]), "answers for gqa, which is not a classifier of this model"),
        ("labels.json", lambda c: c.update(vqa=[1, 2, 3]), "vqa.0"),
        (
            "lineage.json",
            lambda c: c["stages"][1].update(images="../../secret"),
            "not a file name",
        ),
        ("lineage.json", lambda c: c["stages"][1].update(images="images-3.txt"), "cannot be read"),
        ("lineage.json", lambda c: c["stages"][1].update(steps=-1), "stages.1.steps"),
        ("lineage.json", lambda c: c.update(stages=c["stages"][:1] * 10**4), "at most 1000 items"),
        ("config.json", lambda c: c["trunk"]["text"].update(layers=10**6), "less than or equal to 1000"),
        ("config.json", lambda c: c["trunk"].update(vision_placement=[0] * 10**5), "at most 1000 items"),
        ("config.json", lambda c: c["trunk"].update(vocabulary=10**12), "less than or equal to"),
    ],
)
def test_a_damaged_description_names_file_and_key(file, edit, message, tmp_path, checkpoint):
    folder = save("folder", tmp_path, checkpoint)
    content = json.loads((folder / file).read_text())
    edit(content)
    (folder / file).write_text(json.dumps(content))
    text = refused(folder)
    assert message in text and str(folder) in text, text


@both
@pytest.mark.parametrize("keep", [0, 20, 0.5, -60])
def test_truncated_files_are_one_line(form, keep, tmp_path, checkpoint):
    path = save(form, tmp_path, checkpoint)
    file = path if path.is_file() else path / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    assert "is not an intact file of weights" in refused(path)


class Foreign:
    """A pickle that runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_foreign_pickles_are_refused_and_not_run(zipped, tmp_path):
    marker, path = tmp_path / "ran", tmp_path / "model.pt"
    torch.save({"a": torch.ones(1), "b": Foreign(marker)}, path, _use_new_zipfile_serialization=zipped)
    assert "asks to import posix.system" in refused(path) and not marker.exists()
    path.write_bytes(pickle.dumps(Foreign(marker)))
    assert "nothing was run" in refused(path) and not marker.exists()


def test_a_training_checkpoint_of_the_authors_is_read_without_its_objects(tmp_path, monkeypatch):
    """Their .tar files hold objects of their own classes beside the tensors, one of them a bound method."""
    import functools
    import sys
    import types

    class MultiTaskStopOnPlateau:
        def __init__(self):
            self.is_better = functools.partial(self.compare, "max", 0.001)

        def compare(self, mode, threshold, a, b):
            return a > b

    MultiTaskStopOnPlateau.__module__, MultiTaskStopOnPlateau.__qualname__ = "vilbert.utils", "MultiTaskStopOnPlateau"
    for name in ("vilbert", "vilbert.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["vilbert.utils"].MultiTaskStopOnPlateau = MultiTaskStopOnPlateau
    content = {"model_state_dict": {"a": torch.ones(2)}, "task_stop_controller": {"TASK1": MultiTaskStopOnPlateau()}}
    torch.save(content, tmp_path / "latest.tar")
    monkeypatch.delitem(sys.modules, "vilbert.utils")
    assert torch.equal(read_torch(tmp_path / "latest.tar")["model_state_dict"]["a"], torch.ones(2))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "authors.bin")
    assert "vlmt convert" in refused(tmp_path / "authors.bin", UsageError)
    assert "there is no such checkpoint" in refused(tmp_path / "nothing", UsageError)
    assert "there is no such checkpoint" in refused("nothing.pt", UsageError)
    (tmp_path / "empty").mkdir()
    assert "config.json: cannot be read" in refused(tmp_path / "empty")


def test_meaning_that_does_not_fit_is_not_written(tmp_path, checkpoint):
    for change in ({"labels": {"vqa": ["yes"]}}, {"images": {}}):
        with pytest.raises(DataError):
            save("folder", tmp_path, dataclasses.replace(checkpoint, **change))
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_killed_between_the_two_renames_of_a_save_is_there(tmp_path, checkpoint):
    folder = save("folder", tmp_path, checkpoint)
    folder.rename(tmp_path / f".{folder.name}.0123abcd.old")
    assert find_run(folder, tmp_path) == str(folder)
    assert load_checkpoint(folder).labels == checkpoint.labels
    folder.rename(tmp_path / f".{folder.name}.0123abcd.old")
    check_checkpoint(folder)
    assert not list(tmp_path.glob(".*"))


def test_the_hub_is_asked_for_the_files_of_a_checkpoint(tmp_path, checkpoint, monkeypatch):
    folder = save("folder", tmp_path, checkpoint)
    asked = []

    def download(repository, allow_patterns):
        asked.append((repository, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_checkpoint("owner/name").labels == checkpoint.labels
    assert asked[0][0] == "owner/name" and "state.pt" not in asked[0][1]

    def offline(*_, **__):
        raise OSError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    assert "was not found on the hub (no network)" in refused("owner/name")


def test_a_folder_goes_to_the_hub_without_the_runs_other_files(tmp_path, monkeypatch):
    calls = []

    class Api:
        def create_repo(self, repository, exist_ok):
            calls.append(repository)

        def upload_folder(self, folder_path, repo_id, allow_patterns):
            if repo_id == "owner/forbidden":
                raise OSError("403")
            calls.append((folder_path, repo_id, "README.md" in allow_patterns, "state.pt" in allow_patterns))

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert push_to_hub(tmp_path, "owner/name") == "https://huggingface.co/owner/name"
    assert calls == ["owner/name", (tmp_path, "owner/name", True, False)]
    with pytest.raises(VlmtError, match="not uploaded"):
        push_to_hub(tmp_path, "owner/forbidden")


@both
def test_a_checkpoint_of_format_1_is_a_vilberts(form, tmp_path, checkpoint):
    path = save(form, tmp_path, checkpoint)
    file = path / "config.json" if form == "folder" else path
    content = json.loads(file.read_text()) if form == "folder" else torch.load(file, weights_only=True)
    trunk = content["trunk"] if form == "folder" else content["config"]["trunk"]
    assert trunk.pop("kind") == "vilbert" and content["format"] == "vlmt checkpoint 2"
    content["format"] = "vlmt checkpoint 1"
    file.write_text(json.dumps(content)) if form == "folder" else torch.save(content, file)
    assert load_checkpoint(path).config == checkpoint.config
    trunk["kind"] = "vilbart"
    file.write_text(json.dumps(content)) if form == "folder" else torch.save(content, file)
    assert "did you mean vilbert" in refused(path)
