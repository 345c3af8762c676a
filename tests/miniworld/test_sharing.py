"""Who shares which photo, counted by brute force from the files and the truth, beside the paper's table 1."""

import pytest

TESTS = {
    "vqa": ["test"], "vg_qa": ["test"], "gqa": ["testdev"], "coco": ["test"], "flickr30k": ["test"],
    "refcoco": ["testA", "testB"], "refcoco+": ["testA", "testB"], "refcocog": ["test"], "visual7w": ["test"],
    "guesswhat": ["test"], "snli_ve": ["test"], "nlvr2": ["test"],
}  # fmt: skip


@pytest.fixture(scope="module")
def matrix(world):
    """Percent of the test photos of the first that are in train or val of the second."""
    plan = world.plan
    photo_of = {f"coco:{number}": photo for photo, number in plan.coco.items()}
    photo_of |= {f"vg:{number}": photo for photo, number in plan.vg.items()}
    photo_of |= {f"flickr30k:{plan.flickr[photo]}": photo for photo in plan.flickr30k}
    photo_of |= {f"gqa:{name}": photo for photo, name in plan.gqa.items()}
    photo_of |= {f"nlvr2:{name}": photo for name, photo in plan.nlvr2.items()}
    shown = {
        (name, split): {photo_of[key] for row in rows.to_pylist() for key in row["images"]}
        for name in TESTS
        for split, rows in world.examples[name].splits.items()
    }
    tests = {name: set().union(*(shown[name, split] for split in splits)) for name, splits in TESTS.items()}
    trained = {
        name: set().union(*(shown[owner, s] for owner, s in shown if owner == name and s not in tested))
        for name, tested in TESTS.items()
    }
    return {(a, b): 100 * len(tests[a] & trained[b]) / len(tests[a]) for a in TESTS for b in TESTS}


@pytest.mark.parametrize(
    ("test_of", "train_of", "paper"),
    [
        ("coco", "vqa", 100), ("coco", "vg_qa", 43), ("coco", "gqa", 33), ("coco", "visual7w", 7),
        ("coco", "guesswhat", 46), ("flickr30k", "snli_ve", 98), ("snli_ve", "flickr30k", 94),
        ("refcoco", "vqa", 100), ("refcoco", "vg_qa", 36), ("refcoco", "gqa", 27), ("refcoco", "coco", 100),
        ("refcoco+", "refcocog", 66), ("refcoco", "guesswhat", 62), ("refcoco", "visual7w", 8),
        ("refcocog", "coco", 100), ("refcocog", "refcoco", 53), ("refcocog", "vg_qa", 41),
        ("refcocog", "guesswhat", 63),
        ("visual7w", "vqa", 50), ("visual7w", "vg_qa", 100), ("visual7w", "gqa", 79), ("visual7w", "guesswhat", 24),
        ("guesswhat", "vqa", 100), ("guesswhat", "coco", 96), ("guesswhat", "vg_qa", 40), ("guesswhat", "gqa", 31),
        ("guesswhat", "refcoco", 20), ("guesswhat", "refcocog", 26), ("guesswhat", "visual7w", 7),
        ("vqa", "coco", 0), ("gqa", "vg_qa", 0), ("flickr30k", "coco", 0), ("nlvr2", "vqa", 0), ("coco", "refcoco", 0),
    ],
)  # fmt: skip
def test_overlap_is_near_table_1(matrix, test_of, train_of, paper):
    assert matrix[test_of, train_of] == pytest.approx(paper, abs=10)


def test_no_dataset_trains_on_its_own_test_but_nlvr2(matrix):
    assert {a for a, b in matrix if a == b and matrix[a, b] > 0} == {"nlvr2"}


def test_nlvr2_shares_photos_by_address_only(world):
    rows = {split: world.rows("nlvr2", split) for split in ("train", "test")}
    keys = {split: {key for row in rows[split] for key in row["images"]} for split in rows}
    assert not keys["train"] & keys["test"]
    links = world.examples["nlvr2"].links.to_pylist()
    address = {link["image"]: link["alias"] for link in links}
    shared = {address[key] for key in keys["train"]} & {address[key] for key in keys["test"]}
    assert len(shared) == 3


def test_some_photos_are_joined_by_nothing_but_flickr(world):
    plan = world.plan
    hidden = {
        "vg and coco": {p for p in plan.vg if p in plan.coco and p not in plan.vg_says_coco},
        "flickr30k and coco": plan.flickr30k & set(plan.coco),
        "flickr30k and vg": plan.flickr30k & set(plan.vg),
    }
    assert all(len(photos) >= 2 for photos in hidden.values())
    photo_ids = {
        link["image"]: link["alias"]
        for name in ("vg_images", "coco_images")
        for link in world.examples[name].links.to_pylist()
        if link["alias"].startswith("flickr:")
    }
    for photo in hidden["vg and coco"]:
        assert photo_ids[f"vg:{plan.vg[photo]}"] == photo_ids[f"coco:{plan.coco[photo]}"]
    for photo in hidden["flickr30k and coco"]:
        assert photo_ids[f"coco:{plan.coco[photo]}"] == f"flickr:{plan.flickr[photo]}"
    for photo in hidden["flickr30k and vg"]:
        assert photo_ids[f"vg:{plan.vg[photo]}"] == f"flickr:{plan.flickr[photo]}"


def test_bare_numbers_mislead(world):
    """Some Visual Genome numbers are COCO numbers, of other photos each time."""
    by_number = {number: photo for photo, number in world.plan.coco.items()}
    same = [(photo, by_number[number]) for photo, number in world.plan.vg.items() if number in by_number]
    assert len(same) >= 5
    assert all(ours != theirs for ours, theirs in same)
