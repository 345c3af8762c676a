"""The table of datasets, and what all readers have in common."""

from pathlib import Path

import pytest
from handmade import OFFICIAL, official, read, write

from vlmt_cli.datasets.crosswalks import BUILTIN_CROSSWALK
from vlmt_cli.datasets.source import find
from vlmt_cli.datasets.table import CROSSWALKS, DATASETS, TASKS, TWELVE

PAPER = "vqa vg_qa gqa coco flickr30k refcoco refcoco+ refcocog visual7w guesswhat nlvr2 snli_ve".split()


def test_the_twelve_are_the_papers():
    assert list(TWELVE) == PAPER
    assert [name for name in DATASETS if name in PAPER] == PAPER


def test_task_tokens_and_short_names_are_unique():
    assert len({row.token for row in TASKS.values()}) == len(TASKS)
    assert len({row.short for row in DATASETS.values()}) == len(DATASETS)


def test_every_official_file_has_an_address():
    for dataset in {**DATASETS, **CROSSWALKS}.values():
        assert all(address.startswith("http") for address in dataset.files.values())


@pytest.mark.parametrize("name", [*DATASETS, *CROSSWALKS])
def test_an_empty_folder_has_no_splits(tmp_path, name):
    examples = read(name, tmp_path)
    links = 51_498 if name == "vg_images" else 0  # the built-in crosswalk takes its turn
    assert (examples.splits, len(examples.links), examples.answers) == ({}, links, None)
    assert examples.notes == ({BUILTIN_CROSSWALK: links} if links else {})


@pytest.mark.parametrize("name", OFFICIAL)
def test_examples_have_the_schema_of_their_group(tmp_path, name):
    examples = read(name, write(tmp_path, official(name)))
    assert examples.splits
    for table in examples.splits.values():
        table.validate(full=True)
        assert table.schema.equals(DATASETS[name].schema)
        assert len(table)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_catalog_names_the_official_files(tmp_path, name):
    write(tmp_path, official(name))
    dataset = DATASETS[name]
    known = {find(tmp_path, *names.split("|")) for names in (*dataset.files, *dataset.also)}
    assert {tmp_path / Path(file).parts[0] for file in official(name)} <= known
