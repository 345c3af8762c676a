"""A model's answers about photos and texts, as ``vlmt predict --json`` writes them."""

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """One answer. ``probability`` is VQA's and GQA's of each answer by itself, else a share of all classes."""

    answer: str
    probability: float


class Answers(msgspec.Struct, frozen=True, tag="answers", tag_field="kind"):
    """What is answered to a text about a photo, or about two of them (NLVR2), the best first."""

    text: str
    photos: list[str]
    answers: list[Answer]


class Box(msgspec.Struct, frozen=True):
    """One region.

    Attributes:
        box: corners x1, y1, x2, y2 in pixels.
        probability: among all regions that could be chosen.
        score: the model's own number.
        region: its place among the detected regions, or among the candidates; from 0.
    """

    box: tuple[float, float, float, float]
    probability: float
    score: float
    region: int


class Boxes(msgspec.Struct, frozen=True, tag="boxes", tag_field="kind"):
    """The regions of a photo that a text may mean, the best first."""

    text: str
    photo: str
    boxes: list[Box]


class RankedPhoto(msgspec.Struct, frozen=True):
    """A photo, its score, and its probability among those that are ranked."""

    photo: str
    score: float
    probability: float


class RankedText(msgspec.Struct, frozen=True):
    """A text, its score, and its probability among those that are ranked."""

    text: str
    score: float
    probability: float


class Photos(msgspec.Struct, frozen=True, tag="photos", tag_field="kind"):
    """Photos by how well a text describes them, the best first."""

    text: str
    photos: list[RankedPhoto]


class Texts(msgspec.Struct, frozen=True, tag="texts", tag_field="kind"):
    """Texts by how well they describe a photo, the best first."""

    photo: str
    texts: list[RankedText]


Prediction = Answers | Boxes | Photos | Texts


def photos_of(prediction: Prediction) -> list[str]:
    """Return the names of the photos that something is said of."""
    match prediction:
        case Answers():
            return prediction.photos
        case Photos():
            return [each.photo for each in prediction.photos]
        case _:
            return [prediction.photo]
