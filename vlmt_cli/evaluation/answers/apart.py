"""Of which images it can be told whether a training set shows them.

Names of two sources say nothing about each other: GQA's n161313 may be any photo of COCO or Flickr30k. They do where a
crosswalk speaks of all images of one source, as Visual Genome's does of COCO, where the Flickr photos behind both are
known, or where a dataset's own files name all of its images.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vlmt_cli.base.identity import HOW, all_links, same_image
from vlmt_cli.base.keys import sources_of_keys

_CROSSWALK = frozenset({"vg", "coco"})
_WHOLE_CROSSWALK = 51_000
"""Links of a crosswalk that speaks of all of Visual Genome's images: those that it does not link are not COCO's."""
_OWN_NAMES = {"gqa": frozenset({"vg", "gqa"})}
"""Sources by which a dataset's own files name its images: within it, other names are other images."""


def told_apart(images: pa.ListArray, training: pa.Array, links: pa.Table, dataset: str = "") -> NDArray[np.bool_]:
    """Say of which rows all images can be told from those of a training set.

    Args:
        images: N lists of image keys.
        training: the distinct image keys of the training set.
        links: identity links of all datasets.
        dataset: whose training set it is.

    Returns:
        (N,), true where the names decide whether the training set shows the images.
    """
    shown = images.flatten().cast(pa.string())
    links = all_links(pa.concat_arrays([shown, training]).unique(), links)
    ends = [column.combine_chunks().cast(pa.string()) for column in (links["image"], links["alias"])]
    keys = pa.concat_arrays([shown, training, *ends]).unique()
    source_of = sources_of_keys(keys).to_numpy(zero_copy_only=False)
    image_of = same_image(keys, links)[HOW[-1]]

    def has(source: str) -> NDArray[np.bool_]:
        """Whether each key's image has a name of a source."""
        return np.isin(image_of, image_of[source_of == source])

    is_whole = pc.sum(pc.equal(links["relation"], "crosswalk"), min_count=0).as_py() >= _WHOLE_CROSSWALK
    speaking = [each for each in (_CROSSWALK if is_whole else None, _OWN_NAMES.get(dataset)) if each]
    is_of_training = np.zeros(len(keys), bool)
    is_of_training[pc.index_in(training, keys).to_numpy()] = True
    is_photo = has("flickr")
    told = np.full(len(keys), len(training) > 0)
    for source in np.unique(source_of[is_of_training]):
        alike = {source}.union(*(each for each in speaking if source in each))
        by_photo = is_photo & is_photo[is_of_training & (source_of == source)].all()
        told &= np.isin(source_of, sorted(alike)) | has(source) | by_photo
    untold = ~told[pc.index_in(shown, keys).to_numpy()]
    return np.asarray(np.bincount(pc.list_parent_indices(images).to_numpy(), untold, minlength=len(images)) == 0)
