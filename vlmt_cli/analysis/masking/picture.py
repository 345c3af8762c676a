"""What pre-training hides, as a picture: photos with their masked regions, captions with their masked words.

Here a word is a word, not a piece of one, and random words are of the captions shown: which tokenizer there is
changes nothing about how much is masked.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageColor, ImageDraw
from torch.nn.utils.rnn import pad_sequence

from vlmt_cli.analysis.masking.card import (
    CARD,
    INK,
    NEIGHBOUR,
    NEIGHBOUR_TINT,
    SAMPLED,
    SAMPLED_TINT,
    SMALL,
    VISIBLE,
    WIDTH,
    Example,
    Word,
    draw_card,
    font,
)
from vlmt_cli.base.files import atomic
from vlmt_cli.training.masking import NO_WORD, OVERLAP, SHARE, MaskedRegions, mask_regions, mask_words

MASK = "[MASK]"
_RANDOM, _KEPT = "#a8488f", "#00805f"  # words read as another, and as they are
_PAGE, _EDGE = "#f4f3f0", "#dddad3"
_COLUMNS = 3
_MARGIN, _GAP, _TITLE, _LEGEND_LINE = 28, 20, 24, 26  # pixels


class Shares(NamedTuple):
    """What was masked in a picture, as counts.

    Attributes:
        regions, words: all of them.
        sampled_regions, sampled_words: those that the loss asks for.
        kept_regions: those sampled ones that keep their feature.
        neighbours: other regions that are zeroed.
    """

    regions: int
    sampled_regions: int
    kept_regions: int
    neighbours: int
    words: int
    sampled_words: int


def draw_masking(
    examples: Sequence[Example],
    title: str,
    path: Path,
    seed: int = 0,
    share: float = SHARE,
    overlap: float = OVERLAP,
    neighbours: bool = True,
) -> Shares:
    """Mask some examples as pre-training does, and draw them into a PNG.

    Args:
        examples: what to draw, one or more.
        title: its first line.
        path: the PNG.
        seed: of what is masked.
        share, overlap, neighbours: as in ``mask_regions``.

    Raises:
        VlmtError: the picture cannot be written.
    """
    generator = torch.Generator().manual_seed(seed)
    boxes = [torch.tensor(example.regions.boxes) for example in examples]
    mask = pad_sequence([torch.ones(len(box), dtype=torch.bool) for box in boxes], batch_first=True)
    masked = mask_regions(pad_sequence(boxes, batch_first=True), mask, generator, share, overlap, neighbours)
    captions = _mask_captions([words_of(example.text) for example in examples], generator, share)
    shares = Shares(
        int(mask.sum()),
        int(masked.sampled_BV.sum()),
        int((masked.sampled_BV & ~masked.zeroed_BV).sum()),
        int((masked.zeroed_BV & ~masked.sampled_BV).sum()),
        sum(map(len, captions)),
        sum(word.colour is not None for caption in captions for word in caption),
    )
    cards = [
        draw_card(example, MaskedRegions(*(kind[i, : len(boxes[i])] for kind in masked)), captions[i])
        for i, example in enumerate(examples)
    ]
    page = _page(title, shares, cards, overlap)
    with atomic(path) as temporary:
        page.save(temporary, format="PNG")
    return shares


def words_of(text: str) -> list[str]:
    """Cut a text into words and marks."""
    return re.findall(r"\w+(?:['\u2019]\w+)*|[^\w\s]", text)


def _mask_captions(captions: Sequence[Sequence[str]], generator: torch.Generator, share: float) -> list[list[Word]]:
    vocabulary = [MASK, *sorted({word for caption in captions for word in caption})]
    number = {word: i for i, word in enumerate(vocabulary)}
    result = []
    for caption in captions:
        tokens = torch.tensor([[number[word] for word in caption]], dtype=torch.int64)
        read, labels = mask_words(tokens, torch.ones_like(tokens), 0, len(vocabulary), generator, share)
        rows = zip(caption, read[0].tolist(), labels[0].tolist(), strict=True)
        result.append([Word(was) if label == NO_WORD else _sampled(vocabulary[token], was)
                       for was, token, label in rows])  # fmt: skip
    return result


def _sampled(read: str, was: str) -> Word:
    if read == was:
        return Word(read, "kept", _KEPT)
    return Word(read, was, SAMPLED if read == MASK else _RANDOM)


def _page(title: str, shares: Shares, cards: Sequence[Image.Image], overlap: float) -> Image.Image:
    """Put cards in rows below a title and a legend."""
    columns = min(_COLUMNS, len(cards))
    rows = [cards[i : i + columns] for i in range(0, len(cards), columns)]
    heights = [max(card.height for card in row) for row in rows]
    across = WIDTH + _GAP
    legend = _legend(shares, overlap, columns * across - _GAP)
    y = _MARGIN + 40 + legend.height + 12
    page = Image.new("RGB", (legend.width + 2 * _MARGIN, y + sum(heights) + _GAP * len(rows) + 8), _PAGE)
    draw = ImageDraw.Draw(page)
    too_long = max(1.0, font(_TITLE, bold=True).getlength(title) / legend.width)
    draw.text((_MARGIN, _MARGIN + 24), title, INK, font(int(_TITLE / too_long), bold=True), anchor="ls")
    page.paste(legend, (_MARGIN, _MARGIN + 40))
    for row, height in zip(rows, heights, strict=True):
        for column, card in enumerate(row):
            x = _MARGIN + column * across
            draw.rectangle((x - 1, y - 1, x + card.width, y + height), CARD, _EDGE)
            page.paste(card, (x, y))
        y += height + _GAP
    return page


def _legend(shares: Shares, overlap: float, width: int) -> Image.Image:
    """Say what the colours mean and how much of each there is, in as many lines as the width asks for."""
    sampled, kept, neighbours, visible = (
        f"{count / shares.regions:.0%}"
        for count in (
            shares.sampled_regions - shares.kept_regions,
            shares.kept_regions,
            shares.neighbours,
            shares.regions - shares.sampled_regions - shares.neighbours,
        )
    )
    # What is written on the swatch, its colour, how much it is tinted, and what it means.
    regions = [
        (None, INK, 0, f"{shares.regions:,} regions:"),
        ("", SAMPLED, SAMPLED_TINT, f"{sampled} sampled, zeroed, to be recognised"),
        ("", SAMPLED, 0, f"{kept} sampled, feature kept"),
        ("", NEIGHBOUR, NEIGHBOUR_TINT, f"{neighbours} neighbours, IoU > {overlap:g}, zeroed"),
        ("", VISIBLE, 0, f"{visible} visible, pooled into IMG"),
    ]
    words = [
        (None, INK, 0, f"{shares.words:,} words, {shares.sampled_words / max(shares.words, 1):.0%} sampled:"),
        (MASK, SAMPLED, 0, "hidden"),
        ("word", _RANDOM, 0, "read as another word"),
        ("word", _KEPT, 0, "read as it is"),
    ]
    small = font(SMALL)
    legend = Image.new("RGB", (width, 10 * _LEGEND_LINE), _PAGE)
    draw = ImageDraw.Draw(legend, "RGBA")
    y = -_LEGEND_LINE
    for row in (regions, words):
        x, y = 0.0, y + _LEGEND_LINE
        for swatch, colour, tint, text in row:
            chip = 0.0 if swatch is None else 32.0 if not swatch else small.getlength(swatch) + 20
            length = chip + small.getlength(text)
            if x and x + length > width:
                x, y = 0.0, y + _LEGEND_LINE
            if swatch:
                draw.rounded_rectangle((x, y, x + chip - 8, y + 18), 4, colour)
                draw.text((x + 6, y + 1), swatch, "white", small)
            elif swatch is not None:
                line = 1 if colour == VISIBLE else 3
                draw.rectangle((x, y + 1, x + chip - 8, y + 17), (*ImageColor.getrgb(colour), tint), colour, line)
            draw.text((x + chip, y + 1), text, INK, small)
            x += length + 24
    return legend.crop((0, 0, width, y + _LEGEND_LINE))
