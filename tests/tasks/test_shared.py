"""Examples that processes map from one file: the same as those that are read, and never those of another file."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from vlmt_cli.datasets.table import GROUPS
from vlmt_cli.features.reader import RegionReader
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.tasks import load as loading
from vlmt_cli.tasks.examples import Lists
from vlmt_cli.tasks.load import answers_of, load_examples
from vlmt_cli.tasks.text import TextEncoder, word_tokenizer


@pytest.fixture
def data(trained_world, tmp_path):
    """A data folder whose tokens are of this test alone."""
    for name in ("clean", "features"):
        (tmp_path / name).symlink_to(trained_world / name)
    (tmp_path / "examples").mkdir()
    for folder in (trained_world / "examples").iterdir():
        (tmp_path / "examples" / folder.name).symlink_to(folder)
    return tmp_path


@pytest.fixture
def load(data):
    features = data / "features"
    reader = RegionReader(FeatureStore(features / "pixels"), FeatureStore(features / "pixels-candidates"), 6)
    texts = pq.read_table(data / "examples" / "vqa" / "train.parquet")["text"].to_pylist()
    encoder = TextEncoder(word_tokenizer(iter(texts)))

    def load_split(task, split="train", purpose="train", **options):
        return load_examples(data, task, split, encoder, reader, purpose, answers=answers_of(data, task), **options)

    return load_split


def flat(examples):
    """All arrays of some examples but their tokens, as lists."""
    columns = {
        name: [part.tolist() for part in column] if isinstance(column, Lists) else np.asarray(column).tolist()
        for name, column in examples.columns.items()
    }
    own = {name: getattr(examples, name).tolist() for name in ("ids", "rows", "names", "codes", "offsets")}
    return own | {"columns": columns}


@pytest.mark.parametrize("task", [group[0] for group in GROUPS.values()])
@pytest.mark.parametrize(("split", "purpose"), [("train", "train"), ("val", "validate")])
def test_what_is_mapped_equals_what_is_read(task, split, purpose, load, monkeypatch):
    made = []
    select = loading._select
    monkeypatch.setattr(loading, "_select", lambda *arguments: made.append(select(*arguments)) or made[-1])
    first, second = (load(task, split, purpose) for _ in range(2))
    (read,) = made  # the second process reads no table
    assert flat(first) == flat(second) == flat(read)
    assert first.tokens.ids.tolist() == second.tokens.ids.tolist()
    assert not first.codes.flags.writeable and not first.tokens.ids.flags.writeable


def test_a_file_of_other_sources_is_never_taken(load, data):
    table = data / "examples" / "snli_ve" / "train.parquet"
    before = load("snli_ve", clean=False)
    flipped = pq.read_table(table)
    (data / "examples" / "snli_ve").unlink()
    table.parent.mkdir()
    labels = (1 - flipped["label"].to_numpy()) % 3
    pq.write_table(
        flipped.set_column(flipped.schema.get_field_index("label"), "label", [labels.astype(np.int8)]), table
    )
    after = load("snli_ve", clean=False)
    assert after.columns["labels"].tolist() == labels[after.rows].tolist()
    assert after.columns["labels"].tolist() != before.columns["labels"].tolist()
    assert len(load("snli_ve", clean=False, limit=3)) == 3


def test_a_damaged_file_is_made_again_and_few_are_kept(load, data):
    whole = load("snli_ve")
    (path,) = (data / "tokens" / "snli_ve").glob("train-train-*")
    cut = path.read_bytes()[:-100]
    path.unlink()  # what is mapped must not be written to
    path.write_bytes(cut)
    assert load("snli_ve").ids.to_pylist() == whole.ids.to_pylist()
    for limit in range(1, 6):
        assert len(load("snli_ve", limit=limit)) == limit
    assert len(list(path.parent.glob("train-train-*"))) == 3
