"""Who shares what: the photos of the world, their names in each collection, and the datasets' splits.

The sharing follows the paper's tables 1 and 7:

- VQA, COCO, RefCOCO, +, g and GuessWhat live on COCO photos. Karpathy's train is train2014, his
  restval, val and test are parts of val2014; VQA trains on all of them, and its test2015 stands apart.
- RefCOCO and + have the same photos and splits, all in train2014; RefCOCOg's test is half in
  RefCOCO's train and val, and two thirds of RefCOCO's tests are in RefCOCOg's. GuessWhat has about
  half of COCO, its test too.
- Nearly half of Visual Genome is COCO under other numbers, and ``image_data.json`` says so. GQA and
  Visual7W live on Visual Genome; GQA's testdev has photos of its own.
- SNLI-VE and Flickr30k Entities have Flickr30k's photos and a split of their own.
- NLVR2 stands apart, but a few photos of its test1 are in its train under other names.

And what the paper did not look for: a few photos are in two of Flickr30k, Visual Genome and COCO with
nothing but the Flickr photo id to say so, and some Visual Genome numbers are also COCO numbers, of
other photos.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from vlmt_cli.miniworld.photos import PARTS, Plan
from vlmt_cli.miniworld.scene import invent_scenes
from vlmt_cli.miniworld.sizes import Sizes

QUESTIONS_A_VQA_PHOTO = 5
QUESTIONS_A_VG_PHOTO = 15
QUESTIONS_A_GQA_PHOTO = 13
CAPTIONS_A_PHOTO = 5
EXPRESSIONS_A_REFCOCO_PHOTO = 6.5
EXPRESSIONS_A_REFCOCOG_PHOTO = 3.7
QUESTIONS_A_VISUAL7W_PHOTO = 5
GAMES_A_PHOTO = 2.4
TRAIN_GAMES_A_PHOTO = 12  # there are four times as many games as the photos' share is worth
NLVR2_SET = 4
"""Pairs of images that share sentences."""


def with_tenths(train: int, sets: int) -> int:
    """Return how many questions there are, when ``train`` are left once so many tenths of all are held out.

    VQA's minval, GQA's, and Visual Genome QA's val and test are not official splits but the last questions
    by id: in a small world, the last tenth.
    """
    total = train
    while total - sets * (total // 10) < train:
        total += 1
    return total


def make_plan(sizes: Sizes, seed: int) -> Plan:
    """Return a world of these sizes: all photos with their scenes, names and splits."""
    rng = np.random.default_rng(seed)
    plan = Plan(sizes, dict(zip(PARTS, rng.spawn(len(PARTS)), strict=True)))
    _plan_coco(plan)
    _plan_visual_genome(plan)
    _plan_flickr30k(plan)
    _plan_numbers(plan)
    _plan_referring_expressions(plan)
    _plan_guesswhat(plan)
    _plan_visual7w(plan)
    _plan_gqa(plan)
    _plan_nlvr2(plan)
    rows = sizes.conceptual_captions
    photos = _new(plan, "cc scenes", rows + sizes.heldout)
    plan.splits["conceptual_captions"] = {"train": photos[:rows], "val": photos[rows:]}
    plan.cc = {photo: str(row) if row < rows else f"val-{row - rows}" for row, photo in enumerate(photos)}
    return plan


def _plan_coco(plan: Plan) -> None:
    sizes, rng = plan.sizes, plan.rngs["coco plan"]
    # One photo in 25 has a sixth caption.
    train = max(5, 25 * sizes.coco // (25 * CAPTIONS_A_PHOTO + 1))
    val, test = sizes.heldout // 5, sizes.heldout // 3
    photos = _new(plan, "coco scenes", train + val + test + sizes.heldout // 3)
    train2014 = photos[: round(0.7 * train)]  # the rest of it, restval, val and test are val2014
    val2014 = photos[len(train2014) : train + val + test]
    test2015 = photos[train + val + test :]
    for name, members in (("train2014", train2014), ("val2014", val2014), ("test2015", test2015)):
        plan.coco_set.update(dict.fromkeys(members, name))
    # minval is the last questions by id, and a question's id begins with its image's.
    tenth = -(-len(val2014) // 10)
    plan.splits["vqa"] = {
        "train": train2014,
        "val": val2014[:-tenth],
        "minval": val2014[-tenth:],
        "test": test2015,
    }
    mixed = _shuffled(rng, val2014)
    plan.splits["coco"] = {
        "test": mixed[:test],
        "val": mixed[test : test + val],
        "train": _shuffled(rng, train2014),
        "restval": mixed[test + val :],
    }


def _plan_visual_genome(plan: Plan) -> None:
    sizes, rng = plan.sizes, plan.rngs["vg plan"]
    count = max(20, with_tenths(sizes.vg_qa, 2) // QUESTIONS_A_VG_PHOTO)
    coco = _all(plan, "coco")
    shared = _shuffled(rng, coco)[: min(round(0.4 * len(coco)), round(0.55 * count))]
    own = _new(plan, "vg scenes", count - len(shared))
    photos = _shuffled(rng, [*shared, *own])
    unsaid = set(shared[: max(2, len(shared) // 25)])
    plan.vg_says_coco = set(shared) - unsaid
    plan.vg_says_flickr = unsaid | {photo for photo in photos if rng.random() < 0.6}
    tenth = count // 10
    plan.splits["vg_qa"] = {
        "train": photos[: -2 * tenth],
        "val": photos[-2 * tenth : -tenth],
        "test": photos[-tenth:],
    }


def _plan_flickr30k(plan: Plan) -> None:
    sizes, rng = plan.sizes, plan.rngs["flickr30k plan"]
    train = -(-sizes.flickr30k // CAPTIONS_A_PHOTO)
    val, test = sizes.heldout // 5, sizes.heldout // 4
    # Photos that COCO or Visual Genome has too, tests of the one in the train sets of the other.
    coco, vg = plan.splits["coco"], plan.splits["vg_qa"]
    vg_only = [photo for photo in vg["train"] if photo not in plan.coco_set]
    in_test = [_pick(rng, coco["train"], 1)[0], _pick(rng, vg_only, 1)[0]]
    in_train = [*_pick(rng, coco["test"], 2), *_pick(rng, vg_only, 1), *_pick(rng, coco["restval"], 1)]
    own = _new(plan, "flickr30k scenes", train + val + test - len(in_test) - len(in_train), cover_share=0.65)
    rest = _shuffled(rng, own[val + test - len(in_test) :] + in_train)
    first = _shuffled(rng, own[val : val + test - len(in_test)] + in_test)
    plan.splits["flickr30k"] = {"train": rest, "val": own[:val], "test": first}
    plan.flickr30k = {*rest, *own[:val], *first}
    plan.vg_says_flickr |= plan.flickr30k
    # SNLI-VE's test: nearly all of it in Flickr30k's train and val.
    size = max(4, sizes.heldout // 8)
    ours = [*first[:1], *_pick(rng, sorted({*rest, *own[:val]}), size - 1)]
    others = _shuffled(rng, sorted(plan.flickr30k - set(ours)))
    plan.splits["snli_ve"] = {"train": others[size:], "dev": others[:size], "test": ours}


def _plan_numbers(plan: Plan) -> None:
    rng = plan.rngs["ids"]
    # Ascending in the order of the lists: what a reader calls the last questions is then what we meant.
    for members in _by_set(plan).values():
        numbers = _numbers(rng, 1, 581_929, len(members), taken=plan.coco.values())
        plan.coco.update(zip(members, sorted(numbers), strict=True))
    vg = [photo for split in ("train", "val", "test") for photo in plan.splits["vg_qa"][split]]
    rng = plan.rngs["vg ids"]
    numbers = _pick(rng, [plan.coco[photo] for photo in plan.coco if photo not in set(vg)], max(2, len(vg) // 40))
    numbers += _numbers(rng, 1, 1_600, min(len(vg) // 3, 700), taken=plan.coco.values())
    numbers += _numbers(rng, 2_315_000, 2_417_997, len(vg) - len(numbers))
    plan.vg = dict(zip(vg, sorted(numbers), strict=True))
    everyone = [*plan.coco, *(p for p in vg if p not in plan.coco)]
    everyone += sorted(plan.flickr30k - set(everyone))
    rng = plan.rngs["ids"]
    plan.flickr = dict(zip(everyone, _numbers(rng, 36_979, 8_250_000_000, len(everyone)), strict=True))


def _plan_referring_expressions(plan: Plan) -> None:
    sizes, rng = plan.sizes, plan.rngs["refcoco plan"]
    pool = plan.splits["vqa"]["train"]
    count = max(3, round(sizes.heldout / EXPRESSIONS_A_REFCOCO_PHOTO))
    tests = _shuffled(rng, _mix(rng, pool, 2 * count, _in_vg(plan), 0.37))
    trained = _pick(rng, _without(pool, tests), count + max(2, round(sizes.refcoco / EXPRESSIONS_A_REFCOCO_PHOTO)))
    plan.splits["refcoco"] = plan.splits["refcoco+"] = {
        "train": trained[count:],
        "val": trained[:count],
        "testA": tests[:count],
        "testB": tests[count:],
    }
    count = max(3, round(sizes.heldout / EXPRESSIONS_A_REFCOCOG_PHOTO))
    ours = _mix(rng, trained, round(0.53 * count), _in_vg(plan), 0.41)
    ours += _mix(rng, _without(pool, [*tests, *trained]), count - len(ours), _in_vg(plan), 0.41)
    own_tests = _pick(rng, tests, round(0.66 * len(tests)))
    want = max(count + 2, round((sizes.refcocog + sizes.heldout) / EXPRESSIONS_A_REFCOCOG_PHOTO) - len(own_tests))
    rest = _shuffled(rng, own_tests + _pick(rng, _without(pool, [*ours, *tests]), want))
    plan.splits["refcocog"] = {"train": rest[count:], "val": rest[:count], "test": ours}


def _plan_guesswhat(plan: Plan) -> None:
    sizes, rng = plan.sizes, plan.rngs["guesswhat plan"]
    pool = [photo for photo in _all(plan, "coco") if len(plan.scenes[photo].things) >= 3]
    refcoco, refcocog = plan.splits["refcoco"], plan.splits["refcocog"]
    known, vg = refcoco["train"] + refcoco["val"], _in_vg(plan)
    count = max(4, round(sizes.heldout / GAMES_A_PHOTO))
    test = _mix(rng, [photo for photo in pool if photo in set(known)], count // 5, vg, 0.4)
    test += _mix(rng, _without(pool, known), count - len(test), vg, 0.4)
    # Of the referring expressions' test photos, whose pictures are as full as GuessWhat's, more than of the rest.
    tests = {*refcoco["testA"], *refcoco["testB"], *refcocog["test"]}
    want = count + max(3, round(sizes.guesswhat / TRAIN_GAMES_A_PHOTO))
    rest = _shuffled(rng, _mix(rng, _without(pool, test), want, tests, 0.62 * len(tests) / want))
    plan.splits["guesswhat"] = {"train": rest[count:], "valid": rest[:count], "test": test}


def _plan_visual7w(plan: Plan) -> None:
    sizes, rng = plan.sizes, plan.rngs["visual7w plan"]
    vg = plan.splits["vg_qa"]
    # Four candidate boxes a question.
    pool = [photo for photo in vg["train"] + vg["val"] if len(plan.scenes[photo].things) >= 4]
    test = max(3, sizes.heldout // 4)
    train, val = max(3, -(-sizes.visual7w // QUESTIONS_A_VISUAL7W_PHOTO)), test // 2 + 2
    ours = _mix(rng, pool, test, set(plan.coco), 0.5)
    rest = _shuffled(rng, _mix(rng, _without(pool, ours), val + train, set(plan.coco), 0.5))
    plan.splits["visual7w"] = {"train": rest[val:], "val": rest[:val], "test": ours}


def _plan_gqa(plan: Plan) -> None:
    sizes, rng = plan.sizes, plan.rngs["gqa plan"]
    vg = _all(plan, "vg_qa")
    photos = _pick(rng, vg, max(10, with_tenths(sizes.gqa, 1) // QUESTIONS_A_GQA_PHOTO))
    tenth, val = len(photos) // 10, len(photos) // 6
    own = _new(plan, "gqa scenes", max(6, sizes.heldout // 6))
    plan.splits["gqa"] = {
        "train": photos[tenth + val :],
        "val": photos[tenth : tenth + val],
        "last": photos[:tenth],
        "testdev": own,
    }
    plan.gqa = dict(zip(own, (f"n{n}" for n in sorted(_numbers(rng, 1_000, 578_000, len(own)))), strict=True))


def _plan_nlvr2(plan: Plan) -> None:
    sizes = plan.sizes
    plan.splits["nlvr2"] = {}
    for split, examples in (("train", sizes.nlvr2), ("dev", sizes.heldout), ("test1", sizes.heldout)):
        sets = -(-examples // (2 * NLVR2_SET))
        photos = _new(plan, "nlvr2 scenes", sets * NLVR2_SET * 2)
        if split == "test1":
            for i in range(0, min(len(photos), 24), 8):
                photos[i] = plan.splits["nlvr2"]["train"][i + 1]
        plan.splits["nlvr2"][split] = photos
        for i, photo in enumerate(photos):
            plan.nlvr2[f"{split}-{i // 8}-{i // 2 % NLVR2_SET}-img{i % 2}"] = photo


def _new(plan: Plan, part: str, count: int, cover_share: float = 0.3) -> list[int]:
    start = len(plan.scenes)
    plan.scenes += invent_scenes(plan.rngs[part], max(count, 0), cover_share)
    return list(range(start, len(plan.scenes)))


def _all(plan: Plan, dataset: str) -> list[int]:
    return sorted(photo for photos in plan.splits[dataset].values() for photo in photos)


def _in_vg(plan: Plan) -> set[int]:
    return {*plan.splits["vg_qa"]["train"], *plan.splits["vg_qa"]["val"]}


def _by_set(plan: Plan) -> dict[str, list[int]]:
    sets: dict[str, list[int]] = {}
    for photo, name in plan.coco_set.items():
        sets.setdefault(name, []).append(photo)
    return sets


def _numbers(rng: np.random.Generator, low: int, high: int, count: int, taken: Iterable[int] = ()) -> list[int]:
    """Return ``count`` different numbers from low to high that are not taken, in random order."""
    numbers = dict.fromkeys(taken)
    before = len(numbers)
    while len(numbers) < before + count:
        numbers.setdefault(int(rng.integers(low, high + 1)))
    return list(numbers)[before:]


def _shuffled(rng: np.random.Generator, items: Sequence[int]) -> list[int]:
    return [items[i] for i in rng.permutation(len(items))]


def _without(items: Sequence[int], others: Iterable[int]) -> list[int]:
    left_out = set(others)
    return [item for item in items if item not in left_out]


def _mix(rng: np.random.Generator, items: Sequence[int], count: int, special: set[int], share: float) -> list[int]:
    """Return ``count`` of the items, this share of them special."""
    inside = _pick(rng, [item for item in items if item in special], round(share * count))
    return inside + _pick(rng, _without(items, special), count - len(inside))


def _pick(rng: np.random.Generator, items: Sequence[int], count: int) -> list[int]:
    return _shuffled(rng, items)[: max(count, 0)]
