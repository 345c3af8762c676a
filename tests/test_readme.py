"""The commands in README and docs, as they stand there, one after another, on a small world.

Those with a comment above their block need what is not here; ``test_docs.py`` checks that they exist.
"""

import shlex
import shutil

import pytest
from commands.running import run
from pages import ROOT, blocks
from PIL import Image

FEW = ["--scale", "few.yaml"]
PHOTOS = {
    "VG_100K": "2.jpg",
    "VG_100K_2": "3.jpg",
    "train2014": "COCO_train2014_000000000009.jpg",
    "val2014": "COCO_val2014_000000000042.jpg",
    "flickr30k-images": "1000092795.jpg",
}


def vlmt(capsys, *words):
    assert run(*words) == 0, f"{shlex.join(words)}: {capsys.readouterr().err}"


def run_page(capsys, name):
    """Run the blocks of a page that need nothing else; a training takes two steps."""
    memory = {}
    for block in blocks(ROOT / name):
        if block.language == "python" and not block.marker:
            exec(block.text, memory)
        elif block.language == "sh" and not block.marker:
            for program, *words in block.commands:
                if program == "vlmt":
                    vlmt(capsys, *words, *(FEW if words[0] == "train" and "--resume" not in words else ()))


@pytest.fixture(scope="module")
def folder(trained_world, tmp_path_factory):
    """A working folder with the demo's data, and the files that the pages name."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("raw", "images", "examples", "features"):
        shutil.copytree(trained_world / name, folder / "demo" / name)
    (folder / "few.yaml").write_text("base: mini\ntraining: {iterations: 2}\n")
    (folder / "visual_genome_detector_train.txt").write_text("vg:2\n")
    (folder / "verdicts.txt").write_text(
        next(b.text for b in blocks(ROOT / "docs/cleaning.md") if b.language == "text")
    )
    for name, photo in PHOTOS.items():
        (folder / name).mkdir()
        Image.effect_noise((32, 32), 60).save(folder / name / photo)
    assert run("clean", "--datasets", "all,conceptual_captions", "--data", str(folder / "demo")) == 0
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VLMT_DATA", "demo")


def test_readme(folder, capsys, monkeypatch):
    shutil.copytree(folder / "demo" / "raw", folder / "data" / "raw")
    with monkeypatch.context() as own:
        own.delenv("VLMT_DATA")
        first, questions = [block for block in blocks(ROOT / "README.md") if "vlmt clean" in block.text]
        for _, *words in first.commands:
            vlmt(capsys, *words)
    shutil.rmtree(folder / "data")
    before = {path: path.read_bytes() for path in (folder / "demo" / "clean").iterdir()}
    for _, *words in questions.commands:
        vlmt(capsys, *words)
    assert len(questions.commands) >= 5
    assert {path: path.read_bytes() for path in (folder / "demo" / "clean").iterdir()} == before


def test_cleaning(capsys):
    run_page(capsys, "docs/cleaning.md")


def test_features_training_and_python(capsys):
    for page in ("docs/detector.md", "docs/training.md", "docs/trunks.md", "docs/cluster.md", "docs/python.md"):
        run_page(capsys, page)
    vlmt(capsys, "clean", "--datasets", "all", "--replace")
    vlmt(capsys, "clean", "--check")


def test_analysis(capsys):
    every = ("--set", "training.affinity_every=1", "--set", "training.evaluate_every=1")
    tasks = "vqa,refcoco,refcoco+"
    vlmt(capsys, "train", "--task", tasks, "--scale", "mini", "--run", "demo/runs/all-tasks", *every, *FEW)
    run_page(capsys, "docs/analysis.md")
