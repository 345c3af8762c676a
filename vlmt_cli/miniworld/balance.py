"""Draw questions whose answers cannot be guessed.

A question is put to several images at once, one for each of its plausible answers: then every
answer is equally frequent for that very text, and who knows the text alone knows nothing. Where
the images of a small held-out set do not have all the answers, the answers are evened out over
all questions of one kind instead: what a blind guesser learnt on the training set still says
nothing about them.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlmt_cli.miniworld.scene import Scene, Thing


@dataclass(frozen=True)
class Kind:
    """A kind of question: its plausible answers, and the ways to word it, with ``{0}`` for the slots."""

    answers: tuple[str, ...]
    wordings: tuple[str, ...]


@dataclass(frozen=True)
class Fact:
    """A question that can be put to one scene, with its answer there."""

    kind: str
    slots: tuple[str, ...]
    answer: str
    things: tuple[Thing, ...] = ()
    """The things that the answer depends on."""


@dataclass(frozen=True)
class Asked:
    """A question put to a photo."""

    photo: int
    text: str
    fact: Fact


Facts = Callable[[Scene], list[Fact]]

FEW = 60
"""With fewer photos, answers may be evened out by kind."""

TRIES = 40


def ask(
    rng: np.random.Generator,
    kinds: Mapping[str, Kind],
    shares: Mapping[str, float],
    facts: Facts,
    scenes: Sequence[Scene],
    photos: Sequence[int],
    count: int,
) -> list[Asked]:
    """Return ``count`` questions about ``photos``, no text twice for one photo, in random order.

    Args:
        shares: kind to its part of all questions.
        photos: indices into ``scenes``.

    Raises:
        ValueError: there is not so much to ask about these photos.
    """
    asker = _Asker(rng, kinds, shares)
    for photo in photos:
        for fact in facts(scenes[photo]):
            if fact.kind in shares:
                asker.table[fact.kind][fact.slots][fact.answer].append((photo, fact))
    ways: list[Callable[[str], bool]] = [asker.put_one_text]
    if len(photos) < FEW:
        # The rarest answer is for a handful of images, which lack some answers altogether.
        ways = [lambda kind: asker.put_one_text(kind) or asker.put_several_texts(kind), asker.put_rarest_answer]
    for put in ways:
        open_kinds = list(shares)
        while len(asker.asked) < count and open_kinds:
            kind = max(open_kinds, key=lambda kind: shares[kind] * (len(asker.asked) + 1) - asker.done[kind])
            if not put(kind):
                open_kinds.remove(kind)
    if len(asker.asked) < count:
        raise ValueError(f"{len(photos)} images are too few for {count} questions; make the world larger")
    asked = asker.asked[:count]
    return [asked[i] for i in rng.permutation(count)]


class _Asker:
    """The questions asked so far, and three ways to ask more of one kind; each says whether it could."""

    def __init__(self, rng: np.random.Generator, kinds: Mapping[str, Kind], shares: Mapping[str, float]) -> None:
        self.rng, self.kinds = rng, kinds
        self.table: dict[str, dict[tuple[str, ...], dict[str, list[tuple[int, Fact]]]]] = {
            kind: defaultdict(lambda: defaultdict(list)) for kind in shares
        }
        """Kind, slots, answer: the photos where that is the answer."""
        self.asked: list[Asked] = []
        self.done: Counter[str] = Counter()
        self._given: Counter[tuple[str, str]] = Counter()
        self._load: Counter[int] = Counter()
        self._used: set[tuple[str, int]] = set()

    def put_one_text(self, kind: str) -> bool:
        """Put one text to several photos, one for each answer."""
        answers = self.kinds[kind].answers
        able = [slots for slots, facts in self.table[kind].items() if len(facts) == len(answers)]
        for i in self.rng.permutation(len(able))[:TRIES]:
            text = self._word(kind, able[i])
            chosen = [self._choose(text, self.table[kind][able[i]][answer]) for answer in answers]
            if all(chosen):
                for pair in chosen:
                    self._put(text, pair)
                return True
        return False

    def put_several_texts(self, kind: str) -> bool:
        """Put one question for each answer, but of different texts."""
        texts = [self._put_answer(kind, answer) for answer in self.kinds[kind].answers]
        return all(texts)

    def put_rarest_answer(self, kind: str) -> bool:
        """Put one question with the answer that was given least."""
        rarest_first = sorted(self.kinds[kind].answers, key=lambda answer: self._given[kind, answer])
        return any(self._put_answer(kind, answer) for answer in rarest_first)

    def _put_answer(self, kind: str, answer: str) -> bool:
        able = [slots for slots, facts in self.table[kind].items() if answer in facts]
        for i in self.rng.permutation(len(able))[:TRIES]:
            text = self._word(kind, able[i])
            if pair := self._choose(text, self.table[kind][able[i]][answer]):
                self._put(text, pair)
                return True
        return False

    def _choose(self, text: str, candidates: list[tuple[int, Fact]]) -> tuple[int, Fact] | None:
        """Return the photo that was asked about least, of those that this text was not put to."""
        fresh = [pair for pair in candidates if (text, pair[0]) not in self._used]
        loads = [self._load[photo] for photo, _ in fresh] + self.rng.random(len(fresh))
        return fresh[int(np.argmin(loads))] if fresh else None

    def _put(self, text: str, pair: tuple[int, Fact] | None) -> None:
        assert pair is not None
        photo, fact = pair
        self.asked.append(Asked(photo, text, fact))
        self._used.add((text, photo))
        self._load[photo] += 1
        self.done[fact.kind] += 1
        self._given[fact.kind, fact.answer] += 1

    def _word(self, kind: str, slots: tuple[str, ...]) -> str:
        wordings = self.kinds[kind].wordings
        return wordings[self.rng.integers(len(wordings))].format(*slots)
