"""Which feature stores a model reads where several stand side by side."""

import pytest

from vlmt_cli.base.errors import UsageError
from vlmt_cli.evaluation.setup import TrainedOn, open_stores
from vlmt_cli.features.store import Meta
from vlmt_cli.features.store_writer import StoreWriter
from vlmt_cli.runs.lineage import Extractor
from vlmt_cli.runs.recipe_sections import FeatureChoices

HASHES = {"again": "x.1-ab", "cells": "x.1-ab.12", "own": "x.1-ab", "other": "y-7"}


def test_a_model_reads_the_store_of_its_lineage_whatever_stands_beside_it(tmp_path):
    for name, digest in HASHES.items():
        cells = 12 if name == "cells" else 0
        for end, holds in (("", "detected"), ("-given", "candidates")):
            meta = Meta(holds=holds, cells=cells, extractor="x", extractor_hash=digest + end, feature_width=4)
            with StoreWriter(tmp_path / "features" / f"{name}{end}", meta):
                pass

    def opened(name, digest, candidates=None):
        extractor = Extractor(name="x", hash=digest, store=name, candidates=candidates)
        reader = open_stores(FeatureChoices(), tmp_path, trained=TrainedOn(extractor, 4))
        return [store.path.name for store in reader.stores]

    assert opened("own", "x.1-ab", "again-given") == ["own", "again-given"]
    assert opened("gone", "y-7") == ["other", "other-given"]
    with pytest.raises(UsageError, match=r"4 feature stores, of which 2 fit alike; .*: again, own"):
        opened(None, "x.1-ab")
    with pytest.raises(UsageError, match="none of them fits"):
        opened("own", "z")
    with pytest.raises(UsageError, match=r"of which 3 fit alike; .*: again, other, own"):  # 144 cells are too many
        open_stores(FeatureChoices(), tmp_path)
