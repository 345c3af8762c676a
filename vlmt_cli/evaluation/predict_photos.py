"""Photos to a model's region features: through the extractor that its lineage names, or from a feature store.

Features of another extractor mean nothing to a model, so that they are refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vlmt_cli.base.boxes import BoxArray
from vlmt_cli.base.errors import DataError, UsageError
from vlmt_cli.base.images import read_image
from vlmt_cli.base.progress import Progress
from vlmt_cli.base.stages import Stages
from vlmt_cli.evaluation.predict import Photo
from vlmt_cli.evaluation.question import PhotoSource, writable_name
from vlmt_cli.features import backbone, detector
from vlmt_cli.features.extractor import REGIONS, Extractor, network_extractor
from vlmt_cli.features.given_boxes import fit_boxes
from vlmt_cli.features.grid import backbone_grid, pixels_grid, side_of
from vlmt_cli.features.networks import short_name
from vlmt_cli.features.overlap import iou_of_tensors
from vlmt_cli.features.pixels import WIDTH, pixels_extractor
from vlmt_cli.features.reader import SAME
from vlmt_cli.features.record import Regions, decode, encode, problem
from vlmt_cli.features.store import FeatureStore
from vlmt_cli.runs.lineage import Extractor as Trained
from vlmt_cli.runs.lineage import same_features

STORED = "or name an image key whose features are in a store, such as coco:262148"
_AT_ONCE = 8


@dataclass(frozen=True)
class Networks:
    """What extractors are made of.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:1``.
        detector, backbone: hub ids or folders; None for those that ``vlmt extract`` takes.
        weights: ``detectron_model.pth`` of the paper's own detector.
    """

    device: str = "cpu"
    detector: str | None = None
    backbone: str | None = None
    weights: Path | None = None


def see(
    sources: Sequence[PhotoSource],
    trained: Trained | None,
    networks: Networks,
    stores: Sequence[Path],
    boxes: BoxArray | None = None,
    progress: Progress | None = None,
    stage: Stages | None = None,
) -> tuple[list[Photo], list[str]]:
    """Turn photos into regions.

    Args:
        sources: the photos.
        trained: the extractor of the model's lineage; None where it is not known.
        networks: what to make it of, for files.
        stores: feature stores, for image keys; of other extractors' than the model's none is read, and its own first.
        boxes: (C, 4) in pixels, to choose among; only with one photo.
        progress: called with how many files are done, of how many.
        stage: counts the seconds of ``detector`` (making networks, with what they import) and of ``features``.

    Returns:
        The photos, in the order given, and what a person should know about how their regions came about.

    Raises:
        DataError: a file is not a photo, has no regions, or no store has the features of an image key; or the networks
            are others than those of the features that the model was trained on.
        UsageError: the extractor is not at hand.
    """
    files = [source.path for source in sources if source.path]
    made: dict[Path, Photo] = {}
    notes: list[str] = []
    stage = stage or Stages()
    if files:
        with stage("detector"):
            extractor, notes = make_extractor(trained, networks)
        with stage("features"):
            regions = _extracted(files, extractor, None, progress)
        candidates: list[Regions] | list[None] = [None] * len(files)
        if boxes is not None:
            with stage("detector"):
                of_boxes, _ = make_extractor(trained, networks, has_boxes=True)
            with stage("features"):
                candidates = _extracted(files, of_boxes, boxes, None)
        for path, detected, given in zip(files, regions, candidates, strict=True):
            made[path] = Photo(writable_name(str(path)), detected, given)
    with stage("features"):
        opened = [FeatureStore(path) for path in stores] if len(files) < len(sources) else []
        known = [
            store
            for store in opened
            if trained is None or same_features(store.meta.extractor_hash) == same_features(trained.hash)
        ]
        if trained is not None:  # the model's own store before others of its extractor, such as those of cells
            own = (trained.store, trained.candidates)
            known.sort(key=lambda store: (store.meta.extractor_hash != trained.hash, store.path.name not in own))
        photos = [
            made[source.path] if source.path else _stored(source.name, known, opened, trained, boxes)
            for source in sources
        ]
    return photos, notes


Maker = Callable[[Trained | None, Networks, bool], Extractor]


def make_extractor(trained: Trained | None, networks: Networks, has_boxes: bool = False) -> tuple[Extractor, list[str]]:
    """Make the extractor that a model's features came from.

    Args:
        trained: as its lineage names it; None takes what ``networks`` say.
        networks: what to make it of.
        has_boxes: whether boxes will be given; else it finds them.

    Returns:
        The extractor, and what a person should know about it.

    Raises:
        DataError: a network cannot be had, or is another than that of the model's features.
        UsageError: it is not at hand.
    """
    kind = _kind(trained, networks)
    if kind is None and trained is None:
        todo = f"give --detector and --backbone, or --detector-weights detectron_model.pth; {STORED}"
        raise UsageError("the checkpoint does not say what its features came from", todo=todo)
    if kind is None:
        assert trained is not None
        what = f"the extractor {trained.name} of the checkpoint's features is not at hand for photos"
        raise UsageError(what, todo=STORED.removeprefix("or "))
    for option in ("detector", "backbone", "weights"):
        if getattr(networks, option) is not None and option not in _takes(kind, trained):
            name = "detector-weights" if option == "weights" else option
            of = f"the checkpoint's features are of {trained.name if trained else kind}"
            raise UsageError(f"{of}, which takes no --{name}", todo="leave it out")
    try:
        extractor = MAKERS[kind](trained, networks, has_boxes)
    except DataError as error:
        raise DataError(error.what, where=error.where, todo="; ".join(filter(None, (error.todo, STORED)))) from error
    if trained is None:
        return extractor, [f"The checkpoint does not say what its features came from; taken for {extractor.name}"]
    if same_features(extractor.hash) != same_features(trained.hash):
        what = f"the checkpoint was trained on features of {trained.name} ({trained.hash}), and these are others'"
        todo = f"give its own networks with --detector, --backbone or --detector-weights; {STORED}"
        raise DataError(f"{what} ({extractor.hash})", todo=todo)
    if kind != "pixels" and not has_boxes and extractor.hash != trained.hash:
        return extractor, [f"Boxes come from {extractor.name} ({extractor.hash}), in training from {trained.hash}"]
    return extractor, []


def _kind(trained: Trained | None, networks: Networks) -> str | None:
    """Say which of ``MAKERS`` makes an extractor; None where none does."""
    if trained is None:
        given = networks.detector or networks.backbone
        return "vg-x152" if networks.weights else "networks" if given else None
    if "+" in trained.name:
        return None if trained.name.startswith("given+") else "networks"
    return next((kind for kind in MAKERS if trained.name == kind or trained.name.startswith(f"{kind}-")), None)


def _takes(kind: str, trained: Trained | None) -> tuple[str, ...]:
    """Return what of ``Networks`` an extractor is made of."""
    if kind == "networks":
        return ("backbone",) if trained and side_of(trained.name) is not None else ("detector", "backbone")
    return ("weights",) if kind == "vg-x152" else ()


def _pixels(trained: Trained | None, networks: Networks, has_boxes: bool) -> Extractor:
    # Its clusters make class scores, which no task reads.
    clusters, side = np.zeros((1, WIDTH), np.float32), side_of(trained.name) if trained else None
    return pixels_extractor(clusters) if side is None or has_boxes else pixels_grid(clusters, side)


def _networks(trained: Trained | None, networks: Networks, has_boxes: bool) -> Extractor:
    detector_name, _, backbone_name = trained.name.partition("+") if trained else (None, "", None)
    source = _given_or_usual(networks.backbone, backbone.DEFAULT, backbone_name, "backbone")
    if has_boxes:
        return network_extractor(networks.device, None, source)
    if trained and (side := side_of(trained.name)) is not None:
        return backbone_grid(networks.device, source, side, _AT_ONCE)
    boxes = _given_or_usual(networks.detector, detector.DEFAULT, detector_name, "detector")
    return network_extractor(networks.device, boxes, source, max_regions=_most(trained), batch=_AT_ONCE)


def _vg_x152(trained: Trained | None, networks: Networks, has_boxes: bool) -> Extractor:
    from vlmt_cli.features.vg_x152.extractor import vg_x152_extractor

    if networks.weights is None:
        raise UsageError(
            "the checkpoint's features are of vg-x152", todo=f"give --detector-weights detectron_model.pth; {STORED}"
        )
    name, made = (trained.name, trained.hash.partition("-")[0]) if trained else ("", "")
    # In faithful mode the batch of the stored features is a part of their hash.
    batch = int(tail) if (tail := made.rpartition(".")[2]).isdecimal() else 1
    return vg_x152_extractor(
        networks.device,
        networks.weights,
        mode="faithful" if "-faithful" in name else "correct",
        precision="bf16" if "-bf16" in name else "float32",
        has_boxes=has_boxes,
        max_regions=_most(trained),
        batch=batch,
    )


MAKERS: dict[str, Maker] = {"pixels": _pixels, "networks": _networks, "vg-x152": _vg_x152}
"""What makes an extractor, by its name in lineage; ``networks`` makes all that are named DETECTOR+BACKBONE."""


def _given_or_usual(given: str | None, usual: str, name: str | None, option: str) -> str:
    if given is None and name not in (None, short_name(usual)):
        todo = f"give it with --{option}, by hub id or folder; {STORED}"
        raise UsageError(f"the {option} {name} of the checkpoint's features is not at hand", todo=todo)
    return given or usual


def _most(trained: Trained | None) -> int:
    """Return how many boxes a photo an extractor of networks finds; its hash ends with it."""
    last = trained.hash.rpartition(".")[2] if trained else ""
    return int(last) if last.isdecimal() else REGIONS


def _extracted(
    files: Sequence[Path], extractor: Extractor, boxes: BoxArray | None, progress: Progress | None
) -> list[Regions]:
    """Run an extractor; what comes out is rounded as a store would."""
    step = 1 if extractor.batch_matters else _AT_ONCE
    extracted: list[Regions] = []
    for first in range(0, len(files), step):
        part = files[first : first + step]
        prepared, given = [], []
        for path in part:
            image = read_image(str(path))
            if isinstance(image, str):
                raise DataError(f"is not a photo that can be read ({image})", where=writable_name(str(path)))
            fitted = None if boxes is None else fit_boxes(boxes, *image.size)
            if fitted is not None and fitted.problem:  # answers say which box by its number
                raise UsageError(fitted.problem, where=writable_name(str(path)))
            prepared.append(extractor.prepare(image))
            given.append(None if fitted is None else fitted.boxes)
        for path, regions in zip(part, extractor.regions(prepared, given), strict=True):
            wrong = regions if isinstance(regions, str) else problem(regions)
            if wrong is not None:
                raise DataError(wrong, where=writable_name(str(path)), todo="take another photo")
            assert isinstance(regions, Regions)
            plain = Regions(regions.boxes, regions.features, regions.width, regions.height)
            extracted.append(decode(encode(plain), path))
        if progress:
            progress("", len(extracted), len(files))
    return extracted


def _stored(
    key: str,
    known: Sequence[FeatureStore],
    opened: Sequence[FeatureStore],
    trained: Trained | None,
    boxes: BoxArray | None,
) -> Photo:
    """Read the regions of an image key from the first store that has them."""
    detected = [store for store in known if not store.has_candidates]
    for store in detected:
        if key in store:
            candidates = (
                None
                if boxes is None
                else _among(
                    key, boxes, [candidate_store for candidate_store in known if candidate_store.has_candidates]
                )
            )
            return Photo(key, store.read(key), candidates)
    where = ", ".join(str(store.path) for store in detected or opened) or None
    todo = "extract them with vlmt extract, name their store with --features, or name the photo's file"
    if opened and not detected and trained is not None:
        what = f"holds no features of {trained.name} ({trained.hash}), which the checkpoint was trained on"
        raise DataError(what, where=where, todo=todo)
    raise DataError(f"has no features of {key}" if where else f"no store has features of {key}", where=where, todo=todo)


def _among(key: str, boxes: BoxArray, stores: Sequence[FeatureStore]) -> Regions:
    """Read the features of given boxes, each of the stored box that overlaps it most, as training does."""
    for store in stores:
        if key in store:
            given = store.read(key)
            overlap = iou_of_tensors(torch.from_numpy(boxes), torch.tensor(given.boxes))
            if float(overlap.max(1).values.min()) >= SAME:
                return Regions(boxes, given.features[overlap.argmax(1).numpy()], given.width, given.height)
    where = ", ".join(str(store.path) for store in stores) or None
    todo = "extract them with vlmt extract --boxes, or name the photo's file"
    raise DataError(f"there are no features of these boxes of {key}", where=where, todo=todo)
