"""The twelve tasks, and Flickr30k grounding: the paper's table 8, and what the authors' configuration adds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Training on one dataset; task and dataset share a name.

    Attributes:
        title: its name in print.
        group: G1 to G4 (section 2.1).
        head: one of the six.
        token: the row of the task embedding, as in the authors' weights (section 3.2).
        batch_size, learning_rate: as tuned for single-task training (table 8).
        max_tokens: to which a text is cut, CLS and SEP included, the task token not.
        metric: what its score is.
    """

    title: str
    group: str
    head: str
    token: int
    batch_size: int
    learning_rate: float
    max_tokens: int
    metric: str


TASKS = {
    "vqa": Task("VQA v2", "G1", "vqa", 1, 128, 4e-5, 23, "VQA accuracy"),
    "vg_qa": Task("Visual Genome QA", "G1", "vqa", 2, 128, 4e-5, 26, "VQA accuracy"),
    "gqa": Task("GQA", "G1", "gqa", 15, 128, 4e-5, 26, "accuracy"),
    "coco": Task("COCO retrieval", "G2", "retrieval", 7, 128, 2e-5, 30, "Recall@1"),
    "flickr30k": Task("Flickr30k retrieval", "G2", "retrieval", 8, 128, 2e-5, 30, "Recall@1"),
    "refcoco": Task("RefCOCO", "G3", "referring", 9, 256, 2e-5, 20, "accuracy (IoU > 0.5)"),
    "refcoco+": Task("RefCOCO+", "G3", "referring", 10, 256, 2e-5, 20, "accuracy (IoU > 0.5)"),
    "refcocog": Task("RefCOCOg", "G3", "referring", 11, 256, 2e-5, 20, "accuracy (IoU > 0.5)"),
    "visual7w": Task("Visual7W", "G3", "referring", 4, 256, 2e-5, 20, "accuracy"),
    "guesswhat": Task("GuessWhat", "G3", "referring", 17, 64, 2e-5, 256, "accuracy"),
    "nlvr2": Task("NLVR2", "G4", "nlvr2", 12, 64, 2e-5, 40, "accuracy"),
    "snli_ve": Task("SNLI-VE", "G4", "snli_ve", 13, 256, 2e-5, 56, "accuracy"),
    "flickr30k_entities": Task("Flickr30k grounding", "G3", "referring", 18, 256, 2e-5, 24, "accuracy (IoU > 0.5)"),
}

TWELVE = tuple(name for name in TASKS if name != "flickr30k_entities")
GROUPS = {group: tuple(name for name in TWELVE if TASKS[name].group == group) for group in ("G1", "G2", "G3", "G4")}
