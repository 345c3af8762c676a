"""NLVR2 and SNLI-VE: the official files of G4."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

from vlmt_cli.miniworld.balance import Fact, Kind, ask
from vlmt_cli.miniworld.language import SIDES, a, kinds_of_things, matching, only_one, plural, sentence
from vlmt_cli.miniworld.output import put_json_lines
from vlmt_cli.miniworld.photos import Plan
from vlmt_cli.miniworld.plan import NLVR2_SET
from vlmt_cli.miniworld.retrieval import Captions
from vlmt_cli.miniworld.scene import COLOURS, SHAPES, Scene, relations

LABELS = ("entailment", "neutral", "contradiction")

HYPOTHESES = {
    "some": Kind(LABELS, ("There is {0}.", "{0} is in the picture.", "A person could find {0} here.")),
    "none": Kind(LABELS, ("There is no {0}.", "No {0} is in the picture.")),
    "at least": Kind(LABELS, ("There are at least {0} {1}.", "The picture has {0} {1} or more.")),
    "colour": Kind(LABELS, ("The {0} is {1}.", "The color of the {0} is {1}.")),
    "relation": Kind(LABELS, ("The {0} is {2} the {1}.", "The {0} lies {2} the {1}.")),
}
SHARES = {"some": 0.15, "none": 0.2, "at least": 0.1, "colour": 0.3, "relation": 0.25}


def hypotheses(scene: Scene) -> list[Fact]:
    """Return what can be claimed of a scene. What a panel may hide is neutral, not wrong."""
    covered = scene.cover is not None
    unseen = "neutral" if covered else "contradiction"
    facts: list[Fact] = []
    for noun, colour, shape in kinds_of_things():
        seen = len(matching(scene, colour, shape))
        facts.append(Fact("some", (a(noun),), "entailment" if seen else unseen))
        facts.append(Fact("none", (noun,), "contradiction" if seen else "neutral" if covered else "entailment"))
        if colour is None or shape is None:
            facts.append(Fact("at least", ("two", plural(noun)), "entailment" if seen >= 2 else unseen))
    if covered:
        # What takes a thing for granted is only said of pictures with a panel: there it may be any of the three.
        facts += [*_colours(scene), *_relations(scene)]
    return facts


def _colours(scene: Scene) -> Iterator[Fact]:
    single = only_one(scene)
    for shape in (*single, *_hidden(scene)):
        for colour in COLOURS:
            right = "entailment" if shape in single and single[shape].colour == colour else "contradiction"
            yield Fact("colour", (shape, colour), right if shape in single else "neutral")


def _relations(scene: Scene) -> Iterator[Fact]:
    single, hidden = only_one(scene), _hidden(scene)
    for first, second in permutations((*single, *hidden), 2):
        for side, words in SIDES.items():
            if first in single and second in single:
                right = "entailment" if side in relations(single[first], single[second]) else "contradiction"
                yield Fact("relation", (first, second, words), right)
            elif first in single or second in single:
                yield Fact("relation", (first, second, words), "neutral")


def _hidden(scene: Scene) -> list[str]:
    """Return the shapes that, if anywhere, are behind the panel."""
    return [shape for shape in SHAPES if not matching(scene, None, shape)]


@dataclass(frozen=True)
class Claim:
    """What can be said of two images: true or not by how many such things the left and the right one show."""

    kind: str
    text: str
    colour: str | None
    shape: str | None
    holds: Callable[[int, int], bool]


_WORDINGS: tuple[tuple[str, str, Callable[[int, int], bool]], ...] = (
    ("left", "The left image contains {one}.", lambda left, right: left > 0),
    ("right", "The right image contains {one}.", lambda left, right: right > 0),
    ("some", "At least one of the images shows {one}.", lambda left, right: left + right > 0),
    ("both", "Both images contain {one}.", lambda left, right: left > 0 and right > 0),
    ("one", "Exactly one of the images contains {one}.", lambda left, right: (left > 0) != (right > 0)),
    ("more", "There are more {many} in the left image than in the right image.", lambda left, right: left > right),
    ("fewer", "The left image has fewer {many} than the right image.", lambda left, right: left < right),
    ("total", "There is exactly one {noun} in all.", lambda left, right: left + right == 1),
    ("total", "There are exactly two {many} in all.", lambda left, right: left + right == 2),
    ("total", "There are exactly three {many} in all.", lambda left, right: left + right == 3),
)
_ABOUT_SHAPES: tuple[tuple[str, Callable[[int, int], bool]], ...] = (
    ("The two images show at least five shapes together.", lambda left, right: left + right >= 5),
    ("The two images show at least seven shapes together.", lambda left, right: left + right >= 7),
    ("The two images show at least eight shapes together.", lambda left, right: left + right >= 8),
    ("The two images have the same number of shapes.", lambda left, right: left == right),
    ("The left image has more shapes than the right image.", lambda left, right: left > right),
)
CLAIMS = [
    *(
        Claim(kind, text.format(one=a(noun), many=plural(noun), noun=noun), colour, shape, holds)
        for noun, colour, shape in kinds_of_things()
        for kind, text, holds in _WORDINGS
    ),
    *(Claim("shapes", text, None, None, holds) for text, holds in _ABOUT_SHAPES),
]
_COUNTED = {(claim.colour, claim.shape) for claim in CLAIMS}
"""What has to be counted in an image, once for all claims about it."""


def write_snli_ve(plan: Plan, raw: Path, written: Captions) -> None:
    """Write snli_ve_{train,dev,test}.jsonl; the premise is a Flickr30k caption of the image."""
    rng, sizes = plan.rngs["snli_ve"], plan.sizes
    for split, photos in plan.splits["snli_ve"].items():
        train = split == "train"
        count = sizes.snli_ve if train else sizes.heldout + sizes.heldout // 3
        asked = ask(rng, HYPOTHESES, SHARES, hypotheses, plan.scenes, photos, count)
        records = []
        for i, question in enumerate(asked):
            caption = int(rng.integers(len(written[question.photo])))
            gold = question.fact.answer
            image = f"{plan.flickr[question.photo]}.jpg"
            votes = [gold] * 5 if rng.random() < 0.2 else [gold]
            if train and i % 250 == 249:
                # No majority among five annotators: the official files keep such pairs.
                gold, votes = "-", [*LABELS, LABELS[0], LABELS[1]]
            records.append(
                {
                    "Flikr30kID": image,
                    "captionID": f"{image}#{caption}",
                    "pairID": f"{image}#{caption}r{i}{question.fact.answer[0]}",
                    "gold_label": gold,
                    "annotator_labels": votes,
                    "sentence1": sentence(written[question.photo][caption]),
                    "sentence2": f"{question.text[0].upper()}{question.text[1:]}",
                }
            )
        put_json_lines(raw / "snli_ve" / f"snli_ve_{split}.jsonl", records)


def write_nlvr2(plan: Plan, raw: Path) -> None:
    """Write {train,dev,test1}.json, JSON lines. A sentence is true of two of its four pairs of images."""
    rng = plan.rngs["nlvr2"]
    for split, photos in plan.splits["nlvr2"].items():
        count = plan.sizes.nlvr2 if split == "train" else plan.sizes.heldout
        records: list[dict[str, Any]] = []
        for number in range(len(photos) // (2 * NLVR2_SET)):
            members = photos[number * 2 * NLVR2_SET : (number + 1) * 2 * NLVR2_SET]
            pairs = list(zip(members[::2], members[1::2], strict=True))
            scenes = [(plan.scenes[left], plan.scenes[right]) for left, right in pairs]
            counts = {what: [[len(matching(scene, *what)) for scene in pair] for pair in scenes] for what in _COUNTED}
            fair: dict[str, list[tuple[str, list[bool]]]] = {}
            for claim in CLAIMS:
                truth = [claim.holds(left, right) for left, right in counts[claim.colour, claim.shape]]
                if sum(truth) == NLVR2_SET // 2:
                    fair.setdefault(claim.kind, []).append((claim.text, truth))
            for k in range(2):
                kind = list(fair)[rng.integers(len(fair))]
                text, truth = fair[kind].pop(rng.integers(len(fair[kind])))
                if not fair[kind]:
                    del fair[kind]
                for b in range(NLVR2_SET):
                    records.append(
                        {
                            "identifier": f"{split}-{number}-{b}-{k}",
                            "sentence": text,
                            "left_url": _url(pairs[b][0]),
                            "right_url": _url(pairs[b][1]),
                            "label": str(truth[b]),
                            "synset": "shape",
                            "query": f"two shapes{number}",
                            "writer": str(number % 60),
                            "validation": {str(number % 60 + 1): str(truth[b])},
                            **({"directory": number % 100} if split == "train" else {"extra_validations": {}}),
                        }
                    )
        put_json_lines(raw / "nlvr2" / f"{split}.json", records[:count])


def _url(photo: int) -> str:
    # A photo has one address, whatever names it goes by.
    return f"https://pictures.example.com/{photo * 7919 % 100_003}/{photo}.jpg"
