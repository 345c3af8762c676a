"""Attention maps are the model's own, sum to one and give padding nothing; the page and pictures show them safely."""

import base64
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from trunks.authors_files import load, trunk_config

from benchmarks import textbook
from vlmt_cli.analysis.attention.maps import KINDS, Attention, attention_of, cut, most_attended_words, text_words
from vlmt_cli.analysis.attention.page import attention_page, write_attention_page
from vlmt_cli.analysis.attention.png import draw_maps, draw_words
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.tasks.config import ModelConfig
from vlmt_cli.tasks.multitask import MultiTaskModel
from vlmt_cli.trunks.config import make_config

TOKENS = ["[CLS]", "is", "the", "zig", "##gur", "##at", "red", "?", "[SEP]"]
IDS = [1, 7, 8, 9, 10, 11, 12, 13, 2]
WIDTH, HEIGHT = 160, 120
BOXES = torch.tensor([[0.0, 0, WIDTH, HEIGHT], [10, 10, 60, 70], [80, 30, 150, 110], [0, 90, 40, 120], [70, 0, 90, 20]])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    trunk = make_config("tiny", region_features=6, init_std=0.3)
    return MultiTaskModel(ModelConfig(trunk=trunk, answers={"vqa": 5, "gqa": 4})).eval()


@pytest.fixture(scope="module")
def features():
    return torch.randn(len(BOXES), 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def attention(model, features):
    return look(model, features)


def look(model, features, **changes):
    arguments = {"tokens": TOKENS, "ids": IDS, "task": ("vqa", 1), "features_VF": features, "pixels_V4": BOXES}
    return attention_of(model, **(arguments | changes))


def test_every_map_sums_to_one_over_real_places(attention):
    assert attention.tokens == ("[CLS]", "[TASK vqa]", *TOKENS[1:])
    assert attention.regions == ("[IMG]", "region 1", "region 2", "region 3", "region 4")
    assert (attention.width, attention.height) == (WIDTH, HEIGHT)
    shapes = {kind: maps.shape for kind, maps in attention.maps.items()}
    assert shapes == {
        "text-text": (2, 4, 10, 10),
        "text-image": (2, 4, 10, 5),
        "image-text": (2, 4, 5, 10),
        "image-image": (2, 4, 5, 5),
    }
    for kind in KINDS:
        np.testing.assert_allclose(attention.maps[kind].sum(-1), 1, atol=1e-5)
        np.testing.assert_allclose(attention.map(kind).sum(-1), 1, atol=1e-5)


class Watched(textbook.TextbookViLBERT):
    """The textbook's model, which keeps its attention probabilities."""

    def drop(self, x, kind=""):
        if kind.endswith("attention_probs"):
            self.seen.append(x)
        return super().drop(x, kind)


def test_maps_are_the_textbooks(features):
    theirs = textbook.random_config(3) | {"task_specific_tokens": True, "v_feature_size": 6}
    reference = Watched(theirs)
    textbook.randomise(reference, 3)
    reference.eval()
    answers = {"vqa": theirs.get("num_vqa_answers", 3129), "gqa": theirs.get("num_gqa_answers", 1533)}
    config = ModelConfig(trunk=trunk_config(theirs), pretraining=True, answers=answers, entailment_head="linear")
    ours = look(load(config, reference.state_dict()).eval(), features)

    reference.seen, size = [], torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    area = (BOXES[:, 2] - BOXES[:, 0]) * (BOXES[:, 3] - BOXES[:, 1]) / (WIDTH * HEIGHT)
    ids = torch.tensor([IDS])
    expected = reference(
        ids,
        features[None],
        torch.cat([BOXES / size, area[:, None]], 1)[None],
        torch.zeros_like(ids),
        torch.ones_like(ids),
        torch.ones(1, len(BOXES), dtype=torch.long),
        torch.tensor([[1]]),
    )
    streams = {len(TOKENS) + 1: "text", len(BOXES): "image"}
    by_kind = {kind: [] for kind in KINDS}
    for seen in reference.seen:
        by_kind["-".join(streams[length] for length in seen.shape[2:])].append(seen[0].detach())
    for kind, layers in by_kind.items():
        assert layers
        np.testing.assert_allclose(ours.maps[kind], torch.stack(layers).numpy(), atol=2e-5, rtol=1e-4)
    assert ours.referred == expected["vision_logit"][0, 1:].argmax().item() + 1


@pytest.mark.parametrize("packed", [True, False])
def test_padding_gets_nothing_and_changes_nothing(model, features, packed):
    lengths = [(4, 5), (9, 2), (6, 3)]
    longest_text, longest_image = 9, 5
    tokens = torch.full((3, longest_text), 99)  # rubbish in the padding
    boxes = torch.rand(3, longest_image, 4)
    regions = torch.randn(3, longest_image, 6)
    text_mask, image_mask = torch.zeros(3, longest_text).bool(), torch.zeros(3, longest_image).bool()
    shares = BOXES / torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    for row, (words, places) in enumerate(lengths):
        tokens[row, :words] = torch.tensor(IDS[:words])
        regions[row, :places], boxes[row, :places] = features[:places], shares[:places]
        text_mask[row, :words], image_mask[row, :places] = True, True
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    model.trunk.packed = packed
    with torch.no_grad():
        maps = model.trunk(tokens, text_mask, regions, torch.cat([boxes, area[..., None]], -1), image_mask,
                           torch.tensor([1, 1, 1]), return_attention=True).maps  # fmt: skip
    model.trunk.packed = None
    for row, (words, places) in enumerate(lengths):
        alone = look(model, features[:places], tokens=TOKENS[:words], ids=IDS[:words], pixels_V4=BOXES[:places])
        within = cut(maps, row, words + 1, places)
        sizes = {"text": words + 1, "image": places}
        for kind in KINDS:
            np.testing.assert_allclose(within[kind], alone.maps[kind], atol=2e-5, rtol=1e-4)
            queries, keys = (sizes[stream] for stream in kind.split("-"))
            for layer in getattr(maps, kind.replace("-", "_")):
                assert not layer[row, :, :queries, keys:].any()


def test_a_text_without_task_token(model, features):
    assert look(model, features, task=None).tokens == tuple(TOKENS)


def test_means_and_single_maps(attention):
    maps = attention.maps["text-image"]
    np.testing.assert_array_equal(attention.map("text-image", 1, 2), maps[1, 2])
    np.testing.assert_array_equal(attention.map("text-image", -1, -1), maps[1, 3])
    np.testing.assert_allclose(attention.map("text-image", 1), maps[1].mean(0), rtol=1e-5)
    np.testing.assert_allclose(attention.map("text-image", head=0), maps[:, 0].mean(0), rtol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("text-text", 2), "text-text attention has no layer 2; choose 0 to 1"),
        (("text-text", 0, -5), "text-text attention has no head -5; choose 0 to 3"),
        (("text",), "there are no maps 'text'; choose one of text-text, text-image, image-text, image-image"),
    ],
)
def test_maps_that_are_not_there(attention, arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        attention.map(*arguments)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"ids": [1000, *IDS[1:]]}, "token 1,000, and the model knows 1,000"),
        ({"task": ("new", 20)}, "20 task tokens, and new is number 20"),
        ({"features_VF": torch.zeros(5, 7)}, "features of width 7, and the model takes 6"),
        ({"features_VF": torch.zeros(4, 6)}, "4 rows of features for 5 boxes"),
        ({"features_VF": torch.full((5, 6), torch.nan)}, "NaN or infinite"),
    ],
)
def test_what_does_not_fit_the_model(model, features, changes, message):
    with pytest.raises(DataError, match=re.escape(message)):
        look(model, features, **changes)


def test_a_text_that_is_too_long(model, features):
    with pytest.raises(UsageError, match="129 tokens, and the model takes 128"):
        look(model, features, tokens=["a"] * 129, ids=[1] * 129)


def test_words_are_put_together_again():
    words = [(word.text, word.places) for word in text_words(["[CLS]", "[TASK vqa]", *TOKENS[1:]])]
    assert words == [("is", (2,)), ("the", (3,)), ("ziggurat", (4, 5, 6)), ("red", (7,))]


def by_hand(rows, tokens=("[CLS]", "the", "zig", "##gurat", "[SEP]")):
    """Attention of which only the image-text map matters: one layer, one head."""
    map_VT = np.array(rows, np.float32)
    regions = ("[IMG]", *(f"region {n}" for n in range(1, len(rows))))
    boxes = np.array([[0, 0, 10, 10]] * len(rows), np.float32)
    return Attention(tuple(tokens), regions, boxes, 10, 10, {"image-text": map_VT[None, None]})


def test_the_most_attended_word_leaves_special_tokens_out():
    attention = by_hand([[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.3, 0.2, 0.2, 0.2], [0.0, 0.3, 0.0, 0.4, 0.3]])
    found = [(one.word, round(one.share, 3)) for one in most_attended_words(attention)]
    assert found == [(0, 0.2), (0, 0.3), (1, 0.4)]  # two pieces of 0.2 are no 0.4
    assert most_attended_words(by_hand([[0.6, 0.4]], ("[CLS]", "[SEP]"))) == [None]


def test_words_beyond_the_average_region_tell_regions_apart():
    attention = by_hand([[0.2, 0.6, 0.1, 0.1, 0], [0.2, 0.5, 0.1, 0.2, 0], [0.2, 0.7, 0.1, 0, 0]])
    assert [one.word for one in most_attended_words(attention)] == [0, 0, 0]
    assert [one.word for one in most_attended_words(attention, beyond_average=True)] == [0, 1, 0]


class Page(HTMLParser):
    """What a browser finds in a page: its elements, and what is in its scripts and title."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inside, self.open = [], {}, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "title"):
            self.open = dict(attrs).get("id", tag)

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open:
            self.inside[self.open] = self.inside.get(self.open, "") + data


def test_the_page_holds_the_maps_and_needs_nothing_else(attention, tmp_path):
    photo = Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), "teal")
    write_attention_page(tmp_path / "page.html", attention, photo, text="is the ziggurat red?", facts=["VQA v2"])
    text = (tmp_path / "page.html").read_text()
    assert not re.search(r"https?:|//\w+\.|url\(|@import|import ", re.sub(r"//[^\n]*\n", "", text))
    page = Page(text)
    assert not [attrs for _, attrs in page.elements if attrs.keys() & {"src", "href", "onload", "onerror", "style"}]
    (policy,) = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'")
    data = json.loads(page.inside["data"])
    assert data["photo"].startswith("data:image/jpeg;base64,")
    assert (tuple(data["tokens"]), tuple(data["regions"])) == (attention.tokens, attention.regions)
    assert data["boxes"] == BOXES.tolist()
    for packed in data["maps"]:
        maps = attention.maps[packed["kind"]]
        quantised = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8).reshape(maps.shape)
        np.testing.assert_allclose((quantised / 255) ** 2, maps, atol=0.004)


def test_hostile_text_stays_text(attention):
    hostile = "</script><img src=x onerror=alert(1)><!-- {{script}} & \" ' \u2028 \U0001f600"
    changed = replace(attention, tokens=(hostile, *attention.tokens[1:]), regions=(hostile, *attention.regions[1:]))
    page = Page(attention_page(changed, None, text=hostile, facts=[hostile]))
    harmless = Page(attention_page(attention, None, text="red"))
    assert page.elements == harmless.elements
    assert page.inside["title"] == f"Attention: {hostile}"
    data = json.loads(page.inside["data"])
    assert {data["text"], *data["facts"], data["tokens"][0], data["regions"][0]} == {hostile}


def test_a_page_for_the_base_model_stays_small():
    rng = np.random.default_rng(0)
    places = {"text": 25, "image": 101}
    layers = {"text-text": (12, 12), "text-image": (6, 8), "image-text": (6, 8), "image-image": (6, 8)}
    maps = {}
    for kind, (depth, heads) in layers.items():
        scores = np.exp(rng.normal(size=(depth, heads, *(places[stream] for stream in kind.split("-")))))
        maps[kind] = (scores / scores.sum(-1, keepdims=True)).astype(np.float32)
    names = tuple(f"word{n}" for n in range(25)), tuple(f"region {n}" for n in range(101))
    boxes = np.array([[0, 0, 640, 480]] * 101, np.float32)
    photo = Image.effect_noise((3000, 2000), 60)
    assert len(attention_page(Attention(*names, boxes, 640, 480, maps), photo, text="words")) < 8_000_000


@pytest.mark.parametrize("with_photo", [True, False])
def test_pictures_show_what_matplotlib_would_misread(attention, tmp_path, with_photo):
    photo = Image.new("L", (WIDTH, HEIGHT), 128) if with_photo else None
    changed = replace(attention, tokens=("$x_1$ \\frac", "\u72ac", *attention.tokens[2:]))
    draw_words(tmp_path / "words.png", changed, photo, beyond_average=True)
    draw_maps(tmp_path / "maps.png", changed, photo, layer=-1, head=0)
    for name in ("words.png", "maps.png"):
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 50
    assert {path.name for path in Path(tmp_path).iterdir()} == {"words.png", "maps.png"}


def test_the_region_that_is_referred_to_is_dashed_in_the_maps_picture(attention, tmp_path):
    assert attention.referred is not None and attention.referred > 0
    dashed, plain = tmp_path / "dashed.png", tmp_path / "plain.png"
    draw_maps(dashed, attention, None)
    draw_maps(plain, replace(attention, referred=None), None)
    assert dashed.read_bytes() != plain.read_bytes()
    draw_maps(plain, attention, None)
    assert dashed.read_bytes() == plain.read_bytes()  # the same maps give the same bytes
