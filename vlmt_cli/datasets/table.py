"""The table of datasets: one row each, all that is true of a dataset, as plain data that every folder above reads.

A row says which official files a dataset has and where they come from, how they are read, which splits are official,
how a model is scored on it, and the settings of the paper's table 8. Adding a dataset is its reader, a file beside
this one, and one row here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa

from vlmt_cli.datasets import (
    conceptual_captions,
    crosswalks,
    flickr30k_entities,
    gqa,
    gqa_graphs,
    guesswhat,
    karpathy,
    nlvr2,
    refcoco,
    snli_ve,
    tables,
    vg_qa,
    visual7w,
    vqa,
)
from vlmt_cli.datasets.options import Options
from vlmt_cli.datasets.tables import Examples, Submission


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """All that is true of one dataset.

    Attributes:
        title: its name in print.
        short: its name in tables that have a column for each dataset.
        read: turns the official files in a folder into examples.
        files: the official files below ``raw/<dataset>/`` that reading all of it takes, each with the address that it
            comes from; ``|`` stands between the names that one file goes by.
        also: official files that are read where they are there.
        also_test: names of test files among these, ``|`` between those that hold the same images: without them some
            official test images are not known.
        beyond_paper: test splits that the paper does not have.
        folder: the folder below ``raw/`` when it is not the dataset's name.
        schema: of its example tables; None for a crosswalk, which has none.
        images: how many an example shows.
        group: its task group, a key of ``tasks.groups.GROUPS``; G1 to G4 are the paper's (section 2.1).
        official: the splits that the test score is computed on, in the paper and by the dataset's authors.
        secret: whether only a server knows the answers of those.
        candidates: the boxes of its examples are what the answer is chosen among, are shown while training only, or
            there are none.
        metric: what its score is.
        submission: the official form of a file of answers; None where no server or script takes one.
        head: the model's head that answers; tasks of one group may share it. Empty where no task is trained on it.
        labels: the names of the head's classes, where they are the same whatever the data.
        vocabulary: the dataset whose answer list the head has instead; empty where it has none.
        token: the row of the task embedding, as in the authors' weights (section 3.2). Each task
            has a row of its own; ``free_tokens`` returns those that no task has.
        batch_size, learning_rate: as tuned for single-task training (table 8).
        max_tokens: to which a text is cut, CLS and SEP included, the task token not.
    """

    title: str
    short: str
    read: Callable[[Path, Options], Examples]
    files: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)
    also_test: tuple[str, ...] = ()
    beyond_paper: tuple[str, ...] = ()
    folder: str = ""
    schema: pa.Schema | None = None
    images: int = 1
    group: str = ""
    official: tuple[str, ...] = ("test",)
    secret: bool = False
    candidates: Literal["chosen among", "shown in training", "none"] = "none"
    metric: str = "accuracy"
    submission: Submission | None = None
    head: str = ""
    labels: tuple[str, ...] = ()
    vocabulary: str = ""
    token: int = 0
    batch_size: int = 256
    learning_rate: float = 2e-5
    max_tokens: int = 20


_VQA = "https://s3.amazonaws.com/cvmlp/vqa/mscoco/vqa"
_VG = "https://homes.cs.washington.edu/~ranjay/visualgenome/api.html"
_GQA = "https://cs.stanford.edu/people/dorarad/gqa/download.html"
_KARPATHY = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
_REFER = "https://github.com/lichengunc/refer"
_COCO = "http://images.cocodataset.org/annotations"
_BOX = "accuracy (IoU > 0.5)"

DATASETS = {
    "vqa": Dataset(
        title="VQA v2",
        short="VQA",
        files={
            vqa.QUESTIONS.format("train2014"): f"{_VQA}/v2_Questions_Train_mscoco.zip",
            vqa.QUESTIONS.format("val2014"): f"{_VQA}/v2_Questions_Val_mscoco.zip",
            vqa.QUESTIONS.format("test2015"): f"{_VQA}/v2_Questions_Test_mscoco.zip",
            vqa.ANNOTATIONS.format("train2014"): f"{_VQA}/v2_Annotations_Train_mscoco.zip",
            vqa.ANNOTATIONS.format("val2014"): f"{_VQA}/v2_Annotations_Val_mscoco.zip",
        },
        also={vqa.QUESTIONS.format("test-dev2015"): f"{_VQA}/v2_Questions_Test_mscoco.zip"},
        read=vqa.read,
        schema=tables.VQA,
        group="G1",
        secret=True,
        metric="VQA accuracy",
        submission=Submission(".json", vqa.submission),
        head="vqa",
        vocabulary="vqa",
        token=1,
        batch_size=128,
        learning_rate=4e-5,
        max_tokens=23,
    ),
    "vg_qa": Dataset(
        title="Visual Genome QA",
        short="VG QA",
        files={vg_qa.FILE: _VG},
        read=vg_qa.read,
        schema=tables.VQA,
        group="G1",
        metric="VQA accuracy",
        head="vqa",
        vocabulary="vqa",
        token=2,
        batch_size=128,
        learning_rate=4e-5,
        max_tokens=26,
    ),
    "gqa": Dataset(
        title="GQA",
        short="GQA",
        files={gqa.FILE.format(part): _GQA for part in ("train", "val", "testdev")},
        also=dict.fromkeys([gqa.FILE.format("test"), *gqa.MORE_TESTS.values(), gqa_graphs.GRAPHS.format("val")], _GQA),
        also_test=(
            "test_balanced_questions.json|test_all_questions.json|submission_all_questions.json",
            "challenge_balanced_questions.json|challenge_all_questions.json|submission_all_questions.json",
        ),
        beyond_paper=tuple(gqa.MORE_TESTS),
        read=gqa.read,
        schema=tables.VQA,
        group="G1",
        official=("testdev",),
        submission=Submission(".json", gqa.submission),
        head="gqa",
        vocabulary="gqa",
        token=15,
        batch_size=128,
        learning_rate=4e-5,
        max_tokens=26,
    ),
    "coco": Dataset(
        title="COCO retrieval",
        short="COCO",
        files={karpathy.COCO_FILE: _KARPATHY},
        read=karpathy.read_coco,
        schema=tables.RETRIEVAL,
        group="G2",
        metric="Recall@1",
        head="retrieval",
        token=7,
        batch_size=128,
        max_tokens=30,
    ),
    "flickr30k": Dataset(
        title="Flickr30k retrieval",
        short="Flickr30k",
        files={karpathy.FLICKR30K_FILE: _KARPATHY},
        read=karpathy.read_flickr30k,
        schema=tables.RETRIEVAL,
        group="G2",
        metric="Recall@1",
        head="retrieval",
        token=8,
        batch_size=128,
        max_tokens=30,
    ),
    "refcoco": Dataset(
        title="RefCOCO",
        short="RefCOCO",
        files={refcoco.REFS.format("unc"): _REFER, refcoco.INSTANCES: _REFER},
        read=refcoco.read_unc,
        schema=tables.REFERRING,
        group="G3",
        official=("testA", "testB"),
        candidates="shown in training",
        metric=_BOX,
        head="referring",
        token=9,
    ),
    "refcoco+": Dataset(
        title="RefCOCO+",
        short="RefCOCO+",
        files={refcoco.REFS.format("unc"): _REFER, refcoco.INSTANCES: _REFER},
        read=refcoco.read_unc,
        schema=tables.REFERRING,
        group="G3",
        official=("testA", "testB"),
        candidates="shown in training",
        metric=_BOX,
        head="referring",
        token=10,
    ),
    "refcocog": Dataset(
        title="RefCOCOg",
        short="RefCOCOg",
        files={f"{refcoco.REFS.format('umd')}|{refcoco.REFS.format('google')}": _REFER, refcoco.INSTANCES: _REFER},
        also={refcoco.REFS.format("google"): _REFER},
        beyond_paper=("test-umd",),
        read=refcoco.read_refcocog,
        schema=tables.REFERRING,
        group="G3",
        candidates="shown in training",
        metric=_BOX,
        head="referring",
        token=11,
    ),
    "visual7w": Dataset(
        title="Visual7W",
        short="V7W",
        files={
            f"{visual7w.FILE}|{visual7w.OTHER_NAME}": "https://ai.stanford.edu/~yukez/papers/resources/"
            "dataset_v7w_pointing.zip"
        },
        read=visual7w.read,
        schema=tables.REFERRING,
        group="G3",
        candidates="chosen among",
        head="referring",
        token=4,
    ),
    "guesswhat": Dataset(
        title="GuessWhat",
        short="GW",
        files={
            guesswhat.FILE.format(part): f"https://florian-strub.com/guesswhat.{part}.jsonl.gz"
            for part in guesswhat.SPLITS.values()
        },
        read=guesswhat.read,
        schema=tables.REFERRING,
        group="G3",
        candidates="chosen among",
        head="referring",
        token=17,
        batch_size=64,
        max_tokens=256,
    ),
    "nlvr2": Dataset(
        title="NLVR2",
        short="NLVR2",
        files={
            "|".join(names): f"https://github.com/lil-lab/nlvr/raw/master/nlvr2/data/{names[0]}"
            for names in nlvr2.FILES.values()
        },
        also={
            file: f"https://github.com/lil-lab/nlvr/raw/master/nlvr2/data/{file}" for file in nlvr2.MORE_TESTS.values()
        },
        also_test=tuple(nlvr2.MORE_TESTS.values()),
        beyond_paper=tuple(nlvr2.MORE_TESTS),
        read=nlvr2.read,
        schema=tables.VERIFICATION,
        group="G4",
        images=2,
        submission=Submission(".csv", nlvr2.submission),
        head="nlvr2",
        labels=nlvr2.LABELS,
        token=12,
        batch_size=64,
        max_tokens=40,
    ),
    "snli_ve": Dataset(
        title="SNLI-VE",
        short="SNLI-VE",
        files={snli_ve.FILE.format(part): "https://github.com/necla-ml/SNLI-VE" for part in snli_ve.SPLITS.values()},
        read=snli_ve.read,
        schema=tables.VERIFICATION,
        group="G4",
        submission=Submission(".jsonl", snli_ve.submission),
        head="snli_ve",
        labels=snli_ve.LABELS,
        token=13,
        max_tokens=56,
    ),
    "flickr30k_entities": Dataset(
        title="Flickr30k grounding",
        short="Grounding",
        files=dict.fromkeys(
            [
                flickr30k_entities.SENTENCES,
                flickr30k_entities.ANNOTATIONS,
                *(f"{split}.txt" for split in flickr30k_entities.SPLITS),
            ],
            "https://github.com/BryanPlummer/flickr30k_entities",
        ),
        read=flickr30k_entities.read,
        schema=tables.REFERRING,
        group="G3",
        metric=_BOX,
        head="referring",
        token=18,
        max_tokens=24,
    ),
    "conceptual_captions": Dataset(
        title="Conceptual Captions",
        short="CC",
        files=dict.fromkeys(
            conceptual_captions.FILES.values(), "https://ai.google.com/research/ConceptualCaptions/download"
        ),
        also=dict.fromkeys(map(conceptual_captions.IMAGES.format, conceptual_captions.FILES.values()), ""),
        read=conceptual_captions.read,
        schema=tables.RETRIEVAL,
        group="G2",
    ),
}
"""The twelve, table 5's extra task, and what pre-training reads."""

TWELVE = (
    "vqa", "vg_qa", "gqa", "coco", "flickr30k", "refcoco", "refcoco+", "refcocog", "visual7w", "guesswhat", "nlvr2",
    "snli_ve",
)  # fmt: skip
"""The paper's twelve, in the order in which they take turns in training."""


def beyond_paper(name: str) -> tuple[str, ...]:
    """Return the test splits of a dataset, or crosswalk, that the paper does not have."""
    return DATASETS[name].beyond_paper if name in DATASETS else ()


def short_title(name: str) -> str:
    """Return a dataset's short name; image lists, which are in no row, keep their own."""
    name, space, role = name.partition(" ")
    return (DATASETS[name].short if name in DATASETS else name) + space + role


TASKS = {name: dataset for name, dataset in DATASETS.items() if dataset.head}
"""The datasets that a model trains on and is scored on; task and dataset share a name."""


def free_tokens(rows: int) -> list[int]:
    """Return which of so many rows of the task embedding no task has."""
    return sorted(set(range(rows)) - {task.token for task in TASKS.values()})


LABELS = {row.head: list(row.labels) for row in TASKS.values() if row.labels}
"""The classes of the heads that have the same ones whatever the data."""

VOCABULARIES = {row.head: row.vocabulary for row in TASKS.values() if row.vocabulary}
"""The dataset whose answer list each of the other classifying heads has."""

AMONG_CANDIDATES = tuple(name for name, row in TASKS.items() if row.candidates == "chosen among")
"""The tasks that choose among given boxes; other tasks of their group rank detected regions."""

GROUPS = {
    group: tuple(name for name in TWELVE if DATASETS[name].group == group)
    for group in dict.fromkeys(DATASETS[name].group for name in TWELVE)
}
"""The twelve by task group."""

CROSSWALKS = {
    "vg_images": Dataset(
        title="Visual Genome images",
        short="VG images",
        read=crosswalks.read_vg,
        also={crosswalks.VG_FILE: _VG},
        folder="vg_qa",
    ),
    "coco_images": Dataset(
        title="COCO images",
        short="COCO images",
        read=crosswalks.read_coco,
        also={
            file: f"{_COCO}/annotations_trainval{2017 if '2017' in file else 2014}.zip"
            for file in crosswalks.COCO_FILES
        },
        folder="coco",
    ),
}
"""Optional files that say which image of one source is which of another; they hold no examples."""
