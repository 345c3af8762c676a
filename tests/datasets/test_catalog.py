"""The dict of all datasets, and what all readers have in common."""

from pathlib import Path

import pytest
from handmade import OFFICIAL, official, read, write

from vlmt_cli.datasets import tables
from vlmt_cli.datasets.catalog import CROSSWALKS, DATASETS, TWELVE
from vlmt_cli.datasets.source import find

TABLE_1 = "vqa vg_qa gqa coco flickr30k refcoco refcoco+ refcocog visual7w guesswhat snli_ve nlvr2".split()


def test_the_twelve_stand_in_the_order_of_table_1():
    assert list(TWELVE) == TABLE_1
    assert list(DATASETS) == [*TABLE_1, "flickr30k_entities", "conceptual_captions"]


@pytest.mark.parametrize("name", [*DATASETS, *CROSSWALKS])
def test_an_empty_folder_has_no_splits(tmp_path, name):
    examples = read(name, tmp_path)
    assert (examples.splits, len(examples.links), examples.answers, examples.notes) == ({}, 0, None, {})


@pytest.mark.parametrize("name", OFFICIAL)
def test_examples_have_the_schema_of_their_group(tmp_path, name):
    examples = read(name, write(tmp_path, official(name)))
    assert examples.splits
    for table in examples.splits.values():
        table.validate(full=True)
        assert table.schema.equals(tables.SCHEMAS[DATASETS[name].group])
        assert len(table)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_catalog_names_the_official_files(tmp_path, name):
    write(tmp_path, official(name))
    dataset = DATASETS[name]
    known = {find(tmp_path, *names.split("|")) for names in (*dataset.files, *dataset.also)}
    assert {tmp_path / Path(file).parts[0] for file in official(name)} <= known
