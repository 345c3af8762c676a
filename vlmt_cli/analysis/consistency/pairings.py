"""MT-VGC's pairings: which questions and expressions are set against each other, and what training usually saw of them.

The paper's, of VQA and RefCOCO, has its answering half in nearly every VLM's training mixture; the others do not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vlmt_cli.analysis.consistency.concepts import Tagger, concepts
from vlmt_cli.analysis.consistency.gqa_texts import gqa_on_refcoco, gqa_with_graph
from vlmt_cli.analysis.consistency.pairs import ConceptPairs, pair_up
from vlmt_cli.analysis.consistency.texts import Texts, find_texts
from vlmt_cli.base.errors import UsageError
from vlmt_cli.base.words import listed, quoted


@dataclass(frozen=True)
class Pairing:
    """One of them.

    Attributes:
        title: in words.
        find: its questions and expressions in a data folder.
        asks: the dataset by whose rule answers are judged.
        photos: where its images are from.
        seen: what training mixtures of VLMs usually have of it.
    """

    title: str
    find: Callable[[Path], Texts]
    asks: str
    photos: str
    seen: str


VQA_REFCOCO = "vqa-refcoco"
PAIRINGS = {
    VQA_REFCOCO: Pairing(
        "VQA v2's training questions about RefCOCO's and RefCOCO+'s test images",
        find_texts,
        "vqa",
        "COCO's train2014",
        "VQA v2's training questions are in nearly every VLM's training mixture (LLaVA-1.5's has 83,000 records of"
        " them), and RefCOCO's images are COCO's train2014: a model of such a mixture learnt the answering half."
        " --pairing gqa-refcoco and gqa-graph ask what fewer mixtures have.",
    ),
    "gqa-refcoco": Pairing(
        "GQA's val questions about RefCOCO's and RefCOCO+'s test images",
        gqa_on_refcoco,
        "gqa",
        "COCO's train2014",
        "VLMs' training mixtures usually have GQA's training questions (LLaVA-1.5's 72,140 records), some its val, too;"
        " the images, COCO's train2014 and Visual Genome's, are in nearly all of them with other questions.",
    ),
    "gqa-graph": Pairing(
        "GQA's val questions and the objects that they name in its scene graphs",
        gqa_with_graph,
        "gqa",
        "Visual Genome",
        "VLMs' training mixtures usually have GQA's training questions (LLaVA-1.5's 72,140 records), some its val, too;"
        " and often Visual Genome's regions of the same images (LLaVA-1.5's 86,417 records), not these expressions.",
    ),
}


def pairing_of(name: str) -> Pairing:
    """Return a pairing by its name. Raises a UsageError where there is none."""
    if name not in PAIRINGS:
        raise UsageError(
            f"there is no pairing {quoted(name)}", where="--pairing", todo=f"take {listed(list(PAIRINGS))}"
        )
    return PAIRINGS[name]


def pair_texts(texts: Texts, tag: Tagger) -> ConceptPairs:
    """Pair the questions and expressions of each image; where they name objects, those of the same object only."""
    tagged = [concepts(table["text"].to_pylist(), tag) for table in (texts.questions, texts.expressions)]
    objects = None
    if "objects" in texts.questions.column_names:
        objects = texts.questions["objects"].to_pylist(), texts.expressions["object"].to_pylist()
    return pair_up(texts.questions["number"], tagged[0], texts.expressions["number"], tagged[1], objects)
