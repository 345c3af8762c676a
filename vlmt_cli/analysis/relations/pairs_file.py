"""Table 3 on disk: one Parquet with every number, from which tables and plots are made again without training."""

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vlmt_cli.analysis.relations.pairs import Cell, Confounder, PairTable, items_of
from vlmt_cli.analysis.relations.seeds import OverSeeds
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.files import write_parquet
from vlmt_cli.base.schema import check_version, version_of

SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("together", pa.int32()),
        ("row", pa.string()),
        ("others", pa.list_(pa.string())),
        ("percent", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("crosses_zero", pa.bool_()),
        ("seeds", pa.list_(pa.int64())),
        ("percent_by_seed", pa.list_(pa.float64())),
        ("alone_by_seed", pa.list_(pa.float64())),
        ("joint_by_seed", pa.list_(pa.float64())),
        ("shared_test_images_percent", pa.float64()),
        ("examples", pa.int64()),
        ("other_examples", pa.int64()),
    ]
)
_FORMAT = b"vlmt pairs "
_VERSION = 1
_ABOUT = _FORMAT + str(_VERSION).encode()


def write_pairs(path: Path, pairs: PairTable) -> None:
    """Write every number into one Parquet, a row a cell, from which ``read_pairs`` makes the same again."""
    beside = {(confounder.row, confounder.other): confounder for confounder in pairs.confounders}
    rows = []
    for cell in pairs.cells:
        low, high = cell.number.interval or (None, None)
        is_pair = cell.kind == "change" and cell.together == 2
        confounder = beside.get((cell.row, cell.others[0])) if is_pair else None
        rows.append(
            {
                "kind": cell.kind,
                "together": cell.together,
                "row": cell.row,
                "others": list(cell.others),
                "percent": cell.number.value,
                "low": low,
                "high": high,
                "crosses_zero": cell.number.crosses_zero if cell.number.interval else None,
                "seeds": list(cell.number.values),
                "percent_by_seed": list(cell.number.values.values()),
                "alone_by_seed": _by_seed(cell.alone, cell.number),
                "joint_by_seed": _by_seed(cell.joint, cell.number),
                "shared_test_images_percent": confounder.images if confounder else None,
                "examples": confounder.examples if confounder else None,
                "other_examples": confounder.other_examples if confounder else None,
            }
        )
    about = {
        "items": [item.name for item in pairs.items],
        "source": pairs.source,
        "notes": pairs.notes,
        "not_comparable": dict(pairs.not_comparable),
    }
    metadata = {_ABOUT: json.dumps(about).encode()}
    write_parquet(path, pa.Table.from_pylist(rows, SCHEMA.with_metadata(metadata)))


def _by_seed(values: Mapping[int, float] | None, number: OverSeeds) -> list[float] | None:
    return None if values is None else [values[seed] for seed in number.values]


def read_pairs(path: Path) -> PairTable:
    """Read what ``write_pairs`` wrote. Raises a DataError when there is none, or it is another file."""
    try:
        read = pq.read_table(path)
    except FileNotFoundError as error:
        raise DataError("there is no such file", where=path, todo="make it with vlmt analyze pairs") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read ({str(error).splitlines()[0]})", where=path) from error
    metadata = read.schema.metadata or {}
    for key in metadata:
        if key.startswith(_FORMAT):
            check_version(version_of({"format": key.decode()}) or _VERSION, _VERSION, path)
    about = metadata.get(_ABOUT)
    if about is None or read.schema.names != SCHEMA.names:
        raise DataError("holds no pairs", where=path, todo="name a file that vlmt analyze pairs made")
    kept = json.loads(about)
    cells, confounders = [], []
    for row in read.to_pylist():
        by_seed = {
            name: None
            if row[f"{name}_by_seed"] is None
            else dict(zip(row["seeds"], row[f"{name}_by_seed"], strict=True))
            for name in ("percent", "alone", "joint")
        }
        number, others = OverSeeds(by_seed["percent"] or {}), tuple(row["others"])
        cells.append(Cell(row["kind"], row["together"], row["row"], others, number, by_seed["alone"], by_seed["joint"]))
        if row["examples"] is not None:
            images = row["shared_test_images_percent"]
            confounders.append(Confounder(row["row"], others[0], images, row["examples"], row["other_examples"]))
    items = items_of(kept["items"])
    unknown = {task: "not known, as an older vlmt wrote the file" for item in items for task in item.tasks}
    reasons = kept.get("not_comparable", unknown)
    return PairTable(items, kept["source"], tuple(cells), tuple(confounders), tuple(kept["notes"]), reasons)
