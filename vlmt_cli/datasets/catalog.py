"""All datasets: who reads each one, from which official files, into which schema.

Adding a dataset is one module beside this one and one line in ``DATASETS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.datasets import (
    conceptual_captions,
    crosswalks,
    flickr30k_entities,
    gqa,
    guesswhat,
    karpathy,
    nlvr2,
    refcoco,
    snli_ve,
    vg_qa,
    visual7w,
    vqa,
)
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.tables import Examples


@dataclass(frozen=True)
class Dataset:
    """One dataset.

    Attributes:
        title: its name in print.
        group: its schema, a key of ``tables.SCHEMAS``; empty for a crosswalk.
        files: official file names below ``raw/<dataset>/`` that reading all of it takes;
            ``|`` stands between the names that one file goes by.
        read: official files to examples.
        also: official files that are read where they are there.
        folder: the folder below ``raw/`` when it is not the dataset's name.
    """

    title: str
    group: str
    files: tuple[str, ...]
    read: Callable[[Path, Options], Examples]
    also: tuple[str, ...] = ()
    folder: str = ""


DATASETS = {
    "vqa": Dataset(
        "VQA v2",
        "vqa",
        (
            *(vqa.QUESTIONS.format(part) for part in ("train2014", "val2014", "test2015")),
            *(vqa.ANNOTATIONS.format(part) for part in ("train2014", "val2014")),
        ),
        lambda raw, options: vqa.read(raw, options.vqa),
    ),
    "vg_qa": Dataset("Visual Genome QA", "vqa", (vg_qa.FILE,), lambda raw, options: vg_qa.read(raw, options.vg_qa)),
    "gqa": Dataset(
        "GQA",
        "vqa",
        tuple(gqa.FILE.format(part) for part in ("train", "val", "testdev")),
        lambda raw, options: gqa.read(raw, options.gqa),
        also=(gqa.FILE.format("test"),),
    ),
    "coco": Dataset("COCO retrieval", "retrieval", (karpathy.COCO_FILE,), lambda raw, options: karpathy.read_coco(raw)),
    "flickr30k": Dataset(
        "Flickr30k", "retrieval", (karpathy.FLICKR30K_FILE,), lambda raw, options: karpathy.read_flickr30k(raw)
    ),
    "refcoco": Dataset(
        "RefCOCO",
        "referring",
        (refcoco.REFS.format("unc"), refcoco.INSTANCES),
        lambda raw, options: refcoco.read(raw, refcoco.REFS.format("unc")),
    ),
    "refcoco+": Dataset(
        "RefCOCO+",
        "referring",
        (refcoco.REFS.format("unc"), refcoco.INSTANCES),
        lambda raw, options: refcoco.read(raw, refcoco.REFS.format("unc")),
    ),
    "refcocog": Dataset(
        "RefCOCOg",
        "referring",
        (f"{refcoco.REFS.format('umd')}|{refcoco.REFS.format('google')}", refcoco.INSTANCES),
        lambda raw, options: refcoco.read(raw, refcoco.REFS.format(options.refcocog.split_by)),
        also=(refcoco.REFS.format("google"),),
    ),
    "visual7w": Dataset(
        "Visual7W",
        "referring",
        (f"{visual7w.FILE}|{visual7w.OTHER_NAME}",),
        lambda raw, options: visual7w.read(raw),
    ),
    "guesswhat": Dataset(
        "GuessWhat",
        "referring",
        tuple(guesswhat.FILE.format(part) for part in guesswhat.SPLITS.values()),
        lambda raw, options: guesswhat.read(raw),
    ),
    "snli_ve": Dataset(
        "SNLI-VE",
        "verification",
        tuple(snli_ve.FILE.format(part) for part in snli_ve.SPLITS.values()),
        lambda raw, options: snli_ve.read(raw),
    ),
    "nlvr2": Dataset(
        "NLVR2",
        "verification",
        tuple("|".join(names) for names in nlvr2.FILES.values()),
        lambda raw, options: nlvr2.read(raw),
    ),
    "flickr30k_entities": Dataset(
        "Flickr30k Entities",
        "referring",
        (
            flickr30k_entities.SENTENCES,
            flickr30k_entities.ANNOTATIONS,
            *(f"{split}.txt" for split in flickr30k_entities.SPLITS),
        ),
        lambda raw, options: flickr30k_entities.read(raw, options.flickr30k_entities),
    ),
    "conceptual_captions": Dataset(
        "Conceptual Captions",
        "retrieval",
        tuple(conceptual_captions.FILES.values()),
        lambda raw, options: conceptual_captions.read(raw),
        also=tuple(map(conceptual_captions.IMAGES.format, conceptual_captions.FILES.values())),
    ),
}
"""The twelve in the order of table 1, table 5's extra task, and what pre-training reads."""

TWELVE = tuple(DATASETS)[:12]

CROSSWALKS = {
    "vg_images": Dataset(
        "Visual Genome images",
        "",
        (),
        lambda raw, options: crosswalks.read_vg(raw),
        also=(crosswalks.VG_FILE,),
        folder="vg_qa",
    ),
    "coco_images": Dataset(
        "COCO images",
        "",
        (),
        lambda raw, options: crosswalks.read_coco(raw),
        also=crosswalks.COCO_FILES,
        folder="coco",
    ),
}
"""Optional files that say which image of one source is which of another; they hold no examples."""
