"""Union removal against the slow and plain way, on random worlds."""

import hashlib

import pytest
from clean.worlds import World, removed_rows, worlds
from hypothesis import given

from vlmt_cli.base.identity import RELATIONS
from vlmt_cli.clean.check import find_leaks
from vlmt_cli.clean.overlap import compare_splits, example_matrix, image_matrix
from vlmt_cli.clean.removal import keep_table, remove_test_images, removed_table, split_hash


@pytest.mark.parametrize("identity", ["strict", "paper"])
@given(world=worlds())
def test_exactly_the_examples_with_test_images_go(identity, world):
    overlap = compare_splits(world.splits(), world.links_table())
    removal = remove_test_images(overlap, identity)
    assert removed_rows(removal) == world.leaks(identity)
    assert find_leaks(overlap, removal.kept, identity) == (0, [])
    everything = [kept | True for kept in removal.kept]
    assert find_leaks(overlap, everything, identity)[0] == len(world.leaks(identity))


@given(world=worlds())
def test_reasons_name_an_image_of_the_example_and_a_test_set_that_holds_it(world):
    removal = remove_test_images(compare_splits(world.splits(), world.links_table()), "strict")
    examples = {(dataset, name): rows for (dataset, name, _), rows in world.examples.items()}
    for row in removed_table(removal).to_pylist():
        images = examples[row["dataset"], row["split"]][row["row"]]
        for hit in row["hits"]:
            tests = {key for rows in [examples[hit["test_set"], "testA"]] for one in rows for key in one}
            upto = {"id": (), "crosswalk": ("crosswalk",), "flickr": ("crosswalk", "flickr")}
            relations = upto.get(hit["how"], RELATIONS)
            assert hit["image"] in images
            assert world.same(hit["image"], relations) & tests
        assert row["hits"]


@given(world=worlds())
def test_matrices_count_distinct_images_and_examples(world):
    overlap = compare_splits(world.splits(), world.links_table())
    images, examples = image_matrix(overlap), example_matrix(overlap)
    everything = RELATIONS

    def distinct(*roles_of):
        return {
            frozenset(world.same(key, everything))
            for (dataset, _, role), rows in world.examples.items()
            if (dataset, role) in roles_of
            for one in rows
            for key in one
        }

    for test, row in images.items():
        tested = distinct((test, "test"))
        for column in ("vg_qa", "coco", "snli_ve"):
            held = distinct((column, "train"), (column, "val"))
            assert (row[column].hit, row[column].of) == (len(tested & held), len(tested))
            rows = world.examples[column, "train", "train"] + world.examples[column, "val", "val"]
            hit = sum(any(frozenset(world.same(key, everything)) in tested for key in one) for one in rows)
            assert (examples[test][column].hit, examples[test][column].of) == (hit, len(rows))
        assert row["detector (detector)"].of == len(tested)


def test_the_split_hash_is_sha256_of_the_sorted_kept_lines():
    world = World(
        {
            ("b", "train", "train"): [["coco:1"]] * 11 + [["coco:2"]],
            ("a", "testA", "test"): [["coco:2"]],
            ("a", "train", "train"): [["coco:3"]],
            ("seen", "detector-images", "detector"): [["coco:1"]],
        },
        [],
    )
    removal = remove_test_images(compare_splits(world.splits(), world.links_table()), "strict")
    lines = ["a\ttestA\t0", "a\ttrain\t0", *(f"b\ttrain\t{i}" for i in range(11))]
    expected = hashlib.sha256("".join(f"{line}\n" for line in sorted(lines)).encode()).hexdigest()
    assert split_hash(removal.overlap.splits, removal.kept) == expected
    assert keep_table(removal).num_rows == len(lines)


def test_a_pair_of_images_goes_when_either_is_a_test_image():
    world = World(
        {
            ("nlvr2", "train", "train"): [["nlvr2:a", "nlvr2:b"], ["nlvr2:c", "nlvr2:d"], ["nlvr2:c", "nlvr2:e"]],
            ("nlvr2", "test", "test"): [["nlvr2:x", "nlvr2:b"], ["nlvr2:y", "nlvr2:z"]],
        },
        [("nlvr2:y", "url:u", "url"), ("nlvr2:d", "url:u", "url")],
    )
    overlap = compare_splits(world.splits(), world.links_table())
    assert [row for *_, row in sorted(removed_rows(remove_test_images(overlap, "strict")))] == [0, 1]
    assert [row for *_, row in sorted(removed_rows(remove_test_images(overlap, "paper")))] == [0]
