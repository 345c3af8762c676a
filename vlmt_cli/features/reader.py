"""Regions as the model takes them: IMG first, then detected regions, then given candidates.

Shapes: B images, V rows of regions (IMG included), C candidates of an image, F feature width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlmt_cli.base.boxes import iou_of_arrays
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.features.store import FeatureStore

SAME = 0.5
"""IoU of a candidate and the given box that it is: what clipping to the photo leaves of it."""


class RegionBatch(NamedTuple):
    """The regions of B images.

    Attributes:
        features_BVF: row 0 is IMG, the mean of the detected ones.
        boxes_BV5: corners as shares of the image's sides, and the share of its area.
        mask_BV: which rows are real, not padding.
        pixels_BV4: the boxes in pixels; IMG's is the image.
        places_BC: the rows of each image's candidates; 0 beyond their number.
        candidates_BC: which candidates are real, not padding.
        counts_B: detected regions of each image.
        scores_BVC: class scores of detected regions, float16 as they are stored, where they were requested.
    """

    features_BVF: Tensor
    boxes_BV5: Tensor
    mask_BV: Tensor
    pixels_BV4: Tensor
    places_BC: Tensor
    candidates_BC: Tensor
    counts_B: Tensor
    scores_BVC: Tensor | None = None


class Given(NamedTuple):
    """Given boxes of an image, (C, 4) in pixels, and their features, (C, F)."""

    boxes: NDArray[np.float32]
    features: NDArray[np.floating]


@dataclass(frozen=True)
class RegionReader:
    """Where regions come from.

    Attributes:
        store: of detected regions.
        candidates: of given boxes; None where no task needs one.
        max_regions: detected regions an image, at most.
        fixed: whether a batch always has room for ``most`` regions, as compiled models like it.
        own: given boxes of tasks that have a store of their own.
    """

    store: FeatureStore
    candidates: FeatureStore | None = None
    max_regions: int = 100
    fixed: bool = False
    own: Mapping[str, FeatureStore] = field(default_factory=dict)

    @property
    def stores(self) -> list[FeatureStore]:
        """All of them, that of detected regions first."""
        return [self.store, *([] if self.candidates is None else [self.candidates]), *self.own.values()]

    def of(self, task: str) -> "RegionReader":
        """Return the reader that a task reads with."""
        return replace(self, candidates=self.own[task]) if task in self.own else self

    def read(
        self,
        images: Sequence[str],
        candidates: Sequence[NDArray[np.float32]] | None = None,
        memory: Tensor | None = None,
        scores: bool = False,
    ) -> RegionBatch:
        """Read the regions of B images.

        Args:
            images: their keys.
            candidates: of each image (C, 4) boxes in pixels, whose regions come after the detected ones.
            memory: flat memory for the features, used where it is large enough; its dtype is the batch's. IMG is left
                zero in float16, to be made where it is quick (``put_img``).
            scores: whether to read class scores, too.

        Raises:
            DataError: an image or a candidate has no features.
        """
        extra = max((len(boxes) for boxes in candidates), default=0) if candidates is not None else 0
        batch, width = len(images), self.store.meta.feature_width
        rows = 1 + self.max_regions + extra
        needed = batch * rows * width
        if memory is not None and memory.numel() >= needed:
            features = memory[:needed].view(batch, rows, width)
        else:
            features = torch.empty(batch, rows, width, dtype=torch.float32 if memory is None else memory.dtype)
        pixels = torch.zeros(batch, rows, 4)
        classes = torch.empty(batch, rows, self.store.meta.classes, dtype=torch.float16) if scores else None
        detected, sizes = self.store.read_into(
            images, features[:, : 1 + self.max_regions], pixels[:, : 1 + self.max_regions], first=1, scores_BVC=classes
        )
        features[:, 1 + self.max_regions :] = 0
        given = [] if candidates is None else list(map(self._given, images, candidates))
        made = assemble(features, pixels, detected, sizes, given, rows if self.fixed else None)
        return made if classes is None else made._replace(scores_BVC=classes[:, : made.mask_BV.shape[1]])

    def _given(self, image: str, boxes: NDArray[np.float32]) -> Given:
        """Return an image's candidates with the stored features of the given boxes that they are."""
        if not len(boxes):
            return Given(boxes, np.empty((0, self.store.meta.feature_width), np.float16))
        if self.candidates is None:
            todo = "make them with vlmt extract --boxes candidates"
            raise UsageError("there is no store of candidates' features", todo=todo)
        given = self.candidates.read(image)
        overlap = iou_of_arrays(boxes, given.boxes)
        which = overlap.argmax(1)
        if overlap.max(1).min() < SAME:
            box = boxes[int(overlap.max(1).argmin())]
            raise DataError(
                f"has no features of the box [{', '.join(f'{side:g}' for side in box)}] of {image}",
                where=self.candidates.path,
                todo="extract them with vlmt extract --boxes candidates",
            )
        return Given(boxes, given.features[which])


def assemble(
    features_BVF: Tensor,
    pixels_BV4: Tensor,
    detected_B: Tensor,
    sizes_B2: Tensor,
    given: Sequence[Given],
    rows: int | None = None,
) -> RegionBatch:
    """Lay regions out as the model takes them: IMG first, then detected regions, then given candidates.

    Args:
        features_BVF: detected regions from row 1 on, zero beyond; IMG and the candidates are put into it. IMG stays
            zero in float16, to be made where it is quick (``put_img``).
        pixels_BV4: their boxes in pixels.
        detected_B: how many each image has.
        sizes_B2: width and height of each image.
        given: each image's candidates; empty where the task gives none.
        rows: how many to keep; None for as many as are used.
    """
    max_candidates = max((len(candidates.boxes) for candidates in given), default=0)
    features_BVF[:, 0] = 0
    if features_BVF.dtype == torch.float32:
        put_img(features_BVF[:, : features_BVF.shape[1] - max_candidates], detected_B)
    pixels_BV4[:, 0, 2:] = sizes_B2
    places = torch.zeros(len(detected_B), max_candidates, dtype=torch.long)
    is_candidate = torch.zeros(len(detected_B), max_candidates, dtype=torch.bool)
    for row, candidates in enumerate(given):
        count, first = len(candidates.boxes), 1 + int(detected_B[row])
        features_BVF[row, first : first + count] = torch.tensor(candidates.features)
        pixels_BV4[row, first : first + count] = torch.tensor(candidates.boxes)
        places[row, :count] = torch.arange(first, first + count)
        is_candidate[row, :count] = True
    counts = detected_B + is_candidate.sum(1)
    used = 1 + int(counts.max()) if rows is None else rows
    pixels = pixels_BV4[:, :used]
    return RegionBatch(
        features_BVF=features_BVF[:, :used],
        boxes_BV5=relative(pixels, sizes_B2),
        mask_BV=torch.arange(used) <= counts[:, None],
        pixels_BV4=pixels,
        places_BC=places,
        candidates_BC=is_candidate,
        counts_B=detected_B,
    )


def relative(pixels_BV4: Tensor, sizes_B2: Tensor) -> Tensor:
    """Turn boxes in pixels into the five numbers that the model takes, (B, V, 5); IMG's row 0 is the image itself."""
    sides = sizes_B2.repeat(1, 2)[:, None]
    corners = pixels_BV4 / sides
    area = (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])
    return torch.cat([corners, area[..., None]], -1)


Likeness = Callable[[FeatureStore], int]
"""How well a store that nobody named fits: 0 where it cannot be read, and more the more it is like what is wanted."""


def find_stores(
    folder: Path,
    store: str | None,
    candidates: str | None,
    option: str = "--set features.store=NAME",
    likeness: Likeness = lambda store: 1,
    beside: Callable[[FeatureStore, FeatureStore], int] = lambda store, given: 1,
) -> tuple[Path, Path | None]:
    """Say which stores in a folder of features to read.

    Args:
        folder: ``<data>/features``.
        store: a path, or a name in the folder; None for the one of those with detected regions that fits best.
        candidates: the same of given boxes; None for the one beside the other that fits it best.
        option: how to name a store, for the error.
        likeness: how well a store of detected regions fits.
        beside: how well a store of given boxes fits one of detected regions, which comes first.

    Raises:
        UsageError: none or several could be meant.
    """
    stores = sorted(path.parent for path in folder.glob("*/data.mdb"))
    given = [path for path in stores if _has_candidates(path)]
    if store is not None:
        store_path = named_store(folder, store)
    else:
        detected = [path for path in stores if path not in given]
        fitting = _most_alike(detected, likeness) if len(detected) > 1 else detected
        if len(fitting) != 1:
            what = f"holds {len(detected) or 'no'} feature store{'s' * (len(detected) > 1)}"
            names = ", ".join(path.name for path in fitting or detected)
            todo = f"choose one with {option}: {names}" if detected else "make one with vlmt extract"
            if detected and not fitting:
                what, todo = f"{what} ({names}), and none of them fits", "make one that does with vlmt extract"
            elif len(fitting) < len(detected):
                what += f", of which {len(fitting)} fit alike"
            raise UsageError(what, where=folder, todo=todo)
        store_path = fitting[0]
    if candidates is not None:
        return store_path, named_store(folder, candidates)
    if len(given) > 1 and store_path.exists():
        own = FeatureStore(store_path)
        given = _most_alike(given, lambda other: beside(own, other))
    return store_path, given[0] if len(given) == 1 else None


def _most_alike(paths: Sequence[Path], likeness: Likeness) -> list[Path]:
    """Return which of some stores fit best; none where none can be read."""
    alike: dict[Path, int] = {}
    for path in paths:
        try:
            alike[path] = likeness(FeatureStore(path))
        except DataError:
            alike[path] = 0
    best = max(alike.values(), default=0)
    return [path for path in paths if best and alike[path] == best]


def _has_candidates(path: Path) -> bool:
    """Tell whether a store holds regions of given boxes; one that is damaged is named when it is opened to be read."""
    try:
        return FeatureStore(path).has_candidates
    except DataError:
        return False


def named_store(folder: Path, name: str) -> Path:
    """Return the path of a store that is named by its folder or by its path."""
    return folder / name if (folder / name).exists() else Path(name)


def put_img(features_BVF: Tensor, counts_B: Tensor) -> None:
    """Put the mean of each image's detected regions, which follow row 0, into row 0."""
    rows = torch.arange(features_BVF.shape[1], device=counts_B.device)
    weights = ((rows > 0) & (rows <= counts_B[:, None])).to(features_BVF.dtype) / counts_B[:, None]
    # On a CPU a product with weights is quicker than a sum over the middle dimension.
    features_BVF[:, :1] = torch.bmm(weights.to(features_BVF.dtype)[:, None], features_BVF)
