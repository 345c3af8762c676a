"""Visual7W pointing."""

import pytest
from handmade import official, read, rows, write


@pytest.mark.parametrize("name", ["dataset_v7w_pointing.json", "dataset.json"])
def test_candidates_stand_in_the_order_of_their_ids(tmp_path, name):
    (content,) = official("visual7w").values()
    examples = read("visual7w", write(tmp_path, {name: content}))
    assert rows(examples, "train") == [
        {
            "example_id": "1",
            "images": ["vg:2372205"],
            "text": "Which is farther left?",
            "box": [7, 1, 9, 4],
            "candidates": [[5, 1, 7, 4], [6, 1, 8, 4], [7, 1, 9, 4], [8, 1, 10, 4]],
            "target": 2,
            "category": "thing 7",
        }
    ]
