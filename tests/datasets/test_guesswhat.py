"""GuessWhat?!, in the form of both releases."""

import pytest
from handmade import GAME, GAME_OF_THE_OTHER_RELEASE, Lines, links, official, read, rows, write


@pytest.mark.parametrize("game", [GAME, GAME_OF_THE_OTHER_RELEASE], ids=["one release", "the other"])
def test_both_releases_give_the_same_example(tmp_path, game):
    examples = read("guesswhat", write(tmp_path, {"guesswhat.test.jsonl": Lines([game])}))
    assert rows(examples, "test") == [
        {
            "example_id": "2400",
            "images": ["coco:489209"],
            "text": "is it a person? no. is it red? n/a.",
            "box": [1, 2, 4, 6],
            "candidates": [[1, 2, 4, 6], [0, 0, 4, 4]],  # by object id
            "target": 0,
            "category": "car",
        }
    ]
    assert links(examples) == [("coco:489209", "flickr:123")]


def test_only_successful_games_are_examples(tmp_path):
    examples = read("guesswhat", write(tmp_path, official("guesswhat")))
    assert {name: len(table) for name, table in examples.splits.items()} == {"train": 1, "val": 1}
    assert examples.notes == {"games with status 'failure', left out": 1}
