"""A mixture passed over an index: which records show which benchmark's test images, and how that is known.

``scan_batch`` is a pure function of a batch of records and an index, so that any driver gives the same hits. An image
is looked up by the key that its name stands for, by its address, the Flickr photo that this names, and the hashes of
its file that the mixture gives; where the batch has the images' files, by these and by what they look like.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.addresses import flickr_photos, normal_addresses, paths_of
from vlmt_cli.base.keys import sources_of_keys
from vlmt_cli.clean.scan_index import NAME, PICTURE, WAYS, ScanIndex
from vlmt_cli.clean.texts import hash_parts
from vlmt_cli.datasets.options import NearDuplicateOptions
from vlmt_cli.mixtures.also import differing, first_of, said_also
from vlmt_cli.mixtures.batch import Batch, Damaged, column_of, names_and_addresses
from vlmt_cli.mixtures.names import keys_of, keys_of_addresses
from vlmt_cli.mixtures.rules import NO_RULES, Rules

HITS = pa.schema(
    [
        ("file", pa.string()),
        ("record", pa.int64()),  # the record's number in its file, from 0
        ("record_id", pa.string()),
        ("position", pa.int32()),  # which of the record's images, from 0
        ("written", pa.string()),  # the image as it stands in the mixture
        ("key", pa.string()),  # the image key that its name stands for
        ("benchmark", pa.string()),
        ("image", pa.string()),  # the benchmark's own key of its image
        # id, crosswalk, flickr, url, file, pixels, perceptual or embedding; or borderline, which is not a hit yet
        ("how", pa.string()),
        ("shows", pa.string()),  # "image", or "image and text"
        ("distance", pa.int32()),  # bits of 256, where two pictures look alike
        ("cosine", pa.float32()),  # of two pictures' embeddings, where these say it
        ("pixels", pa.string()),  # the picture's pixels (clean.pictures), where it was decoded in full
    ]
)
"""A row an image of a record and a benchmark's image that it is."""
IMAGE, IMAGE_AND_TEXT = "image", "image and text"
BORDERLINE_HIT = "borderline"
_EXAMPLES = 3
_SHOWN = 400
"""Pictures that are held for a person to look at."""
_REASONS, _OTHER_REASONS = 50, "other reasons"


@dataclass
class Tally:
    """What a scan met, apart from hits.

    Attributes:
        records, images: how many.
        without_image: records that show no image, those with a video among them, and are not damaged.
        videos: which are not compared.
        unmet: records whose text says <image>, and that name none in a known field.
        damaged: records that could not be read, the first ones; ``damaged_records`` counts all.
        compared: images that were compared with any benchmark.
        ways: images by which of ``WAYS`` they can be looked up, with + between them; of those with a name no others.
        way_examples: of these, but for names, the first as they stand there.
        pictures: images whose picture was compared; and ``unseen`` those whose was not, by the reason.
        shown: small JPEGs of pictures for a person to look at, by ``HITS.pixels``.
        other_sources: images by their source, where no benchmark of the index has images of it.
        unnamed: images by the folder of their names, where neither the name nor anything else tells which they are.
        examples: of these, by folder, the first names.
        rules: of the user that fit any name, as they are written.
    """

    records: int = 0
    images: int = 0
    without_image: int = 0
    videos: int = 0
    unmet: int = 0
    damaged: list[Damaged] = field(default_factory=list)
    damaged_records: int = 0
    compared: int = 0
    ways: Counter[str] = field(default_factory=Counter)
    way_examples: dict[str, list[str]] = field(default_factory=dict)
    pictures: int = 0
    unseen: Counter[str] = field(default_factory=Counter)
    shown: dict[str, bytes] = field(default_factory=dict)
    other_sources: Counter[str] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    rules: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add what another part of the mixture had."""
        self.records += other.records
        self.images += other.images
        self.without_image += other.without_image
        self.videos += other.videos
        self.unmet += other.unmet
        self.damaged = (self.damaged + other.damaged)[:_EXAMPLES]
        self.damaged_records += other.damaged_records
        self.compared += other.compared
        self.pictures += other.pictures
        for reason, images in other.unseen.items():
            self.unseen[reason if reason in self.unseen or len(self.unseen) < _REASONS else _OTHER_REASONS] += images
        for picture, jpeg in islice(other.shown.items(), _SHOWN - len(self.shown)):
            self.shown[picture] = jpeg
        self.other_sources += other.other_sources
        self.unnamed += other.unnamed
        self.ways += other.ways
        self.rules += [rule for rule in other.rules if rule not in self.rules]
        for mine, theirs in ((self.examples, other.examples), (self.way_examples, other.way_examples)):
            for kind, names in theirs.items():
                had = mine.setdefault(kind, [])
                had += [name for name in names if name not in had][: _EXAMPLES - len(had)]


def scan_batch(
    batch: Batch, index: ScanIndex, root: str = "", rules: Rules = NO_RULES, source: str | None = None
) -> tuple[pa.Table, Tally]:
    """Look up all images of a batch.

    Args:
        batch: of records.
        index: to look in.
        root: what stands before the names of the images.
        rules: of the user, for names in private folders.
        source: of names whose form and folders say none.

    Returns:
        Rows of ``HITS`` by record and position, ``file`` null; and what else the batch has.
    """
    images = batch.images
    names, addresses = names_and_addresses(images)
    named = keys_of(names, root, rules, source)
    kinds = [kind for kind in ("sha256", "md5") if kind in images.schema.names]
    hashes = [pc.binary_join_element_wise(kind, column_of(images, kind), ":") for kind in kinds]
    keys, by_address = named.keys, []
    if addresses.null_count < len(addresses):
        official = keys_of_addresses(addresses, rules)
        keys = pc.coalesce(keys, official)
        by_address = [flickr_photos(addresses), normal_addresses(addresses), differing(official, keys)]
    written = pc.coalesce(names, addresses, *hashes)
    told = keys if source is None else keys_of(names, root, rules).keys
    of, also = said_also(images, told, root, rules, source)
    if len(of):
        keys = pc.coalesce(keys, first_of(of, also[NAME], len(keys)))
    looked_up = [keys, *hashes, *by_address]
    ways = [NAME, *kinds, *(("flickr", "url", "official") if by_address else ())]
    has = {way: column.is_valid().to_numpy(zero_copy_only=False) for way, column in zip(ways, looked_up, strict=True)}
    has.pop("official", None)  # of what has a key
    for way, column in also.items():
        has.setdefault(way, np.zeros(len(keys), bool))[of[column.is_valid().to_numpy(zero_copy_only=False)]] = True
    compared = None
    if "data" in images.schema.names:
        from vlmt_cli.clean.scan_pictures import compare_pictures  # decoders, which a scan of names does not need

        compared = compare_pictures(images.column("data"), index.pictures)
        has[PICTURE] = compared.decoded
        looked_up += [compared.sha256, compared.md5, compared.pixels]
    matches = [index.lookup.matches(column) for column in looked_up if column.null_count < len(column)]
    for column in also.values():
        rows, positions = index.lookup.matches(column)
        matches.append((of[rows], positions))
    row = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in matches)])
    alias = np.concatenate([np.empty(0, np.int64), *(positions for _, positions in matches)])
    distance, cosine = np.full(len(row), -1), np.full(len(row), np.nan, np.float32)
    if compared:
        look, position = index.lookup.matches(compared.key)
        row, alias = np.concatenate([row, compared.row[look]]), np.concatenate([alias, position])
        distance = np.concatenate([distance, compared.distance[look]])
        cosine = np.concatenate([cosine, compared.cosine[look]])
    # An image that several of its names lead to counts once, as the first of them.
    pairs = index.pair[alias] + row * (int(index.pair.max(initial=0)) + 1)
    kept = np.sort(np.unique(pairs, return_index=True)[1])
    kept = kept[np.argsort(row[kept], kind="stable")]
    row, alias, distance, cosine = row[kept], alias[kept], distance[kept], cosine[kept]

    record = column_of(images, "record").take(pa.array(row))
    found = index.aliases.take(pa.array(alias))
    hits = pa.table(
        {
            "file": pa.nulls(len(row), pa.string()),
            "record": record,
            "record_id": batch.ids.cast(pa.string()).take(pc.subtract(record, batch.first)),
            "position": column_of(images, "position").take(pa.array(row)),
            "written": written.take(pa.array(row)),
            "key": keys.take(pa.array(row)),
            "benchmark": found["benchmark"],
            "image": found["image"],
            "how": _how(found["how"], distance, cosine, index),
            "shows": pa.array(_shown(batch, index, record, found), pa.string()),
            "distance": pa.array(distance, pa.int32(), mask=distance < 0),
            "cosine": pa.array(cosine, pa.float32(), mask=np.isnan(cosine)),
            "pixels": compared.pixels.take(pa.array(row)) if compared else pa.nulls(len(row), pa.string()),
        },
        schema=HITS,
    )
    folders = named.folders
    if root:
        folders = pc.utf8_rtrim(pc.binary_join_element_wise(root.rstrip("/"), folders, "/"), "/")
    tally = _tally(batch, index, keys)
    if rules.written:
        paths = [*rules.fitting(names, root), *rules.fitting(paths_of(addresses))]
        tally.rules = list(dict.fromkeys(paths))
    _count_ways(tally, index, has, written)
    _count_unnamed(tally, np.any(list(has.values()), axis=0), folders, names)
    if compared:
        tally.pictures, tally.unseen, tally.shown = int(compared.decoded.sum()), compared.reasons, compared.shown
    return hits, tally


def _how(how: pa.ChunkedArray, distance: NDArray[np.int64], cosine: NDArray[np.float32], index: ScanIndex) -> pa.Array:
    """Say of M hits how they are known; where pictures look alike their distance or cosine decides."""
    by_look = np.where(distance <= NearDuplicateOptions().same, "perceptual", BORDERLINE_HIT)
    is_vector = ~np.isnan(cosine)
    if index.embeddings:
        by_vector = np.where(cosine >= index.embeddings.cosines.same, "embedding", BORDERLINE_HIT)
        by_look = np.where(is_vector, by_vector, by_look)
    is_named = pa.array((distance < 0) & ~is_vector)
    return pc.if_else(is_named, how.combine_chunks(), pa.array(by_look.tolist(), pa.string()))


def _shown(batch: Batch, index: ScanIndex, record: pa.Array, found: pa.Table) -> list[str]:
    """Say of each hit whether the record also has a text that the benchmark asks about the image."""
    if batch.texts is None or not index.texts or not len(record):
        return [IMAGE] * len(record)
    numbers = pc.unique(record)
    texts = batch.texts.take(pc.subtract(numbers, batch.first))
    rows, hashes = hash_parts(texts.flatten())
    owner = pc.list_parent_indices(texts).to_numpy()[rows]
    said: dict[int, set[int]] = {}
    for place, value in zip(owner.tolist(), hashes.tolist(), strict=True):
        said.setdefault(place, set()).add(value)
    places = pc.index_in(record, numbers).to_pylist()
    pairs = zip(found["benchmark"].to_pylist(), found["image"].to_pylist(), strict=True)
    nothing: frozenset[int] = frozenset()
    return [
        IMAGE_AND_TEXT if said.get(place, nothing) & index.texts.get(pair, nothing) else IMAGE
        for place, pair in zip(places, pairs, strict=True)
    ]


def _tally(batch: Batch, index: ScanIndex, keys: pa.Array) -> Tally:
    sources = sources_of_keys(keys)
    by_source = Counter({each["values"]: each["counts"] for each in pc.value_counts(sources).to_pylist()})
    return Tally(
        records=batch.records,
        images=len(keys),
        without_image=batch.records - len(pc.unique(column_of(batch.images, "record"))) - len(batch.damaged),
        videos=batch.videos,
        unmet=batch.unmet,
        damaged=list(batch.damaged[:_EXAMPLES]),
        damaged_records=len(batch.damaged),
        other_sources=Counter({name: n for name, n in by_source.items() if name and name not in index.sources}),
    )


def _count_ways(tally: Tally, index: ScanIndex, has: dict[str, NDArray[np.bool_]], written: pa.Array) -> None:
    """Count images by how they can be looked up.

    Args:
        tally: to be filled.
        index: that they are looked up in.
        has: for some of ``WAYS`` which of N images can be looked up so.
        written: the images as they stand in the mixture.
    """
    others = [way for way in WAYS if way in has and way != NAME]
    number = np.zeros(len(written), np.int64)
    for bit, way in enumerate(others):
        number |= has[way].astype(np.int64) << bit
    number[has[NAME]] = 1 << len(others)
    for each, images in enumerate(np.bincount(number).tolist()):
        ways = [NAME] if each == 1 << len(others) else [way for bit, way in enumerate(others) if each >> bit & 1]
        if not images or not ways:
            continue
        tally.ways[together := "+".join(ways)] = images
        if any(of.intersection(ways) for of in index.ways.values()):
            tally.compared += images
        if NAME not in ways:
            mine = written.take(pa.array(np.flatnonzero(number == each)[:_SHOWN]))
            tally.way_examples[together] = mine.drop_null().unique().slice(0, _EXAMPLES).to_pylist()


def _count_unnamed(tally: Tally, is_known: NDArray[np.bool_], folders: pa.Array, names: pa.Array) -> None:
    """Count by folder the images that cannot be looked up at all."""
    unnamed = pc.if_else(pa.array(is_known), None, pc.coalesce(folders, ""))
    for each in pc.value_counts(unnamed).to_pylist():
        if each["values"] is not None:
            folder = each["values"]
            tally.unnamed[folder] = each["counts"]
            mine = names.filter(pc.equal(unnamed, folder)).drop_null()
            tally.examples[folder] = mine.unique().slice(0, _EXAMPLES).to_pylist()


def partly_compared(tally: Tally, index: ScanIndex) -> int:
    """Count the images without a name that could be looked up, but not in all benchmarks."""
    every = index.ways.values()
    return sum(
        images for way, images in tally.ways.items() if not all(ways.intersection(way.split("+")) for ways in every)
    )


def all_hits(parts: Iterable[pa.Table]) -> pa.Table:
    """Join hits in their order."""
    return pa.concat_tables([HITS.empty_table(), *parts]).combine_chunks()
