"""Overlap that a clean split misses for lack of crosswalk files, counted on the images at hand."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.words import count
from vlmt_cli.clean.splits import Split

_TOLERATED = 0.02  # of the images: Visual Genome's list itself lacks 172 of 108,249


def blind_spots(
    splits: Sequence[Split], links: pa.Table, vg_listed: int, built_in: pa.Array | None = None
) -> list[str]:
    """Say which images no crosswalk file speaks of, and what that could hide.

    Args:
        splits: the splits; images of VQA's test set are left out, as COCO publishes no Flickr ids of them.
        links: identity links.
        vg_listed: how many images Visual Genome's image_data.json lists.
        built_in: images whose COCO id is the built-in crosswalk's.

    Returns:
        A sentence for each source of images that is not covered.
    """
    keys = pa.concat_arrays(
        [
            pa.array([], pa.string()),
            *(split.images.flatten() for split in splits if (split.dataset, split.name) != ("vqa", "test")),
        ]
    ).unique()
    only_coco = len(_of("coco", keys)) == len(keys)
    warnings = []
    genome = _of("vg", keys)
    crossed = len(_linked(links, "crosswalk", genome))
    if genome and not vg_listed and crossed:
        warnings.append(
            f"Visual Genome's image_data.json is missing, and {len(genome):,} images are used: which of them are COCO"
            f" images, {crossed:,}, is known from the built-in crosswalk, and none is recognised as a Flickr photo."
        )
    elif vg_listed and built_in is not None and (rest := pc.sum(pc.is_in(genome, value_set=built_in)).as_py()):
        warnings.append(
            f"Visual Genome's image_data.json lists {count(vg_listed, 'image')}, and {len(genome):,} are used: which of"
            f" those that it does not list are COCO images, {rest:,}, is known from the built-in crosswalk, and none of"
            " these is recognised as a Flickr photo."
        )
    elif genome and _lacks(vg_listed, len(genome)):
        warnings.append(
            f"Visual Genome's image_data.json {f'lists {vg_listed:,} images' if vg_listed else 'is missing'}, and"
            f" {len(genome):,} are used: about half of Visual Genome's images are COCO images under other ids, and none"
            " that it does not list is recognised as one, nor as a Flickr photo."
        )
    elif genome and not crossed:
        warnings.append(
            f"Visual Genome's image_data.json gives none of the {len(genome):,} images used a COCO id: about half of"
            " Visual Genome's images are COCO images under other ids."
        )
    coco = _of("coco", keys)
    known = len(_linked(links, "flickr", coco))
    if coco and not only_coco and _lacks(known, len(coco)):
        warnings.append(
            f"{len(coco) - known:,} of {len(coco):,} COCO images have no Flickr id, as COCO's instances_*.json or"
            " captions_*.json are not all there: photos that COCO shares with Visual Genome, Flickr30k, NLVR2 or"
            " Conceptual Captions under Flickr ids alone are not recognised among them."
        )
    pairs = _of("nlvr2", keys)
    addressed = len(_linked(links, "url", pairs))
    if pairs and _lacks(addressed, len(pairs)):
        warnings.append(
            f"{len(pairs) - addressed:,} of {len(pairs):,} NLVR2 images come without their address: the same photo"
            " under another name is not recognised among them."
        )
    return warnings


def _of(source: str, keys: pa.Array) -> pa.Array:
    return keys.filter(pc.starts_with(keys, f"{source}:"))


def _linked(links: pa.Table, relation: str, keys: pa.Array) -> pa.Array:
    images = links["image"].filter(pc.equal(links["relation"], relation)).combine_chunks()
    return keys.filter(pc.is_in(keys, value_set=images))


def _lacks(known: int, used: int) -> bool:
    return known < (1 - _TOLERATED) * used
