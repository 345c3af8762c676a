"""VQA v2, Visual Genome QA and GQA: the official files of G1."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from vlmt_cli.miniworld.balance import Asked, ask
from vlmt_cli.miniworld.language import NUMBERS, SIDES, only_one
from vlmt_cli.miniworld.output import object_ids, put_json
from vlmt_cli.miniworld.photos import Plan
from vlmt_cli.miniworld.plan import QUESTIONS_A_VQA_PHOTO, with_tenths
from vlmt_cli.miniworld.questions import GQA, KINDS, VG_QA, VQA, YES_NO, facts
from vlmt_cli.miniworld.scene import HEIGHT, SHAPES, WIDTH

WORKERS = 10
"""Answers a VQA question."""

GQA_OBJECTS = 3_000_000
"""Where ids of GQA's objects begin."""

DISSENT = 0.04
"""How often a worker answers something else than the rest."""


def write_vqa(plan: Plan, raw: Path) -> None:
    """Write questions of train2014, val2014 and test2015, and annotations of the first two."""
    rng, sizes, splits = plan.rngs["vqa"], plan.sizes, plan.splits["vqa"]
    minval = min(max(sizes.heldout, sizes.vqa // 25), sizes.vqa // 15)
    blocks = [
        ("train2014", [("train", sizes.vqa - 9 * minval)]),
        ("val2014", [("val", 9 * minval), ("minval", minval)]),
        ("test2015", [("test", QUESTIONS_A_VQA_PHOTO * len(splits["test"]))]),
    ]
    for name, parts in blocks:
        asked = [
            question
            for part, count in parts
            for question in ask(rng, KINDS, VQA, facts, plan.scenes, splits[part], count)
        ]
        head = {
            "info": {"description": f"mini-world {name}", "version": "2.0"},
            "license": {"name": "MIT"},
            "data_type": "mscoco",
            "data_subtype": name,
        }
        questions, annotations = [], []
        seen: Counter[int] = Counter()
        for question in asked:
            image = plan.coco[question.photo]
            ids = {"image_id": image, "question_id": image * 1000 + seen[image]}
            seen[image] += 1
            questions.append({**ids, "question": question.text})
            annotations.append(
                {
                    "question_type": " ".join(question.text.lower().rstrip("?").split()[:3]),
                    "multiple_choice_answer": question.fact.answer,
                    "answers": _ten_answers(rng, question),
                    "answer_type": _answer_type(question.fact.answer),
                    **ids,
                }
            )
        put_json(
            raw / "vqa" / f"v2_OpenEnded_mscoco_{name}_questions.json",
            {**head, "task_type": "Open-Ended", "questions": questions},
        )
        if name != "test2015":
            put_json(raw / "vqa" / f"v2_mscoco_{name}_annotations.json", {**head, "annotations": annotations})


def write_vg_qa(plan: Plan, raw: Path) -> None:
    """Write question_answers.json and image_data.json; the last two tenths of questions have images of their own."""
    rng, sizes, splits = plan.rngs["vg_qa"], plan.sizes, plan.splits["vg_qa"]
    tenth = with_tenths(sizes.vg_qa, 2) // 10
    qas: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for part, count in (("train", sizes.vg_qa), ("val", tenth), ("test", tenth)):
        for question in ask(rng, KINDS, VG_QA, facts, plan.scenes, splits[part], count):
            # Visual Genome's people write sentences: a capital, a full stop, numbers in words.
            answer = question.fact.answer
            answer = NUMBERS[int(answer)] if answer.isdigit() and rng.random() < 0.7 and answer != "0" else answer
            qas[question.photo].append({"question": question.text, "answer": f"{answer.capitalize()}."})
    number = 986_768
    records = []
    for photo, image in plan.vg.items():
        mine = []
        for qa in qas[photo]:
            mine.append(
                {
                    "a_objects": [],
                    "question": qa["question"],
                    "image_id": image,
                    "qa_id": number,
                    "answer": qa["answer"],
                    "q_objects": [],
                }
            )
            number += 1
        records.append({"id": image, "qas": mine})
    put_json(raw / "vg_qa" / "question_answers.json", records)
    put_json(
        raw / "vg_qa" / "image_data.json",
        [
            {
                "width": WIDTH,
                "url": f"https://cs.stanford.edu/people/rak248/VG_100K_2/{image}.jpg",
                "height": HEIGHT,
                "image_id": image,
                "coco_id": plan.coco[photo] if photo in plan.vg_says_coco else (None, -1)[i % 2],
                "flickr_id": plan.flickr[photo] if photo in plan.vg_says_flickr else None,
            }
            for i, (photo, image) in enumerate(plan.vg.items())
        ],
    )


def write_gqa(plan: Plan, raw: Path) -> None:
    """Write the balanced train, val and testdev questions, the last tenth of train and val with images of its own, and
    val's scene graphs."""
    rng, sizes, splits = plan.rngs["gqa"], plan.sizes, plan.splits["gqa"]
    val = round(sizes.gqa * len(splits["val"]) / (len(splits["train"]) + len(splits["val"])))
    first = 1_000_000
    for name, parts in (
        ("train", [("train", sizes.gqa - val)]),
        ("val", [("val", val), ("last", with_tenths(sizes.gqa, 1) // 10)]),
        ("testdev", [("testdev", sizes.heldout + sizes.heldout // 3)]),
    ):
        questions: dict[str, Any] = {}
        for part, count in parts:
            asked = ask(rng, KINDS, GQA, facts, plan.scenes, splits[part], count)
            names = [f"{first + i:08d}" for i in range(count)]
            first += 3 * count
            questions |= _gqa_records(plan, asked, names)
        put_json(raw / "gqa" / f"{name}_balanced_questions.json", questions)
    graphs = {str(plan.vg[photo]): _graph(plan, photo) for part in ("val", "last") for photo in splits[part]}
    put_json(raw / "gqa" / "val_sceneGraphs.json", graphs)


def _ten_answers(rng: np.random.Generator, question: Asked) -> list[dict[str, Any]]:
    """Ten people's raw answers: mostly agreeing, not always in the form that the normalisation makes of them."""
    answer, kind = question.fact.answer, KINDS[question.fact.kind]
    rivals = [other for other in kind.answers if other != answer]
    between = next((t.other_colour for t in question.fact.things[:1] if t.other_colour and t.colour == answer), None)
    given: list[str] = []
    for _ in range(WORKERS):
        # Never more than three dissenters: the answer of the ten is the answer.
        dissents = rng.random() < (0.2 if between else DISSENT) and sum(said != answer for said in given) < 3
        given.append((between or rivals[rng.integers(len(rivals))]) if dissents else answer)
    forms = [_raw_form(rng, said) for said in given]
    return [
        {"answer": form, "answer_confidence": ("yes", "yes", "yes", "maybe", "no")[rng.integers(5)], "answer_id": i}
        for i, form in enumerate(forms, 1)
    ]


def _raw_form(rng: np.random.Generator, answer: str) -> str:
    if rng.random() < 0.85:
        return answer
    forms = [answer.capitalize(), f"{answer}.", f"{answer.capitalize()}."]
    if answer.isdigit():
        forms = [NUMBERS[int(answer)]] if answer != "0" else ["none"]
    elif answer in SHAPES:
        forms += [f"a {answer}", f"the {answer}"]
    return forms[rng.integers(len(forms))]


def _answer_type(answer: str) -> str:
    if answer in YES_NO:
        return "yes/no"
    return "number" if answer.isdigit() else "other"


def _gqa_records(plan: Plan, asked: Iterable[Asked], names: list[str]) -> dict[str, Any]:
    """Return the official record of each question; equivalent questions differ in their wording only."""
    pairs = list(zip(names, asked, strict=True))
    same: dict[tuple[int, str, tuple[str, ...]], list[str]] = defaultdict(list)
    about: dict[tuple[int, tuple[str, ...]], list[str]] = defaultdict(list)
    for name, question in pairs:
        fact = question.fact
        same[question.photo, fact.kind, fact.slots].append(name)
        about[question.photo, fact.slots[:1]].append(name)
    records = {}
    for name, question in pairs:
        fact, photo = question.fact, question.photo
        program = _program(question)
        verify = fact.answer in YES_NO
        records[name] = {
            "semantic": program,
            "entailed": [other for other in about[photo, fact.slots[:1]] if other != name],
            "equivalent": same[photo, fact.kind, fact.slots],
            "question": question.text,
            "imageId": plan.gqa.get(photo) or str(plan.vg[photo]),
            "isBalanced": True,
            "groups": {"global": None if verify else fact.kind, "local": f"{len(fact.slots)}-{'_'.join(fact.slots)}"},
            "answer": fact.answer,
            "semanticStr": "->".join(
                f"{step['operation']}: {step['argument']} {step['dependencies'] or ''}".rstrip() for step in program
            ),
            "annotations": _grounding(plan, question),
            "types": {
                "detailed": f"{fact.kind.replace(' ', '')}{'Verify' if verify else 'Query'}",
                "semantic": "rel" if len(fact.things) == 2 else ("obj" if fact.kind == "exist" else "attr"),
                "structural": "verify" if verify else ("choose" if " or " in question.text else "query"),
            },
            "fullAnswer": _full_answer(question),
        }
    return records


def _program(question: Asked) -> list[dict[str, Any]]:
    fact = question.fact
    steps: list[dict[str, Any]] = [
        {"operation": "select", "dependencies": [], "argument": slot}
        for slot in fact.slots
        if slot not in SIDES.values()
    ]
    last = {
        "exist": "exist",
        "is colour": "verify color",
        "relation": "verify rel",
        "same colour": "same color",
        "colour": "query",
        "shape": "query",
        "size": "query",
        "left or right": "choose rel",
        "above or below": "choose rel",
    }[fact.kind]
    argument = {"colour": "color", "shape": "name", "size": "size", "exist": "?"}.get(fact.kind, fact.slots[-1])
    return [*steps, {"operation": last, "dependencies": list(range(len(steps))), "argument": argument}]


def _graph(plan: Plan, photo: int) -> dict[str, Any]:
    """Return the official scene graph of a photo; it lists no relations."""
    things = plan.scenes[photo].things
    objects = {
        str(name): {
            "name": thing.shape,
            **dict(zip("xywh", thing.box, strict=True)),
            "attributes": [thing.size, thing.colour],
            "relations": [],
        }
        for name, thing in zip(object_ids(plan, photo, GQA_OBJECTS), things, strict=True)
    }
    return {"width": WIDTH, "height": HEIGHT, "objects": objects}


def _grounding(plan: Plan, question: Asked) -> dict[str, dict[str, str]]:
    """Return which word of the question is which object, by the word's position."""
    scene = plan.scenes[question.photo]
    ids = dict(zip(scene.things, object_ids(plan, question.photo, GQA_OBJECTS), strict=True))
    single = only_one(scene)
    words = question.text.rstrip("?").split()
    grounding = {str(i): str(ids[single[word]]) for i, word in enumerate(words) if word in single}
    return {"answer": {}, "question": grounding, "fullAnswer": {}}


def _full_answer(question: Asked) -> str:
    fact, answer = question.fact, question.fact.answer
    if fact.kind == "exist":
        return f"Yes, there is {fact.slots[0]}." if answer == "yes" else f"No, there is not {fact.slots[0]}."
    if answer in YES_NO:
        return f"{answer.capitalize()}, that is {'so' if answer == 'yes' else 'not so'}."
    if fact.kind == "shape":
        return f"It is a {answer}."
    if len(fact.slots) == 2:
        return f"The {fact.slots[0]} is {SIDES[answer]} the {fact.slots[1]}."
    return f"The {fact.slots[0]} is {answer}."
