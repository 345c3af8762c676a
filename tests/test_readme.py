"""The questions in README.md, as they stand there, one after another, and a training after them."""

import shlex
import shutil
from pathlib import Path

import pytest
from commands.running import run
from PIL import Image

README = Path(__file__).parents[1] / "README.md"
MINI = ["--scale", "mini", "--set", "training.iterations=1"]
PHOTOS = {
    "VG_100K": "2.jpg",
    "VG_100K_2": "3.jpg",
    "train2014": "COCO_train2014_000000000009.jpg",
    "val2014": "COCO_val2014_000000000042.jpg",
    "flickr30k-images": "1000092795.jpg",
}


def questions():
    """The command lines of README's part on questions: from its heading to the next."""
    section = README.read_text().split("Some questions that people have:")[1].split("\n## ")[0]
    return [line.partition("#")[0].split() for line in section.splitlines() if line.startswith("vlmt ")]


@pytest.fixture
def demo(trained_world, tmp_path, monkeypatch):
    """The data of a demo, the files that README names, and VLMT_DATA."""
    for name in ("raw", "examples"):
        shutil.copytree(trained_world / name, tmp_path / "demo" / name)
    (tmp_path / "demo" / "features").symlink_to(trained_world / "features")
    (tmp_path / "visual_genome_detector_train.txt").write_text("vg:2\n")
    for folder, name in PHOTOS.items():
        (tmp_path / folder).mkdir()
        Image.effect_noise((32, 32), 60).save(tmp_path / folder / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VLMT_DATA", "demo")
    assert run(*shlex.split("clean --datasets all,conceptual_captions")) == 0
    return tmp_path / "demo"


def test_the_questions_run_as_written_and_a_training_after_them(demo, capsys):
    commands = questions()
    assert len(commands) >= 7 and ["vlmt", "clean", "--check"] in commands
    before = {path: path.read_bytes() for path in (demo / "clean").iterdir()}
    for command in commands:
        assert run(*command[1:]) == 0, f"{command}: {capsys.readouterr().err}"
    assert {path: path.read_bytes() for path in (demo / "clean").iterdir()} == before
    assert run("train", "--task", "vqa", *MINI) == 0, capsys.readouterr().err
    assert run("clean", "--datasets", "all") == 0
    assert run("clean", "--check") == 0, capsys.readouterr().err
