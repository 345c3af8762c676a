"""Nouns and adjectives of real questions and phrases, against texts tagged by hand; lemmas; missing taggers."""

from itertools import product

import pytest

from benchmarks.tagger import SECOND_DRAW, TEXTS, f1
from vlmt_cli.analysis.consistency.concepts import NO_CONCEPTS, concepts, lemma, load_tagger
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.miniworld.language import SIDES, plural
from vlmt_cli.miniworld.questions import KINDS
from vlmt_cli.miniworld.scene import COLOURS, SHAPES, SIZES


def found(text, tagger="lexicon"):
    return concepts([text], load_tagger(tagger))[0]


@pytest.mark.parametrize(("texts", "least"), [(TEXTS, 0.985), (SECOND_DRAW, 0.975)])
def test_lexicon_on_texts_tagged_by_hand(texts, least):
    tagger = load_tagger("lexicon")
    assert f1(tagger, texts, "noun") > least
    assert f1(tagger, texts, "adjective") > least
    assert f1(tagger, texts, "noun", "adjective") > least


def test_spacy_on_texts_tagged_by_hand():
    try:
        tagger = load_tagger("spacy")
    except DataError as error:
        pytest.skip(str(error))
    assert f1(tagger, TEXTS, "noun") > 0.95
    assert f1(tagger, TEXTS, "adjective") > 0.88
    assert f1(tagger, TEXTS, "noun", "adjective") > 0.97


@pytest.mark.parametrize(
    ("text", "nouns", "adjectives"),
    [
        ("What color is the largest dog?", "color dog", "large"),
        ("the dogs' largest bone", "dog bone", "large"),
        ("woman in white t-shirt on left", "woman shirt left", "white"),
        ("left guy", "guy", "left"),
        ("the left one", "", "left"),
        ("man watching TV", "man tv", ""),
        ("is he wearing a watch", "watch", ""),
        ("How many other people stand near the stands?", "person stand", ""),
        ("most of the same few kids", "kid", ""),
        ("garbage can that you can see", "garbage can", ""),
        ("an orange on an orange plate", "orange plate", ""),
        ("Is the shirt orange?", "shirt", "orange"),
        ("", "", ""),
        ("?!", "", ""),
        ("café\u2019s menus", "café menu", ""),
    ],
)
def test_lexicon_by_the_neighbours(text, nouns, adjectives):
    expected = dict.fromkeys(adjectives.split(), "adjective") | dict.fromkeys(nouns.split(), "noun")
    assert found(text) == expected


def test_lexicon_knows_the_mini_world():
    for size, colour, shape in product(SIZES, COLOURS, SHAPES):
        expected = {size: "adjective", colour: "adjective", shape: "noun"}
        assert found(f"{size} {colour} {shape}") == expected
        assert found(f"{shape} that is {colour}") == {shape: "noun", colour: "adjective"}
        assert found(f"Are there more {plural(shape)} than {size} {colour} things?") == {**expected, "thing": "noun"}
    asked = ("star", "cross", SIDES["above"])
    for template in (template for kind in KINDS.values() for template in kind.wordings):
        words = set(found(template.format(*asked)))
        assert {word for word, slot in zip(asked, ("{0}", "{1}"), strict=False) if slot in template} <= words
        assert words <= {*asked, *"color shape thing picture number size big small large left right side".split()}


@pytest.mark.parametrize(
    "forms",
    """women woman, men man, firemen fireman, children child, people person, feet foot, geese goose, mice mouse, buses
    bus, glasses glass, dresses dress, houses house, horses horse, vases vase, benches bench, brushes brush,
    boxes box, sizes size, knives knife, leaves leaf, shelves shelf, bookshelves bookshelf, gloves glove, ladies
    lady, babies baby, sleeves sleeve, cookies cookie, ties tie, movies movie, potatoes potato, shoes shoe,
    canoes canoe, skis ski, taxis taxi, tennis tennis, bus bus, grass grass, dress dress, shorts shorts, jeans
    jeans, lens lens, is is, bananas banana, guys guy, mustaches mustache, walruses walrus, toes toe""".split(","),
)
def test_singular(forms):
    plural, singular = forms.split()
    assert lemma(plural, "noun") == singular


@pytest.mark.parametrize(
    "forms",
    "larger large, largest large, bigger big, tallest tall, shinier shiny, closest close, best good, farthest far, "
    "silver silver, other other, left left, red red, safest safe".split(","),
)
def test_plain_adjective(forms):
    form, plain = forms.split()
    assert lemma(form, "adjective") == plain


def test_each_lemma_counts_once_and_texts_keep_their_order():
    texts = ["two dogs and a dog", "red", "two dogs and a dog"]
    assert concepts(texts, load_tagger("lexicon")) == [{"dog": "noun"}, {"red": "adjective"}, {"dog": "noun"}]


def test_function_words_are_no_concepts_of_any_tagger(spacy_pipeline):
    texts = [f"{word} dogs" for word in sorted(NO_CONCEPTS)]
    for name in ("lexicon", spacy_pipeline):
        assert concepts(texts, load_tagger(name)) == [{"dog": "noun"}] * len(texts)


@pytest.fixture(scope="module")
def spacy_pipeline(tmp_path_factory):
    """A spaCy pipeline in a folder, which knows five words."""
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("attribute_ruler")
    parts = {"dogs": "NOUN", "london": "PROPN", "largest": "ADJ", "run": "VERB", **dict.fromkeys(NO_CONCEPTS, "ADJ")}
    for word, part in parts.items():
        ruler.add([[{"LOWER": word}]], {"POS": part})
    folder = tmp_path_factory.mktemp("spacy") / "pipeline"
    pipeline.to_disk(folder)
    return f"spacy:{folder}"


def test_spacy_tags_and_the_lemmas_are_ours(spacy_pipeline):
    text = "The largest dogs run many of London's dogs"
    assert found(text, spacy_pipeline) == {"large": "adjective", "dog": "noun", "london": "noun"}
    first = load_tagger(spacy_pipeline)([text])[0][0]
    assert (text[first.start : first.end], first.lemma) == ("largest", "large")


def test_a_missing_tagger_says_what_to_do():
    pytest.importorskip("spacy")
    with pytest.raises(DataError, match="python -m spacy download en_no_such_model"):
        load_tagger("spacy:en_no_such_model")
    with pytest.raises(UsageError, match="no tagger 'stanford'"):
        load_tagger("stanford")
