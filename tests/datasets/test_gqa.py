"""GQA."""

from handmade import official, read, rows, write


def test_train_and_val_are_one_and_the_last_by_id_are_held_out(tmp_path):
    write(tmp_path, official("gqa"))
    examples = read("gqa", tmp_path, minval=1, vocabulary=1)
    assert [row["example_id"] for row in rows(examples, "train")] == [f"{n:02}" for n in range(1, 10)]
    assert rows(examples, "val") == [
        {
            "example_id": "10",
            "images": ["vg:2382986"],
            "text": "Is it?",
            "answers": ["no"],
            "counts": [10],
            "unanimous": None,
        }
    ]
    assert [row["images"] for row in rows(examples, "testdev")] == [["gqa:n161313"]]
    assert examples.answers == ["yes"]


def test_the_secret_test_joins_where_it_is_there(tmp_path):
    secret = {"01": {"imageId": "n5", "question": "Is it?", "isBalanced": True}}
    examples = read("gqa", write(tmp_path, {"test_balanced_questions.json": secret}))
    assert [row["answers"] for row in rows(examples, "test")] == [[]]


def test_other_test_files_join_with_the_images_that_no_file_before_them_names(tmp_path):
    def asked(*images):
        return {f"{name}{n}": {"imageId": image, "question": "Is it?"} for n, image in enumerate(images)}

    files = {}
    for name, images in {
        "testdev_balanced": ["n1"],
        "testdev_all": ["n1"],  # nothing new
        "test_balanced": ["n2"],
        "test_all": ["n2", "n3"],
        "challenge_balanced": ["n3", "5"],
        "submission_all": ["n1", "n2", "n3", "n4", "5", "2382986"],  # the last is val's
    }.items():
        files[f"{name}_questions.json"] = asked(*images)
    splits = read("gqa", write(tmp_path, files)).splits
    shown = {name: table["images"].combine_chunks().flatten().to_pylist() for name, table in splits.items()}
    assert shown == {
        "testdev": ["gqa:n1"],
        "test": ["gqa:n2"],
        "test-all": ["gqa:n3"],
        "test-challenge": ["vg:5"],
        "test-submission": ["gqa:n4"],
    }


def test_the_real_gqa(real_data):
    splits = read("gqa", real_data / "raw" / "gqa", minval=100).splits
    assert {name: len(table) for name, table in splits.items()} == {"train": 1258, "val": 100, "testdev": 2796}
