"""The forms of mixtures, and which of them a file is."""

from vlmt_cli.mixtures.arrow_folder import ARROW
from vlmt_cli.mixtures.batch import Form, ListForm
from vlmt_cli.mixtures.coco_json import COCO
from vlmt_cli.mixtures.image_folder import IMAGE_FOLDER
from vlmt_cli.mixtures.image_list import IMAGE_LIST
from vlmt_cli.mixtures.img2dataset import IMG2DATASET
from vlmt_cli.mixtures.json_forms import LLAVA, MESSAGES, RECORDS
from vlmt_cli.mixtures.lists import INTERNVL, LLAMAFACTORY, LLAMAFACTORY_1, ONEVISION, QWEN
from vlmt_cli.mixtures.parquet import PARQUET
from vlmt_cli.mixtures.table import TABLE
from vlmt_cli.mixtures.webdataset import WEBDATASET

FORMS: dict[str, Form] = {
    "parquet": PARQUET,
    "arrow": ARROW,
    "img2dataset": IMG2DATASET,
    "webdataset": WEBDATASET,
    "coco": COCO,
    "llava": LLAVA,
    "messages": MESSAGES,
    "table": TABLE,
    "image_folder": IMAGE_FOLDER,
    "records": RECORDS,
    "image_list": IMAGE_LIST,
}
"""Files of records, in the order in which they are tried."""

LISTS: dict[str, ListForm] = {
    "internvl": INTERNVL,
    "onevision": ONEVISION,
    "qwen": QWEN,
    "llamafactory": LLAMAFACTORY,
    "llamafactory1": LLAMAFACTORY_1,
}
"""Files that list files of records; they are tried first."""
