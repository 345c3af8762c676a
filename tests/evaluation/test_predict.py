"""Predictions against the evaluation path on the same images; photos against the store; pages against hostile texts."""

import copy
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from evaluation.ranks import in_ranks
from PIL import Image, ImageColor

from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.datasets.table import TASKS
from vlmt_cli.datasets.tables import REFERRING, VERIFICATION, VQA, example_table
from vlmt_cli.evaluation import predict as predicting
from vlmt_cli.evaluation import run
from vlmt_cli.evaluation.predict import Photo, predict, remarks
from vlmt_cli.evaluation.predict_page import page, write_prediction_page
from vlmt_cli.evaluation.predict_photos import Networks, make_extractor, see
from vlmt_cli.evaluation.predict_picture import COLOURS, View, draw_boxes
from vlmt_cli.evaluation.predictions import Answer, Answers, Box, Boxes, Photos, RankedPhoto, RankedText, Texts
from vlmt_cli.evaluation.question import PhotoSource, find_photos
from vlmt_cli.evaluation.setup import LoadedModel
from vlmt_cli.features.extract import extract
from vlmt_cli.features.pixels import WIDTH, pixels_extractor
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.features.record import Regions
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.runs.best import Weights
from vlmt_cli.runs.checkpoint import Checkpoint
from vlmt_cli.runs.lineage import Extractor, Lineage
from vlmt_cli.runs.recipe import Recipe
from vlmt_cli.runs.recipe_sections import FeatureChoices
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.load import load_examples
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.tasks.retrieval.matrix import score_matrix
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer
from vlmt_cli.trunks.config import make_config

EXTRACTOR = pixels_extractor(np.random.default_rng(0).random((4, WIDTH)).astype(np.float32))
TEXTS = ["what is red ?", "the red thing on the left", "is it red ? no . is it left ? yes .", "a red thing"]
IMAGES = [f"coco:{number}" for number in range(6)]
CANDIDATES = np.array([[4, 4, 30, 28], [10, 20, 44, 50], [0, 0, 80, 64]], np.float32)
LABELS = {
    "vqa": [f"answer {number}" for number in range(7)],
    "gqa": ["yes", "no"],
    "nlvr2": ["False", "True"],
    "snli_ve": ["contradiction", "neutral", "entailment"],
}
MOST = 4
"""Detected regions that the model sees: fewer than there are."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder of six drawn photos with their features, and examples of every head."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    files = []
    for image in IMAGES:
        pixels = np.full((64, 80, 3), 230, np.uint8)
        for x, y in rng.integers(0, 60, (4, 2)):
            pixels[y : y + 16, x : x + 12] = rng.integers(0, 200, 3)
        files.append((image, str(folder / f"{image[5:]}.png")))
        Image.fromarray(pixels).save(files[-1][1])
    extract(files, folder / "features" / "pixels", EXTRACTOR)
    extract(files, folder / "features" / "pixels-candidates", EXTRACTOR, boxes=dict.fromkeys(IMAGES, CANDIDATES))
    known = len(TEXTS)
    common = {"example_id": list("abcd"), "images": [[image] for image in IMAGES[:known]], "text": TEXTS}
    label = {"label": [0] * known, "premise": [None] * known}
    boxes = {
        "box": [CANDIDATES[0].tolist()] * known,
        "candidates": [CANDIDATES.tolist()] * known,
        "target": [0] * known,
        "category": [None] * known,
    }
    tables = {
        "vqa": example_table(VQA, "", **common, answers=[["answer 1"]] * known, counts=[[10]] * known),
        "refcoco": example_table(REFERRING, "", **common, **boxes),
        "visual7w": example_table(REFERRING, "", **common, **boxes),
        "nlvr2": example_table(VERIFICATION, "", **{**common, "images": [IMAGES[:2], IMAGES[1:3]] * 2}, **label),
        "snli_ve": example_table(VERIFICATION, "", **common, **label),
    }
    for task, table in tables.items():
        (folder / "examples" / task).mkdir(parents=True)
        pq.write_table(table, folder / "examples" / task / "test.parquet")
    return folder


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    tokenizer = word_tokenizer(iter(TEXTS))
    vocabulary = TextEncoder(tokenizer).tokenizer.get_vocab_size()
    trunk = make_config("tiny", region_features=WIDTH, vocabulary=vocabulary, init_std=0.3)
    model = MultiTaskModel(ModelConfig(trunk=trunk, answers={"vqa": 7, "gqa": 2})).eval()
    lineage = Lineage(extractor=Extractor(name="pixels", hash=EXTRACTOR.hash))
    return Checkpoint(model, LABELS, tokenizer, lineage)


@pytest.fixture(scope="module")
def reader(data):
    stores = [FeatureStore(data / "features" / name) for name in ("pixels", "pixels-candidates")]
    yield RegionReader(*stores, max_regions=MOST)
    for store in stores:
        store.close()


def stored(reader, *names, candidates=False):
    given = {name: reader.candidates.read(name) for name in names} if candidates else {}
    return [Photo(name, reader.store.read(name), given.get(name)) for name in names]


def loaded(checkpoint):
    """A model of a run that shows at most ``MOST`` detected regions."""
    encoder = TextEncoder(checkpoint.tokenizer) if checkpoint.tokenizer else None
    recipe = Recipe(features=FeatureChoices(regions=MOST))
    return LoadedModel("run", Weights("run"), checkpoint, recipe, encoder)


@pytest.mark.parametrize("task", ["vqa", "refcoco", "visual7w", "nlvr2", "snli_ve"])
def test_an_example_is_predicted_as_evaluation_does(task, data, checkpoint, reader):
    encoder, token = TextEncoder(checkpoint.tokenizer), TASKS[task].token
    examples = load_examples(data, task, "test", encoder, reader, "test", clean=False, answers=LABELS["vqa"])
    labels = LABELS.get(TASKS[task].head, [])
    expected = run.predict_examples(checkpoint.model, examples, reader, token, labels, 3, run.Process())
    for row, text in enumerate(TEXTS):
        names = [
            examples.names[code].as_py() for code in examples.codes[examples.offsets[row] : examples.offsets[row + 1]]
        ]
        photos = stored(reader, *names, candidates=task == "visual7w")
        found = predict(loaded(checkpoint), task, photos, [text, "red"])[0]
        if isinstance(found, Boxes):
            best = found.boxes[0]
            assert best.box == pytest.approx(expected["box"][row], abs=0.01)
            assert best.probability == pytest.approx(expected["confidence"][row], abs=1e-5)
            choices = len(CANDIDATES) if task == "visual7w" else min(MOST, len(photos[0].regions.boxes))
            assert sorted(one.region for one in found.boxes) == list(range(choices))
            assert sum(one.probability for one in found.boxes) == pytest.approx(1, abs=1e-5)
            own = photos[0].candidates or photos[0].regions
            assert best.box == pytest.approx(own.boxes[best.region].tolist(), abs=0.01)
        else:
            assert (found.text, found.photos) == (text, names)
            assert found.answers[0].answer == expected["answer"][row]
            if task == "vqa":
                assert found.answers[0].probability == pytest.approx(expected["confidence"][row], abs=1e-5)
                assert len(found.answers) == 5
            else:
                shares = {one.answer: one.probability for one in found.answers}
                assert [shares[label] for label in labels] == pytest.approx(expected["probabilities"][row], abs=1e-5)


def test_rankings_are_those_of_recall(checkpoint, reader):
    encoder, token = TextEncoder(checkpoint.tokenizer), TASKS["coco"].token
    regions = reader.read(IMAGES)
    texts = [(torch.tensor(ids), torch.ones(1, len(ids[0])), torch.tensor([token]))
             for ids in ([one] for one in encoder.encode(TEXTS, 30))]  # fmt: skip
    images = [(regions.features_BVF, regions.boxes_BV5, regions.mask_BV)]
    scores = score_matrix(checkpoint.model.trunk, checkpoint.model.heads["retrieval"], texts, images)
    found = predict(loaded(checkpoint), "coco", stored(reader, *IMAGES), TEXTS, top=6)
    for row, (text, one) in enumerate(zip(TEXTS, found, strict=True)):
        assert isinstance(one, Photos) and one.text == text
        assert [each.photo for each in one.photos] == [IMAGES[place] for place in scores[row].argsort(descending=True)]
        assert [each.score for each in one.photos] == pytest.approx(sorted(scores[row].tolist())[::-1], abs=1e-4)
        assert sum(each.probability for each in one.photos) == pytest.approx(1, abs=1e-5)
    (one,) = predict(loaded(checkpoint), "coco", stored(reader, IMAGES[2]), TEXTS)
    assert isinstance(one, Texts) and one.photo == IMAGES[2]
    assert [each.text for each in one.texts] == [TEXTS[place] for place in scores[:, 2].argsort(descending=True)]


@pytest.mark.parametrize("task", ["coco", "vqa", "refcoco"])
def test_photos_are_shared_among_processes(task, checkpoint, reader, monkeypatch):
    monkeypatch.setattr(predicting, "_PHOTOS", 2)
    photos = stored(reader, *IMAGES)

    def ask(process):
        own = [photos[number] for number in predicting.share(len(photos), process)]
        return predict(loaded(checkpoint), task, own, TEXTS[:2], process=process)

    alone = predict(loaded(checkpoint), task, photos, TEXTS[:2])
    for world in (2, 4):
        first, *others = in_ranks(world, ask)
        assert first == alone and others == [[]] * (world - 1)


def test_many_texts_and_the_task_token(checkpoint, reader):
    photos = stored(reader, *IMAGES[:2])
    texts = [f"{text} {word}" for text in TEXTS for word in ("red", "left", "no") * 4]
    found = predict(loaded(checkpoint), "gqa", photos, texts)
    assert [(one.photos, one.text) for one in found] == [([photo.name], text) for photo in photos for text in texts]
    (alone,) = predict(loaded(checkpoint), "gqa", photos[1:], texts[40:41])
    theirs = found[len(texts) + 40]
    assert alone.answers[0].probability == pytest.approx(theirs.answers[0].probability, abs=1e-5)
    plain = copy.copy(checkpoint.model)
    plain.config = plain.config.model_copy(update={"task_token": "none"})
    (without,) = predict(loaded(replace(checkpoint, model=plain)), "gqa", photos[1:], texts[40:41])
    assert without.answers[0].probability != pytest.approx(alone.answers[0].probability, abs=1e-4)


def test_a_photo_has_the_regions_that_extract_stored(data, checkpoint, reader):
    trained = checkpoint.lineage.extractor
    sources = [PhotoSource(IMAGES[1]), *find_photos([str(data / "2.png"), str(data)])]
    assert [source.name for source in sources[1:]] == [str(data / f"{n}.png") for n in (2, 0, 1, 2, 3, 4, 5)]
    stores = [data / "features" / "pixels-candidates", data / "features" / "pixels"]
    photos, notes = see(sources, trained, Networks(), stores)
    assert notes == []
    for photo, image in zip(photos, (1, 2, 0, 1, 2, 3, 4, 5), strict=True):
        theirs = reader.store.read(f"coco:{image}")
        np.testing.assert_array_equal(photo.regions.boxes, theirs.boxes)
        np.testing.assert_array_equal(photo.regions.features, theirs.features)
        assert (photo.regions.width, photo.regions.height, photo.candidates) == (80, 64, None)
    for source in (PhotoSource("coco:3"), PhotoSource("a", data / "3.png")):
        (photo,), _ = see([source], trained, Networks(), stores, CANDIDATES[::-1].copy())
        np.testing.assert_array_equal(photo.candidates.boxes, CANDIDATES[::-1])
        np.testing.assert_array_equal(photo.candidates.features, reader.candidates.read("coco:3").features[::-1])


def test_networks_must_be_those_of_the_features(data, tmp_path):
    from features.tiny_networks import save_networks

    from vlmt_cli.features.extractor import network_extractor

    torch.set_num_threads(1)
    saved = save_networks(tmp_path)
    theirs = network_extractor("cpu", saved["rt_detr"], saved["vit"], max_regions=7)
    trained = Extractor(name=theirs.name, hash=theirs.hash)
    own = Networks("cpu", saved["rt_detr"], saved["vit"])
    (photo,), notes = see([PhotoSource("a", data / "0.png")], trained, own, [])
    assert (len(photo.regions.boxes), notes) == (7, [])
    (photo,), _ = see([PhotoSource("a", data / "0.png")], trained, own, [], CANDIDATES)
    np.testing.assert_array_equal(photo.candidates.boxes, CANDIDATES)
    _, notes = make_extractor(trained, Networks("cpu", saved["detr"], saved["vit"]))
    assert notes[0].startswith("Boxes come from detr+vit")
    _, notes = make_extractor(None, own)
    assert notes == ["The checkpoint does not say what its features came from; taken for rt_detr+vit"]
    with pytest.raises(DataError, match=r"trained on features of rt_detr\+vit .* --backbone"):
        make_extractor(trained, Networks("cpu", saved["rt_detr"], saved["dinov2"]))
    with pytest.raises(UsageError, match="backbone vit of the checkpoint's features is not at hand; give it with --ba"):
        make_extractor(trained, Networks())
    with pytest.raises(DataError, match=r"no-such-net: cannot be loaded .* name an image key whose features"):
        make_extractor(trained, Networks("cpu", str(tmp_path / "no-such-net"), saved["vit"]))


def test_the_papers_detector_is_made_as_its_features_were(tmp_path):
    from features.vg_x152.tiny import CONFIG, WEIGHTS

    from vlmt_cli.features.vg_x152.extractor import vg_x152_extractor

    torch.set_num_threads(1)
    weights = tmp_path / "detectron_model.safetensors"
    weights.symlink_to(WEIGHTS)
    (tmp_path / "detectron_config.yaml").symlink_to(CONFIG)
    for choices in ({}, {"mode": "faithful", "batch": 3}, {"precision": "bf16", "max_regions": 36}):
        theirs = vg_x152_extractor("cpu", weights, **choices)
        extractor, notes = make_extractor(Extractor(name=theirs.name, hash=theirs.hash), Networks(weights=weights))
        assert (extractor.name, extractor.hash, notes) == (theirs.name, theirs.hash, [])


@pytest.mark.parametrize(
    ("trained", "said"),
    [
        (None, "does not say what its features came from; give --detector"),
        (Extractor(name="X-152", hash="abc"), "the extractor X-152 of the checkpoint's features is not at hand"),
        (Extractor(name="given+vit", hash="abc-given"), r"the extractor given\+vit .* is not at hand"),
        (Extractor(name="vg-x152-bf16", hash="abc.correct.1-vg"), "give --detector-weights detectron_model.pth"),
        (Extractor(name="pixels", hash="pixels.0-ab"), r"trained on features of pixels \(pixels.0-ab\), and these"),
    ],
)
def test_an_extractor_that_is_not_at_hand(trained, said):
    with pytest.raises((UsageError, DataError), match=said) as caught:
        make_extractor(trained, Networks())
    assert "image key" in str(caught.value) and "\n" not in str(caught.value)


def test_features_that_are_not_there(data, checkpoint):
    trained, stores = checkpoint.lineage.extractor, [data / "features" / "pixels"]
    foreign = Extractor(name="X-152", hash="abc")
    for asked, model, paths, said in (
        ("coco:99", trained, stores, "has no features of coco:99; extract them"),
        ("coco:1", foreign, stores, "holds no features of X-152"),
        ("coco:1", trained, [], "no store has features of coco:1"),
    ):
        with pytest.raises(DataError, match=said):
            see([PhotoSource(asked)], model, Networks(), paths)
    with pytest.raises(DataError, match="no features of these boxes of coco:1"):
        see(
            [PhotoSource("coco:1")],
            trained,
            Networks(),
            [*stores, data / "features" / "pixels-candidates"],
            CANDIDATES / 9,
        )
    with pytest.raises(UsageError, match=r"box \[90, 90, 99, 99\] is .* outside"):
        see([PhotoSource("a", data / "1.png")], trained, Networks(), [], np.array([[90, 90, 99, 99]], np.float32))


def test_photos_that_are_none(data, tmp_path, checkpoint):
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "cut.png").write_bytes((data / "1.png").read_bytes()[:90])
    for name in ("notes.txt", "cut.png"):
        with pytest.raises(DataError, match=rf"{name}: is not a photo that can be read"):
            see(find_photos([str(tmp_path / name)]), checkpoint.lineage.extractor, Networks(), [])
    (tmp_path / "empty").mkdir()
    for name, said in (
        ("nothing.jpg", "there is no such photo"),
        (str(tmp_path / "empty"), "has no image files"),
        ("coco:000000000009", "is not an image key; write coco:9"),
    ):
        with pytest.raises(DataError, match=said):
            find_photos([name])


def test_questions_that_cannot_be_asked(checkpoint, reader):
    photos = stored(reader, *IMAGES[:3])
    only = ModelConfig(trunk=checkpoint.config.trunk, heads=("nlvr2",))
    narrow = Checkpoint(MultiTaskModel(only).eval(), {}, checkpoint.tokenizer, checkpoint.lineage)
    bare = Checkpoint(checkpoint.model, {}, None, checkpoint.lineage)
    for model, task, count, texts, said in (
        (checkpoint, "vqa2", 1, ["a"], "no task 'vqa2'; did you mean vqa"),
        (narrow, "vqa", 1, ["a"], "the model has no head for vqa; it has those of nlvr2"),
        (narrow, "nlvr2", 2, ["a"], "does not say what its nlvr2 answers are"),
        (bare, "refcoco", 1, ["a"], "has no tokenizer"),
        (checkpoint, "nlvr2", 1, ["a"], "nlvr2 compares two photos, and here is 1"),
        (checkpoint, "nlvr2", 3, ["a"], "here are 3; name the left, then the right"),
        (checkpoint, "coco", 1, ["a"], "here is one of each; give several photos"),
        (checkpoint, "vqa", 1, ["a", " "], "has no words"),
        (checkpoint, "vqa", 1, ["\udcff"], "is not UTF-8"),
        (checkpoint, "vqa", 1, [], "there is no text"),
    ):
        with pytest.raises((UsageError, DataError), match=said):
            predict(loaded(model), task, photos[:count], texts)
    with pytest.raises(DataError, match="coco:x: the model takes features of width 96, and the photo's have 5"):
        predict(loaded(checkpoint), "vqa", [Photo("coco:x", Regions(CANDIDATES, np.ones((3, 5)), 80, 64))], ["a"])


def test_what_the_model_does_not_read_is_said(checkpoint):
    assert remarks(checkpoint, "vqa", "What is RED?") == []
    assert remarks(checkpoint, "vqa", "what dog is a Dog or cat?") == [
        "the model does not know the words 'dog', 'Dog', 'or', 'cat'"
    ]
    assert remarks(checkpoint, "vqa", "red " * 30) == ["the model reads the first 21 of the text's 30 tokens"]


HOSTILE = '<script>alert("1")</script><img src=x onerror=alert(1)>&amp;{title}'
BOX = Box((4.0, 4.0, 30.0, 28.0), 0.75, 2.0, 0)


class Elements(HTMLParser):
    """The elements, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize(
    ("task", "predictions"),
    [
        ("vqa", [Answers(HOSTILE, [HOSTILE], [Answer(HOSTILE, 0.5), Answer("no", 0.0001)])]),
        ("nlvr2", [Answers(HOSTILE, [HOSTILE, "b"], [Answer("True", 0.5)])]),
        ("refcoco", [Boxes(HOSTILE, HOSTILE, [BOX, BOX])]),
        ("refcoco", [Boxes(HOSTILE, HOSTILE, [BOX]), Boxes("\udcff", HOSTILE, [BOX])]),
        ("coco", [Photos(HOSTILE, [RankedPhoto(HOSTILE, -1.0, 0.5), RankedPhoto("b", -2.0, 0.5)])]),
        ("coco", [Texts(HOSTILE, [RankedText(HOSTILE, -1.0, 0.5)])]),
    ],
)
def test_a_page_shows_hostile_texts_as_they_are(task, predictions, tmp_path):
    photo = Image.new("RGB", (80, 64), "white")
    views = {HOSTILE: View(photo, 80, 64), "b": View(None, 80, 64)}
    write_prediction_page(tmp_path / "a.html", task, predictions, views, [HOSTILE])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    elements = Elements(text)
    assert not elements.tags & {"script", "img", "iframe", "link"} and "onerror" not in elements.attributes
    assert sum(HOSTILE in each for each in elements.texts) >= 3  # as a fact, a photo's name, a text
    assert text.count("data:image/jpeg;base64,") == 1  # each photo once
    assert "default-src 'none'" in text
    assert text == page(task, predictions, views, [HOSTILE])


def test_a_page_says_what_the_model_said():
    views = {"a.png": View(Image.new("RGB", (80, 64)), 80, 64), "b.png": View(None, 80, 64)}
    answers = [Answers("what?", ["a.png"], [Answer("yes", 0.75), Answer("no", 0.0001)])]
    texts = Elements(page("vqa", answers, views)).texts
    assert all(word in texts for word in ("what?", "yes", "75.0%", "<0.1%", "a.png"))
    boxes = page("refcoco", [Boxes("one", "b.png", [BOX]), Boxes("two", "b.png", [BOX])], views)
    assert '<rect class="box" x="4.0" y="4.0" width="26.0" height="24.0" stroke="' in boxes
    assert all(colour in boxes for colour in COLOURS[:2]) and "not at hand" in boxes
    assert boxes.count("<article") == 1


def test_boxes_are_drawn_where_they_are(tmp_path):
    found = [Boxes("a", "b", [BOX, Box((50.0, 40.0, 79.0, 63.0), 0.1, 0.0, 1)])]
    draw_boxes(tmp_path / "a.png", View(Image.new("RGB", (80, 64), "white"), 80, 64), found)
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (640, 800, 3)
    best = ImageColor.getrgb(COLOURS[0])
    places = np.argwhere((pixels == best).all(2))
    upper, left = places[places[:, 0] >= 40].min(0)
    assert (left, upper, places[:, 1].max()) == (40, 40, 300) and places[:, 0].max() == 280
    draw_boxes(tmp_path / "b.png", View(None, 3000, 2), found * 2)
    with Image.open(tmp_path / "b.png") as picture:
        assert picture.size == (3000, 2)
