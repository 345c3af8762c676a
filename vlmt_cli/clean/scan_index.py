"""An index made ready for scans: by what each benchmark's images are looked up, worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.clean.index import Index, aliases_of
from vlmt_cli.clean.lookup import Lookup

if TYPE_CHECKING:
    from vlmt_cli.clean.embeddings import EmbeddingIndex
    from vlmt_cli.clean.scan_pictures import PictureIndex

NAME, PICTURE = "name", "picture"
ALIASED = ("flickr", "url", "sha256", "md5")
WAYS = (NAME, *ALIASED, PICTURE)
"""By what an image may be looked up. One with a name is compared with all benchmarks: it is one of theirs, or another.

By anything else it is compared only with the benchmarks of which the index has such: addresses, hashes, looks.
"""


@dataclass(frozen=True)
class ScanIndex:
    """An index made ready for scans.

    Attributes:
        index: the benchmarks that are looked for.
        aliases: rows of ``ALIASES`` of their images.
        embeddings: of their images, where they are compared.
    """

    index: Index
    aliases: pa.Table
    embeddings: "EmbeddingIndex | None" = None

    @cached_property
    def lookup(self) -> Lookup:
        """The aliases, to look up."""
        return Lookup(self.aliases["alias"])

    @cached_property
    def pair(self) -> NDArray[np.int64]:
        """For each alias the number of its benchmark and image."""
        names = pc.binary_join_element_wise(self.aliases["benchmark"], self.aliases["image"], " ")
        return np.asarray(names.combine_chunks().dictionary_encode().indices.to_numpy(), np.int64)

    @cached_property
    def kinds(self) -> dict[str, frozenset[str]]:
        """What stands before the colon of each benchmark's aliases: sources of images, ``url``, ``sha256`` ..."""
        kind = pc.struct_field(pc.extract_regex(self.aliases["alias"], r"^(?P<kind>[a-z0-9_]+):"), "kind")
        kinds: dict[str, set[str]] = {name: set() for name in self.index.benchmarks}
        pairs = pa.table({"benchmark": self.aliases["benchmark"], "kind": kind}).group_by(["benchmark", "kind"])
        for each in pairs.aggregate([]).to_pylist():
            kinds[each["benchmark"]].add(each["kind"])
        return {name: frozenset(each) for name, each in kinds.items()}

    @cached_property
    def sources(self) -> frozenset[str]:
        """Of which sources there are aliases."""
        return frozenset().union(*self.kinds.values())

    @cached_property
    def ways(self) -> dict[str, frozenset[str]]:
        """By which of ``WAYS`` images are compared with each benchmark."""
        ways = {}
        for name, kinds in self.kinds.items():
            has_looks = self.pictured.get(name) or self.embedded.get(name) or kinds & {"sha256", "md5", "pixels"}
            ways[name] = frozenset({NAME, *kinds.intersection(ALIASED), *([PICTURE] if has_looks else [])})
        return ways

    @cached_property
    def pictures(self) -> "PictureIndex":
        """What images look like, to search."""
        from vlmt_cli.clean.scan_pictures import picture_index

        links = self.index.links
        by_file = links.filter(pc.equal(links["relation"], "file"))["image"]
        have_looks = pc.is_in(by_file, value_set=self.index.looks["image"])
        return picture_index(self.index.looks, not pc.all(have_looks, min_count=0).as_py(), self.embeddings)

    @cached_property
    def pictured(self) -> dict[str, int]:
        """How many images of each benchmark are known by what they look like."""
        return self._images_of(self.index.looks["image"])

    @cached_property
    def embedded(self) -> dict[str, int]:
        """How many images of each benchmark have an embedding."""
        return self._images_of(self.embeddings.keys) if self.embeddings else {}

    def _images_of(self, keys: pa.Array) -> dict[str, int]:
        return hit_images(self.aliases.filter(pc.is_in(self.aliases["alias"], value_set=keys)))

    @cached_property
    def texts(self) -> dict[tuple[str, str], frozenset[int]]:
        """The hashes of what is said of each benchmark's image, where the index has any."""
        rows = self.index.images.filter(pc.is_valid(self.index.images["texts"])).to_pylist()
        return {(row["benchmark"], row["image"]): frozenset(row["texts"]) for row in rows}


def ready(index: Index, names: Sequence[str]) -> ScanIndex:
    """Make an index ready to look for the images of some of its benchmarks."""
    chosen = index.only(names)
    return ScanIndex(chosen, aliases_of(chosen))


def hit_images(hits: pa.Table) -> dict[str, int]:
    """Count each benchmark's distinct images among some hits."""
    distinct = hits.group_by(["benchmark", "image"]).aggregate([])
    return {each["values"]: each["counts"] for each in pc.value_counts(distinct["benchmark"]).to_pylist()}
