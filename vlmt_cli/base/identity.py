"""Which image keys are the same image.

A *link* says that an image key and an alias are one image; the alias is another
image key or an outside name that several images may share (``flickr:8119368305``,
``url:https://...``). Two keys are the same image when links join them, over
however many steps. Each link has a relation:

==========  ==================================================================
crosswalk   Visual Genome says which COCO image this is (``image_data.json``)
flickr      the same Flickr photo id: Flickr30k's file stem, Visual Genome's
            ``flickr_id``, COCO's ``flickr_url``
url         the same address (NLVR2)
file        the same image file, by its SHA-256 or MD5
pixels      two image files with the same pixels
perceptual  two image files that look the same
judged      a person says that two images are the same
==========  ==================================================================

Relations are trusted in this order, and a pair that an earlier one explains is
never put down to a later one. The paper (section 8.1) knows ids and the
crosswalk only.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

RELATIONS = ("crosswalk", "flickr", "url", "file", "pixels", "perceptual", "judged")
PAPER_RELATIONS = ("crosswalk",)
HOW = ("id", *RELATIONS)

LINKS = pa.schema([("image", pa.string()), ("alias", pa.string()), ("relation", pa.string())])


def links_table(images: pa.Array, aliases: pa.Array, relation: str) -> pa.Table:
    """Build a table of links of one relation from N images and N aliases; rows with a null alias are left out."""
    assert relation in RELATIONS, relation
    table = pa.table({"image": images, "alias": aliases, "relation": pa.repeat(relation, len(images))}, schema=LINKS)
    return table.filter(pc.is_valid(table["alias"]))


def flickr30k_links(keys: pa.Array) -> pa.Table:
    """Link every Flickr30k key to its Flickr photo: the id of a Flickr30k image *is* its photo's id."""
    ours = keys.filter(pc.starts_with(keys, "flickr30k:")).unique()
    return links_table(ours, pc.replace_substring(ours, "flickr30k:", "flickr:", max_replacements=1), "flickr")


def all_links(keys: pa.Array, links: pa.Table) -> pa.Table:
    """Return links with those that Flickr30k keys carry in themselves, of keys that only a link names as well."""
    named = pa.concat_arrays([pa.array(keys, pa.string()), *_chunks(links["image"]), *_chunks(links["alias"])])
    return pa.concat_tables([links, flickr30k_links(named)])


def same_image(keys: pa.Array, links: pa.Table) -> dict[str, NDArray[np.int32]]:
    """Number the images that stand behind N distinct keys, relation by relation.

    Args:
        keys: N distinct image keys.
        links: a table of ``LINKS``; images and aliases need not be among ``keys``, and a Flickr30k key's own link
            need not be among the links.

    Returns:
        For each of ``HOW`` the N image numbers that hold when that relation and all
        before it are believed; equal numbers mean the same image. ``id`` gives every
        key a number of its own. A relation without links repeats the numbers before it.
    """
    links = all_links(keys, links)
    nodes = pa.concat_arrays([pa.array(keys, pa.string()), *_chunks(links["image"]), *_chunks(links["alias"])])
    encoded = nodes.dictionary_encode()
    codes = encoded.indices.to_numpy()
    n, size = len(keys), len(encoded.dictionary)
    left, right = codes[n : n + len(links)], codes[n + len(links) :]
    rank = pc.index_in(links["relation"], pa.array(HOW)).to_numpy()

    numbers = {"id": codes[:n].astype(np.int32)}
    image = np.arange(size, dtype=np.int32)
    for level, relation in enumerate(RELATIONS, 1):
        believed = rank == level
        image = _joined(image, left[believed], right[believed])
        numbers[relation] = image[codes[:n]]
    return numbers


def _joined(image: NDArray[np.int32], left: NDArray[np.int32], right: NDArray[np.int32]) -> NDArray[np.int32]:
    """Join the images of N nodes that M links say are the same; an image's number is that of its first node.

    Every round joins each image that has a link to a lower number with the lowest of these, which leaves at most half
    of those that are to be joined.
    """
    while True:
        ends = np.sort(np.stack([image[left], image[right]]), axis=0)
        lower, higher = ends[:, ends[0] != ends[1]]
        if not len(lower):
            return image
        image = image.copy()
        np.minimum.at(image, higher, lower)
        while ((up := image[image]) != image).any():
            image = up


def _chunks(column: pa.ChunkedArray) -> list[pa.Array]:
    return [chunk.cast(pa.string()) for chunk in column.chunks]
