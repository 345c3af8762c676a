"""Visual Genome QA."""

from handmade import official, read, rows, write


def test_the_last_questions_by_id_are_val_and_test(tmp_path):
    examples = read("vg_qa", write(tmp_path, official("vg_qa")), val=1, test=1)
    ids = {name: [row["example_id"] for row in rows(examples, name)] for name in examples.splits}
    assert ids == {"train": [str(n) for n in range(1, 9)], "val": ["9"], "test": ["10"]}
    assert rows(examples, "test") == [
        {
            "example_id": "10",
            "images": ["vg:7"],
            "text": "What is 10?",
            "answers": ["green"],
            "counts": [10],
            "unanimous": None,
        }
    ]
    assert examples.answers is None  # VQA's vocabulary is used


def test_at_most_a_tenth_is_held_out_for_each(tmp_path):
    splits = read("vg_qa", write(tmp_path, official("vg_qa"))).splits
    assert {name: len(table) for name, table in splits.items()} == {"train": 8, "val": 1, "test": 1}


def test_the_real_visual_genome(real_data):
    splits = read("vg_qa", real_data / "raw" / "vg_qa", val=300, test=300).splits
    assert {name: len(table) for name, table in splits.items()} == {"train": 2793, "val": 300, "test": 300}
