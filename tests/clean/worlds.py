"""Small worlds of splits and links, and what cleaning must do to them, found the slow and plain way."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from vlmt_cli.base.identity import LINKS, RELATIONS
from vlmt_cli.clean.splits import Split

KEYS = [f"{source}:{i}" for source in ("coco", "vg", "flickr30k") for i in range(5)]
ALIASES = [*KEYS, "flickr:0", "flickr:1", "flickr:9", "url:a"]


@dataclass
class World:
    """Examples by (dataset, split, role), each a list of image keys; and links (image, alias, relation)."""

    examples: dict[tuple[str, str, str], list[list[str]]]
    links: list[tuple[str, str, str]]

    def splits(self):
        return [split(dataset, name, role, examples) for (dataset, name, role), examples in self.examples.items()]

    def links_table(self):
        return pa.Table.from_pylist([dict(zip(LINKS.names, link, strict=True)) for link in self.links], schema=LINKS)

    def same(self, one, relations):
        """Every name of the image ``one``."""
        links = [link for link in self.links if link[2] in relations]
        if "flickr" in relations:
            links += [(key, key.replace("flickr30k:", "flickr:"), "flickr") for key in KEYS if "flickr30k" in key]
        found = {one}
        while more := {
            other
            for image, alias, _ in links
            for name, other in ((image, alias), (alias, image))
            if name in found and other not in found
        }:
            found |= more
        return found

    def leaks(self, identity):
        """The (dataset, split, row) that must go."""
        relations = RELATIONS if identity == "strict" else ("crosswalk",)
        tests = {
            key
            for (dataset, _, role), examples in self.examples.items()
            if role == "test" and (identity == "strict" or dataset != "vg_qa")
            for images in examples
            for key in images
        }
        return {
            (dataset, name, row)
            for (dataset, name, role), examples in self.examples.items()
            if role in ("train", "val", "pretrain")
            for row, images in enumerate(examples)
            if any(self.same(key, relations) & tests for key in images)
        }


def split(dataset, name, role, examples):
    images = pa.array(examples, pa.list_(pa.string()))
    ids = pa.array([str(row) for row in range(len(examples))], pa.string())
    return Split(dataset, name, role, ids, images)


@st.composite
def worlds(draw):
    images = st.lists(st.sampled_from(KEYS), min_size=1, max_size=2)
    examples = {
        (dataset, role if role != "test" else "testA", role): draw(st.lists(images, max_size=4))
        for dataset in ("vg_qa", "coco", "snli_ve")
        for role in ("train", "val", "test")
    }
    examples["detector", "detector-images", "detector"] = draw(st.lists(images, max_size=3))
    links = draw(
        st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(ALIASES), st.sampled_from(RELATIONS)), max_size=6)
    )
    return World(examples, links)


def removed_rows(removal):
    return {
        (split.dataset, split.name, int(row))
        for split, kept in zip(removal.overlap.splits, removal.kept, strict=True)
        for row in np.flatnonzero(~kept)
    }
