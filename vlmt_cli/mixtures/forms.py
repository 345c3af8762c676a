"""The forms of mixtures, and which of them a file is."""

from vlmt_cli.mixtures.arrow_folder import ARROW
from vlmt_cli.mixtures.batch import Form, ListForm
from vlmt_cli.mixtures.parquet import PARQUET

FORMS: dict[str, Form] = {
    "parquet": PARQUET,
    "arrow": ARROW,
}
"""Files of records, in the order in which they are tried."""

LISTS: dict[str, ListForm] = {}
"""Files that list files of records; they are tried first."""
