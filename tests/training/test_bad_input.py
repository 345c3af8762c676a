"""What is wrong with a recipe, the data or the machine is one line that says what to do; what was saved is intact."""

import errno
import io
import os
import shutil
from dataclasses import replace

import msgspec
import pyarrow.parquet as pq
import pytest
import torch
from commands.running import run as vlmt
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from training.small_runs import make_recipe, of_kind, same_end, set_options

from vlmt_cli.base.errors import UsageError, VlmtError
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.features.store_writer import StoreWriter
from vlmt_cli.runs.checkpoint import WEIGHTS, load_checkpoint
from vlmt_cli.runs.checkpoint_writer import save_pretrained
from vlmt_cli.tasks.load import kept_rows
from vlmt_cli.training.job import Job
from vlmt_cli.training.train import train


@pytest.fixture
def data(trained_world, tmp_path):
    """A data folder of one's own, with links to all of the small world's."""
    folder = tmp_path / "data"
    folder.mkdir()
    for path in trained_world.iterdir():
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def refused(data, tmp_path, capsys):
    """Train with more options, and return exit code and what was said of the error."""

    def refuse(*options, preset="single-task", **training):
        settings = [word for one in set_options(iterations=2, **training) for word in ("--set", one)]
        command = ["train", "--preset", preset, "--scale", "mini", "--data", str(data), *settings, *map(str, options)]
        if "--run" not in command:
            command += ["--run", str(tmp_path / "runs" / "run")]
        code = vlmt(*command)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vlmt: ")]
        assert len(lines) == (code != 0)
        return code, "".join(lines).removeprefix("vlmt: ")

    return refuse


def own(data, name):
    """Turn a link to a folder into a copy that may be changed."""
    source = (data / name).resolve()
    (data / name).unlink()
    return shutil.copytree(source, data / name)


def copy_store(source, path, change=lambda key, regions: regions, **meta):
    """Copy a store; ``change`` may change an image's regions, or leave it out with None."""
    store = FeatureStore(source)
    with StoreWriter(path, msgspec.structs.replace(store.meta, **meta)) as writer:
        for key, regions in store.items():
            if (changed := change(key, regions)) is not None:
                writer.put(key, changed)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "training.gapp=8"], "there is no key 'training.gapp'; did you mean training.gap"),
        (["--set", "trainings.gap=8"], "there is no key 'trainings'; did you mean training"),
        (["--set", "training.gap=0"], "training.gap: input should be greater than 0"),
        (["--set", "training.learning_rates.vqqa=1"], "training.learning_rates: there is no task 'vqqa'; did you mean"),
        (["--set", "training.order=curiculum"], "training: there is no order 'curiculum'; give training.curriculum"),
        (["--set", "training.order=[G9]"], "training: there is no order ['G9']; give training.curriculum"),
        (["--set", "training.curriculum=[G9]"], "training.curriculum.0: input should be 'G1', 'G2', 'G3' or 'G4'"),
        (["--set", "training.curriculum=[G4,G1]"], "training.curriculum names G4, of which no task is trained"),
        (["--set", "training.order=curriculum"], "training.curriculum names G3, of which no task is trained"),
        (["--set", "training.curriculum=[G1,G1]"], "training: curriculum names a group twice: G1, G1"),
        (["--set", "training.curriculum=G1", "--set", "training.alone=1"], "alone leaves no iterations for all tasks"),
        (["--set", "training.curriculum=G1", "--set", "training.alone=[0.1,0.1]"], "alone has 2 shares, and"),
        (["--set", "model.changes.colour=red"], "model mini: there is no key 'colour'"),
        (["--task", "vqqa"], "single-task.yaml: there is no task 'vqqa'; did you mean vqa or vg_qa?"),
        (["--group", "G7"], "--group: there is no task group 'G7'; did you mean G"),
        (["--task", "vqa", "--group", "G1"], "exclude each other; leave one of them out"),
        (["--set", "gap=8"], "there is no key 'gap'; did you mean training.gap?"),
        (["--task", "vqa,conceptual_captions"], "single-task.yaml: pre-training goes alone"),
        (["--device", "tpu"], "there is no device 'tpu'; choose auto, cpu or cuda"),
        (["--device", "cpu", "--gpus", "2"], "--gpus and --device cpu exclude each other; give --processes"),
        (["--gpus", "64"], "64 GPUs were requested, and this machine has "),
    ],
)
def test_a_wrong_option_names_the_nearest_right_one(options, message, refused):
    code, line = refused(*options)
    assert code == 2 and message in line, line


def test_a_wrong_preset_names_the_nearest_right_one(refused):
    assert refused(preset="all-task") == (
        2,
        "there is no recipe 'all-task'; did you mean all-tasks or all-tasks-uniter?",
    )
    code, line = refused(preset="all-to-single")
    assert code == 2 and "the run 'all-tasks' to begin with is not there; train it first" in line


def test_a_folder_that_holds_a_run_or_weights_is_not_written_over(data, refused, tmp_path):
    folder = tmp_path / "runs" / "run"
    assert refused() == (0, "")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, line = refused()
    assert (
        code == 2
        and line == f"{folder}: holds a run already; resume it with --resume, or name another folder with --run"
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    code, line = refused("--resume", "--set", "training.gap=9")
    what = "cannot resume with other keys: training.gap is 1 in the run, not 9"
    assert code == 2 and line == f"{folder}: {what}; leave these options out, or start another run with --run"
    save_pretrained(tmp_path / "runs" / "weights", load_checkpoint(folder))
    code, line = refused("--run", tmp_path / "runs" / "weights")
    assert code == 2 and "holds a run already" in line


def test_features_that_lack_images_are_an_error_or_left_out(data, refused, tmp_path):
    features = own(data, "features")
    rows = kept_rows(data, "vqa", "train", pq.read_table(data / "examples" / "vqa" / "train.parquet"))
    known = FeatureStore(features / "pixels").keys()
    images = sorted(key for key in known if key.startswith("coco:"))
    lacking = set(images[::3])
    part = copy_store(features / "pixels", tmp_path / "part", lambda key, regions: None if key in lacking else regions)
    code, line = refused("--set", f"features.store={part}")
    assert code == 3
    assert f"{part}: " in line and f"of {len(rows)} examples of vqa train lack features" in line
    assert "extract or pack them, or leave these examples out with --partial" in line
    code, line = refused("--set", f"features.store={part}", "--partial")
    assert code == 0
    (start,) = of_kind(tmp_path / "runs" / "run", "start")
    assert 0 < start["tasks"]["vqa"]["examples"] < len(rows)
    assert not lacking & set(load_images(tmp_path / "runs" / "run"))


def load_images(run):
    """The images that a run says it trained on."""
    checkpoint = load_checkpoint(run)
    (stage,) = checkpoint.lineage.stages
    return pq.read_table(io.BytesIO(checkpoint.images[stage.images]))["image"].to_pylist()


def test_candidates_that_lack_images_are_an_error_or_left_out(data, refused, tmp_path):
    features = own(data, "features")
    given = features / "pixels-candidates"
    known = FeatureStore(given).keys()
    images = sorted(key for key in known if key.startswith("vg:"))
    lacking = set(images[::2])
    part = copy_store(given, tmp_path / "given", lambda key, regions: None if key in lacking else regions)
    options = ("--task", "visual7w", "--set", f"features.candidates={part}")
    code, line = refused(*options)
    assert code == 3 and f"{part}: " in line and "examples of visual7w train lack features" in line
    assert refused(*options, "--partial")[0] == 0
    assert not lacking & set(load_images(tmp_path / "runs" / "run"))


def test_what_is_missing_is_named(data, refused):
    features = own(data, "features")
    (features / "hard_negatives_coco.parquet").unlink()
    code, line = refused("--task", "coco")
    assert code == 3 and "hard_negatives_coco.parquet: there are no hard negatives; make them with vlmt pack" in line
    shutil.rmtree(features / "pixels-candidates")
    code, line = refused("--task", "guesswhat")
    assert code == 3 and "guesswhat choose among given boxes" in line and "vlmt extract --boxes candidates" in line
    shutil.rmtree(features / "pixels")
    code, line = refused()
    assert code == 3 and f"{features}: holds no feature store" in line and "make one with vlmt extract" in line
    (data / "clean").unlink()
    code, line = refused()
    assert code != 0 and ("clean" in line or "features" in line)


def test_without_a_clean_split_it_says_what_to_do(data, refused):
    (data / "clean").unlink()
    code, line = refused()
    assert code == 3 and "keep.parquet: there is no clean split; make one with vlmt clean --" in line
    assert refused("--set", "split=full") == (0, "")


def test_pre_training_needs_class_scores(data, refused, tmp_path):
    plain = copy_store(
        data / "features" / "pixels", tmp_path / "plain", lambda key, regions: replace(regions, scores=None), classes=0
    )
    code, line = refused("--set", f"features.store={plain}", preset="pretrain")
    assert code == 3 and line.startswith(f"{plain}: holds no class scores; take a store that has them")


def test_a_checkpoint_of_other_features_is_refused(data, refused, tmp_path):
    assert refused()[0] == 0
    start = ("--set", f"start={tmp_path / 'runs' / 'run'}", "--run", tmp_path / "runs" / "second")
    source = data / "features" / "pixels"
    narrow = copy_store(
        source,
        tmp_path / "narrow",
        lambda key, regions: replace(regions, features=regions.features[:, :16]),
        feature_width=16,
    )
    code, line = refused(*start, "--set", f"features.store={narrow}")
    assert code == 2 and "the checkpoint takes features of width" in line and "and the store's have 16" in line
    other = copy_store(source, tmp_path / "other", extractor="X", extractor_hash="0123")
    code, line = refused(*start, "--set", f"features.store={other}")
    assert code == 3 and "was trained on features of pixels, and the store's are of X" in line
    assert not (tmp_path / "runs" / "second").exists()


def test_a_loss_that_is_no_number_stops_and_keeps_what_led_there(refused, tmp_path):
    code, line = refused(learning_rate=1e30, save_every=1)
    folder = tmp_path / "runs" / "run" / "diverged"
    assert code == 1
    assert line == (
        f"{folder}: the loss of vqa is NaN or infinite (loss nan) in iteration 2, batch 1;"
        " a lower learning rate helps, or --set training.clip=1"
    )
    batch = torch.load(folder / "batch-0-0.pt", weights_only=True)
    assert batch["task"] == "vqa" and batch["examples"].shape == (4,) and batch["targets"]["scores"].shape[0] == 4
    assert line.partition(": ")[2] in (folder / "README.txt").read_text()
    # The batch and the weights give that loss again.
    model = load_checkpoint(tmp_path / "runs" / "run").model
    model.load_state_dict(load_file(folder / WEIGHTS))
    names = ("tokens_BT", "token_mask_BT", "features_BVF", "boxes_BV5", "region_mask_BV", "task_B", "pairs")
    assert not model(batch["head"], *(batch[name] for name in names)).isfinite().all()
    assert of_kind(tmp_path / "runs" / "run", "save")[-1]["iteration"] == 1


def _torch_finds_the_disk_full(content, file):
    """As it fails: the OSError is lost in its own."""
    file.write(b"half")
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")  # noqa: B904


def _safetensors_finds_the_disk_full(content, path, metadata):
    path.write_bytes(b"half")
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("place", "number", "fail"),
    [
        ("torch.save", 2, _torch_finds_the_disk_full),
        ("safetensors.torch.save_file", 3, _safetensors_finds_the_disk_full),  # the first save has best weights, too
    ],
)
def test_a_full_disk_leaves_the_checkpoint_before(place, number, fail, trained_world, tmp_path, monkeypatch):
    recipe = make_recipe("all-tasks", "vqa,refcoco", iterations=6, save_every=3)
    job, whole = (Job(recipe, trained_world, tmp_path / name) for name in ("run", "whole"))
    assert train(whole)
    saves = []

    def save(*arguments, **options):
        saves.append(arguments)
        if len(saves) == number:
            fail(*arguments, **options)
        original(*arguments, **options)

    with monkeypatch.context() as patch:
        original = {"torch.save": torch.save, "safetensors.torch.save_file": save_file}[place]
        patch.setattr(place, save)
        with pytest.raises(VlmtError) as caught:
            train(job)
    assert str(caught.value) == f"{job.run}: no space left on the disk; free some space and run the command again"
    assert load_checkpoint(job.run).lineage.stages[-1].steps == 6
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["run", "whole"]
    assert train(replace(job, resume=True))
    assert same_end(job.run, whole.run)


def test_a_start_of_another_vocabulary_is_refused(trained_world, tmp_path):
    recipe = make_recipe("single-task", "vqa", iterations=1)
    assert train(Job(recipe, trained_world, tmp_path / "vqa"))
    checkpoint = load_checkpoint(tmp_path / "vqa")
    labels = {**checkpoint.labels, "vqa": checkpoint.labels["vqa"][::-1]}
    save_pretrained(tmp_path / "reversed", replace(checkpoint, labels=labels))
    recipe = recipe.model_copy(update={"start": str(tmp_path / "reversed")})
    with pytest.raises(UsageError, match="vqa answers are not the"):
        train(Job(recipe, trained_world, tmp_path / "next"))


def test_a_task_may_have_a_store_of_candidates_of_its_own(data, refused, tmp_path):
    given = (data / "features" / "pixels-candidates").resolve()
    of_vg, of_coco = (
        copy_store(given, tmp_path / source, lambda key, regions: regions if key.startswith(source) else None)  # noqa: B023
        for source in ("vg", "coco")
    )
    options = ("--task", "visual7w,guesswhat,refcoco", "--set")
    assert refused(*options, f"features.candidates={{visual7w: {of_vg}, guesswhat: {of_coco}}}") == (0, "")
    code, line = refused(*options, f"features.candidates={{visual7w: {of_vg}, gueswhat: {of_coco}}}")
    assert code == 2 and "features.candidates: there is no task 'gueswhat'; did you mean guesswhat?" in line
    options = ("--run", tmp_path / "runs" / "other", *options)
    code, line = refused(*options, f"features.candidates={{visual7w: {of_coco}}}")
    assert code == 3 and f"{of_coco}: " in line and "examples of visual7w train lack features" in line
    other = copy_store(given, tmp_path / "other", extractor="X", extractor_hash="0123")
    code, line = refused(*options, f"features.candidates={other}")
    assert code == 3 and line.startswith(f"{other}: holds features of X, and ")
    own(data, "features")
    shutil.rmtree(data / "features" / "pixels-candidates")
    copy_store(given, data / "features" / "other-candidates", extractor="X", extractor_hash="0123")
    code, line = refused(*options, "features.store=pixels")  # one of another extractor, which nobody named
    assert code == 2 and "visual7w and guesswhat choose among given boxes, and there is no store of their" in line
