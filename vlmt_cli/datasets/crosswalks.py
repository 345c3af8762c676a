"""Crosswalks: official files that say which image of one source is which of another.

image_data.json (Visual Genome)
    [{"image_id": 1, "width": 800, "height": 600, "url": "...", "coco_id": null, "flickr_id": null}, ...]
instances_train2014.json, captions_val2017.json, ... (COCO)
    {"images": [{"id": 9, "file_name": "COCO_train2014_000000000009.jpg", "width": 640, "height": 480, "license": 3,
                 "flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg", "coco_url": "..."},
                ...], "annotations": [...], ...}

About 51,000 of the 108,077 Visual Genome images are COCO images under other ids. Those pairs are the paper's only
crosswalk; the Flickr photo ids also join both to Flickr30k, whose file names they are.

Where image_data.json is not there, the built-in crosswalk takes its turn: 51,498 pairs, as roberthoenig/GraphCLIP
publishes them, without Flickr ids (``builtin_index.parquet``, which ``clean.builtin_index`` makes). Where a part of
image_data.json is there, the built-in crosswalk speaks of the images that it does not list.

Traps: older releases of image_data.json say ``id`` for ``image_id``; ``coco_id`` may be null, -1 or 0; Flickr ids
exceed 32 bits.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vlmt_cli.base.addresses import flickr_photos, normal_addresses
from vlmt_cli.base.errors import DataError
from vlmt_cli.base.identity import LINKS, links_table
from vlmt_cli.base.keys import image_keys
from vlmt_cli.datasets.decoding import CORRECT
from vlmt_cli.datasets.names import check_names
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.source import Int64, find, read_json
from vlmt_cli.datasets.tables import Examples

VG_FILE = "image_data.json"
IMAGES = "images listed"
BUILTIN = Path(__file__).with_name("builtin_index.parquet")
BUILTIN_CROSSWALK = "image_data.json is not there, so that the COCO ids are those of the built-in crosswalk"
BUILTIN_REST = "image_data.json is a part, so that the COCO ids of what it does not list are of the built-in crosswalk"
_WHOLE = 105_000  # of 108,077 images; a whole file's word on which images are COCO images stands alone
DATA_FILES = (BUILTIN,)
"""What this reader reads beside official files."""
COCO_FILES = tuple(
    f"{kind}_{part}{year}.json"
    for kind in ("instances", "captions")
    for part in ("train", "val")
    for year in (2014, 2017)
)


class VgImage(msgspec.Struct, gc=False):
    image_id: Int64 | None = None
    id: Int64 | None = None
    coco_id: Int64 | None = None
    flickr_id: Int64 | None = None


class CocoImage(msgspec.Struct, gc=False):
    id: Int64
    flickr_url: str | None = None
    file_name: str | None = None


class CocoFile(msgspec.Struct, gc=False):
    images: list[CocoImage]


def read_vg(raw: Path, options: Options) -> Examples:
    """Read which Visual Genome images are COCO images and Flickr photos; links of the built-in crosswalk come last."""
    path = find(raw, VG_FILE)
    if path is None:
        links = builtin_crosswalk()
        return Examples(links=links, notes={BUILTIN_CROSSWALK: len(links)})
    notes: dict[str, int] = {}
    images = read_json(path, list[VgImage], notes, _once_vg)
    ids = [image.image_id if image.image_id is not None else image.id for image in images]
    if None in ids:
        where = f"{path}: $[{ids.index(None)}]"
        raise DataError("the image has neither image_id nor id", where=where, todo=CORRECT)
    keys = image_keys("vg", ids, path)
    crosswalk = links_table(keys, _numbered("coco", [image.coco_id for image in images]), "crosswalk")
    photos = links_table(keys, _numbered("flickr", [image.flickr_id for image in images]), "flickr")
    notes |= {IMAGES: len(images)}
    if len(keys.unique()) >= _WHOLE:
        return Examples(links=pa.concat_tables([crosswalk, photos]), notes=notes)
    known = builtin_crosswalk()
    rest = known.filter(pc.invert(pc.is_in(known["image"], value_set=keys)))
    return Examples(links=pa.concat_tables([crosswalk, photos, rest]), notes=notes | {BUILTIN_REST: len(rest)})


def builtin_crosswalk() -> pa.Table:
    """Read the built-in links between Visual Genome's images and COCO's, sorted by image."""
    links = pq.read_table(BUILTIN, columns=LINKS.names).cast(LINKS)
    return links.filter(pc.equal(links["relation"], "crosswalk")).replace_schema_metadata(None)


def _once_vg(images: list[VgImage]) -> dict[str, int]:
    return dict.fromkeys(("image_id", "coco_id", "flickr_id"), len(images))


def read_coco(raw: Path, options: Options) -> Examples:
    """Read which COCO images are which Flickr photos."""
    paths = [path for name in COCO_FILES if (path := find(raw, name))]
    tables = []
    notes: dict[str, int] = {}
    for path in paths:
        images = read_json(path, CocoFile, notes).images
        tables.append(links_of(images, path))
    return Examples(links=pa.concat_tables(tables or [LINKS.empty_table()]), notes=notes)


def links_of(images: Sequence[CocoImage], path: Path) -> pa.Table:
    """Link COCO's images to Flickr photos. Raises a DataError where a file name is another image's than the id."""
    ids = [image.id for image in images]
    check_names([image.file_name for image in images], image_keys("coco", ids, path), path, "$.images[{}]")
    return flickr_links(ids, [image.flickr_url for image in images], path)


def flickr_links(coco_ids: list[int], flickr_urls: list[str | None], where: Path) -> pa.Table:
    """Link COCO images to the Flickr photos that their addresses name."""
    photos = flickr_photos(pa.array(flickr_urls, pa.string()))
    return links_table(image_keys("coco", coco_ids, where), photos, "flickr")


def address_links(images: pa.Array, urls: pa.Array) -> pa.Table:
    """Link N images to the addresses that they were downloaded from, and to the Flickr photos among them."""
    addresses = links_table(images, normal_addresses(urls), "url")
    return pa.concat_tables([addresses, links_table(images, flickr_photos(urls), "flickr")])


def _numbered(source: str, ids: Iterable[int | None]) -> pa.Array:
    numbers = pa.array(ids, pa.int64())
    return _named(source, pc.if_else(pc.greater(numbers, 0), numbers, None).cast(pa.string()))


def _named(source: str, ids: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(source, ids, ":")
