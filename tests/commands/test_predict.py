"""``vlmt predict`` on a synthetic world, with a tiny model of random weights."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from commands.running import run
from PIL import Image

from vlmt_cli.features.pixels import WIDTH
from vlmt_cli.features.shards import meta_of_store
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.checkpoint_writer import save_pretrained
from vlmt_cli.runs.lineage import Extractor, Lineage
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer
from vlmt_cli.trunks.config import make_config

LABELS = {
    "vqa": [f"answer {number}" for number in range(7)],
    "gqa": ["yes", "no"],
    "nlvr2": ["False", "True"],
    "snli_ve": ["contradiction", "neutral", "entailment"],
}
TEXT = "the red thing on the left"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with photos of COCO's and their features, of candidates too."""
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world

    folder = tmp_path_factory.mktemp("data")
    write_world(folder, Sizes().scaled(0.02))
    shutil.rmtree(folder / "images" / "cc")
    assert run("extract", str(folder / "images" / "coco"), "--extractor", "pixels", "--data", str(folder)) == 0
    return folder


@pytest.fixture(scope="module")
def checkpoint(data):
    torch.manual_seed(0)
    tokenizer = word_tokenizer(iter([TEXT]))
    vocabulary = TextEncoder(tokenizer).tokenizer.get_vocab_size()
    trunk = make_config("tiny", region_features=WIDTH, vocabulary=vocabulary, init_std=0.3)
    model = MultiTaskModel(ModelConfig(trunk=trunk, answers={"vqa": 7, "gqa": 2})).eval()
    meta = meta_of_store(data / "features" / "pixels")
    return Checkpoint(model, LABELS, tokenizer, Lineage(extractor=Extractor(name="pixels", hash=meta.extractor_hash)))


@pytest.fixture(scope="module")
def model(tmp_path_factory, checkpoint):
    """A run folder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    save_pretrained(folder, checkpoint)
    return folder


@pytest.fixture
def predict(vlmt, data, model):
    """Run the command with the tiny model; returns exit code, stdout and stderr."""

    def command(*arguments, model=model):
        return vlmt("predict", "--model", model, "--data", data, *arguments)

    return command


@pytest.fixture(scope="module")
def photos(data):
    """Files, and the image keys that they have."""
    files = sorted((data / "images" / "coco").iterdir())[:4]
    return files, [f"coco:{int(path.stem.rpartition('_')[2])}" for path in files]


def predictions(result):
    code, out, _ = result
    assert code == 0
    return json.loads(out)["predictions"]


def without_names(found):
    return [{key: value for key, value in one.items() if key not in ("photo", "photos")} for one in found]


@pytest.mark.parametrize(
    ("task", "count", "kind"),
    [
        ("vqa", 1, "answers"),
        ("vg_qa", 2, "answers"),
        ("gqa", 1, "answers"),
        ("coco", 1, "texts"),
        ("flickr30k", 1, "texts"),
        ("refcoco", 1, "boxes"),
        ("refcoco+", 2, "boxes"),
        ("refcocog", 1, "boxes"),
        ("visual7w", 1, "boxes"),
        ("guesswhat", 1, "boxes"),
        ("flickr30k_entities", 1, "boxes"),
        ("nlvr2", 2, "answers"),
        ("snli_ve", 1, "answers"),
    ],
)
def test_every_task_on_files_and_on_image_keys(predict, photos, tmp_path, task, count, kind):
    files, keys = photos
    asked = ("--task", task, "--text", TEXT, "--text", "red", "--json")
    of_files = predictions(predict(*files[:count], *asked, "--page", tmp_path / "a.html"))
    of_keys = predictions(predict(*keys[:count], *asked))
    assert without_names(of_files) == without_names(of_keys)
    assert {one["kind"] for one in of_files} == {kind}
    assert len(of_files) == {"texts": 1}.get(kind, 2 if task == "nlvr2" else 2 * count)
    page = (tmp_path / "a.html").read_text()
    assert page.count("data:image/jpeg;base64,") == count and TEXT in page


def test_options_that_change_nothing_are_refused(predict, photos):
    (file, *_), (key, *_) = photos
    for photo, options, said in (
        (file, ("--features", "pixels"), "--features is for image keys"),
        (key, ("--backbone", "facebook/dinov2-base"), "--backbone is for files of photos"),
        (file, ("--detector", "PekingU/rtdetr_r50vd"), "features are of pixels, which takes no --detector"),
    ):
        code, _, err = predict(photo, "--task", "vqa", "--text", TEXT, *options)
        assert code == 2 and said in err.splitlines()[-1] and "leave it out" in err, err


def test_a_folder_is_ranked(predict, data):
    found = predictions(predict(data / "images" / "coco", "--task", "coco", "--text", TEXT, "--top", "3", "--json"))
    (ranking,) = found
    scores = [one["score"] for one in ranking["photos"]]
    assert ranking["text"] == TEXT and len(scores) == 3 and scores == sorted(scores, reverse=True)
    assert all(one["photo"].endswith(".png") for one in ranking["photos"])


def test_tables(predict, photos):
    _, keys = photos
    code, out, err = predict(keys[0], "--task", "vqa", "--text", "[red] the \x1b[31m thing?", "--top", "2")
    assert code == 0 and r"[red] the \x1b[31m thing?" in out
    assert "does not know the words" in err and len(out.splitlines()) == 4
    code, out, _ = predict(*keys, "--task", "flickr30k", "--text", TEXT)
    assert code == 0 and all(key in out for key in keys) and "score" in out
    code, out, _ = predict(keys[0], "--task", "flickr30k", "--text", TEXT, "--text", "red")
    assert code == 0 and TEXT in out and keys[0] in out
    code, out, _ = predict(keys[0], "--task", "refcoco", "--text", TEXT)
    assert code == 0 and "box" in out


def test_boxes_to_choose_among_and_a_picture(predict, photos, tmp_path):
    files, keys = photos
    boxes = "[[4, 4, 30, 30], [50.5, 20, 90, 60]]"
    picture = tmp_path / "a.png"
    asked = ("--task", "visual7w", "--text", TEXT)
    (found,) = predictions(predict(files[0], *asked, "--boxes", boxes, "--draw", picture, "--json"))
    assert sorted(one["box"] for one in found["boxes"]) == [[4, 4, 30, 30], [50.5, 20, 90, 60]]
    with Image.open(picture) as drawn, Image.open(files[0]) as photo:
        assert drawn.width / drawn.height == pytest.approx(photo.width / photo.height, rel=0.01)
    code, _, err = predict(keys[0], *asked, "--boxes", boxes)
    assert code == 3 and "no features of these boxes" in err
    for wrong in ("[[4, 4, 30]]", "[]", "[[4, 4, 3, 30]]", "four", "[[NaN, 4, 30, 30]]"):
        assert predict(files[0], *asked, "--boxes", wrong)[0] == 2
    assert predict(files[0], "--task", "vqa", "--text", TEXT, "--boxes", boxes)[0] == 2
    assert predict(*files[:2], *asked, "--boxes", boxes)[0] == 2


def test_the_task_token_is_the_runs(predict, photos, checkpoint, tmp_path):
    asked = (photos[1][0], "--task", "refcocog", "--text", TEXT, "--json")
    seen = []
    for number, kind in enumerate(("dataset", "group", "none")):
        folder, before = tmp_path / kind, checkpoint.model.config
        checkpoint.model.config = before.model_copy(update={"task_token": kind})
        save_pretrained(folder, checkpoint)
        checkpoint.model.config = before
        (folder / "recipe.yaml").write_text(yaml.safe_dump({"tasks": ["refcoco"]}))
        code, out, err = predict(*asked, model=folder)
        assert code == 0 and "was last trained on refcoco, and not on refcocog" in err
        seen.append(json.loads(out)["predictions"])
        assert seen.index(seen[-1]) == number
    assert seen[0] == predictions(predict(*asked))


def test_what_cannot_be_done(predict, photos, data, tmp_path, checkpoint):
    files, keys = photos
    text = tmp_path / "notes.txt"
    text.write_text("no photo")
    foreign = tmp_path / "foreign"
    lineage = Lineage(extractor=Extractor(name="X-152", hash="abc"))
    save_pretrained(foreign, Checkpoint(checkpoint.model, LABELS, checkpoint.tokenizer, lineage))
    asked = ("--task", "vqa", "--text", TEXT)
    for code, said, arguments in (
        (3, "is not a photo that can be read", (text, *asked)),
        (3, "there is no such photo", (tmp_path / "nothing.jpg", *asked)),
        (3, "has no features of coco:1; extract", ("coco:1", *asked)),
        (2, "there is no task 'vqa2'", (keys[0], "--task", "vqa2", "--text", TEXT)),
        (2, "compares two photos, and here is 1", (keys[0], "--task", "nlvr2", "--text", TEXT)),
        (2, "here is one of each", (keys[0], "--task", "coco", "--text", TEXT)),
        (2, "has no words", (keys[0], "--task", "vqa", "--text", "")),
        (2, "vqa finds no boxes", (keys[0], *asked, "--draw", tmp_path / "a.png")),
        (2, "ends in .html", (keys[0], *asked, "--page", tmp_path / "a.png")),
        (2, "is the photo itself", (files[0], "--task", "refcoco", "--text", TEXT, "--draw", files[0])),
        (2, "there is no device", (keys[0], *asked, "--device", "tpu")),
        (3, "there is no feature store", (keys[0], *asked, "--features", "nothing")),
    ):
        result = predict(*arguments)
        assert result[0] == code and said in result[2], result
        assert result[2].count("\n") == 1 and result[1] == ""
    code, _, err = predict(keys[0], *asked, model=foreign)
    assert code == 3 and "holds no features of X-152" in err
    code, _, err = predict(files[0], *asked, model=foreign)
    assert code == 2 and "X-152 of the checkpoint's features is not at hand for photos; name an image key" in err
    code, _, err = predict(keys[0], *asked, model=tmp_path)
    assert code == 3 and err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "notes.txt"]


def test_a_store_that_is_named(predict, photos, data):
    (found,) = predictions(predict(photos[1][0], "--task", "gqa", "--text", TEXT, "--features", "pixels", "--json"))
    path = data / "features" / "pixels"
    assert [found] == predictions(predict(photos[1][0], "--task", "gqa", "--text", TEXT, "--features", path, "--json"))


ASK = """
import gc, sys
from vlmt_cli.app import main
try:
    main()
finally:
    print(gc.isenabled(), gc.get_freeze_count() > 10 * len(gc.get_objects()), file=sys.stderr)
    print(*(name for name in sys.modules if "." not in name or name == "torch._dynamo"), file=sys.stderr)
"""


def test_one_answer_imports_nothing_that_it_does_not_need(photos, data, model):
    arguments = ["predict", photos[1][0], "--model", model, "--data", data, "--task", "vqa", "--text", TEXT, "--json"]
    done = subprocess.run([sys.executable, "-c", ASK, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, collecting, modules = done.stderr.splitlines()[-3:]
    heavy = {"torch._dynamo", "sympy", "pandas", "scipy", "matplotlib", "transformers", "lightning_fabric", "spacy"}
    assert "torch" in modules.split() and not heavy & set(modules.split())
    assert collecting == "True True", "garbage is looked for among modules"
    seconds = json.loads(done.stdout)["seconds"]
    assert list(seconds) == ["imports", "model", "features", "answer"] and min(seconds.values()) > 0
    assert said == "Seconds: " + ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
