"""NLVR2."""

import pytest
from handmade import NLVR2_PAIR, Lines, links, read, rows, write


@pytest.mark.parametrize(
    ("name", "split"), [("dev.json", "val"), ("test1.json", "test"), ("test.json", "test"), ("test2.json", "test2")]
)
def test_a_pair_has_two_images(tmp_path, name, split):
    examples = read("nlvr2", write(tmp_path, {name: Lines([NLVR2_PAIR])}))
    assert rows(examples, split) == [
        {
            "example_id": "dev-850-0-0",
            "images": ["nlvr2:dev-850-0-img0", "nlvr2:dev-850-0-img1"],
            "text": "The left image shows a dog.",
            "label": 0,
            "premise": None,
        }
    ]


def test_links_are_distinct_and_may_be_missing(tmp_path):
    again = NLVR2_PAIR | {"identifier": "dev-850-0-1", "label": "True"}
    bare = {"identifier": "train-1-0-0", "sentence": "A dog.", "label": "True", "directory": 3}
    examples = read("nlvr2", write(tmp_path, {"dev.json": Lines([NLVR2_PAIR, again]), "train.json": Lines([bare])}))
    assert links(examples) == [
        ("nlvr2:dev-850-0-img0", "url:https://a/1.jpg"),
        ("nlvr2:dev-850-0-img1", "url:https://b/2.jpg"),
    ]


def test_the_real_nlvr2_shares_addresses_between_dev_and_test(real_data):
    examples = read("nlvr2", real_data / "raw" / "nlvr2")
    assert {name: len(table) for name, table in examples.splits.items()} == {"val": 6_982, "test": 6_967}
    pairs = links(examples)
    assert len(set(pairs)) == len(pairs)
    assert ("nlvr2:dev-", "flickr:") in {(image[:10], alias[:7]) for image, alias in pairs}
    pairs = [(image, alias) for image, alias in pairs if alias.startswith("url:")]
    dev, test = ({alias for image, alias in pairs if image.startswith(f"nlvr2:{part}-")} for part in ("dev", "test1"))
    assert len(dev & test) == 48  # 45 letter by letter; http and https are one address
    assert len(test) == 8_055  # table 7 has 8,056: two differ in http and https alone
