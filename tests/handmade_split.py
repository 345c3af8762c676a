"""A clean split and its examples, written by hand."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.base.identity import LINKS
from vlmt_cli.base.origin import hash_examples, hash_rows, hash_strings, make_origin


def write_split(data, images, kept, split_hash="abc"):
    """Write ``examples/`` and ``clean/keep.parquet`` of a data folder, and a ``report.json`` where there is none.

    Args:
        data: the folder.
        images: lists of image keys by dataset and split.
        kept: the rows that are kept, likewise.
    """
    links = LINKS.empty_table()
    tables = {
        key: pa.table({"example_id": [str(row) for row in range(len(lists))], "images": lists})
        for key, lists in images.items()
    }
    hashes = {key: hash_examples(table["example_id"], table["images"]) for key, table in tables.items()}
    for name in {dataset for dataset, _ in tables}:
        folder = data / "examples" / name
        folder.mkdir(parents=True, exist_ok=True)
        own = {split: value for (dataset, split), value in hashes.items() if dataset == name}
        (folder / "manifest.json").write_text(json.dumps({"example_hashes": own, "links_hash": hash_strings(links)}))
    parts, rows = [], {}
    for (dataset, split), table in tables.items():
        pq.write_table(table, data / "examples" / dataset / f"{split}.parquet")
        numbers = np.asarray(kept[dataset, split], "i4")
        ids = table["example_id"].take(pa.array(numbers))
        rows[dataset, split] = hash_rows(numbers, ids)
        names = {name: pa.array([value] * len(numbers), pa.string()).dictionary_encode()
                 for name, value in (("dataset", dataset), ("split", split))}  # fmt: skip
        parts.append(pa.table({**names, "row": numbers, "example_id": ids}))
    origin = make_origin(
        split_hash, hashes, rows, {dataset: hash_strings(links) for dataset, _ in tables}, "vlmt clean"
    )
    (data / "clean").mkdir(exist_ok=True)
    keep = pa.concat_tables(parts).unify_dictionaries() if parts else pa.table({"row": pa.array([], pa.int32())})
    pq.write_table(keep.replace_schema_metadata(origin.metadata()), data / "clean" / "keep.parquet")
    if not (data / "clean" / "report.json").exists():
        (data / "clean" / "report.json").write_text(json.dumps({"split_hash": split_hash}))
