"""An interactive page of the attention maps of one text and one image (figures 10 to 13).

One HTML file that needs nothing else: photo, maps and program are inside it, nothing is loaded from anywhere, and its
content security policy forbids it to. The names of tokens and regions, the text and the photo are data to the page,
never markup.
"""

import base64
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlmt_cli.analysis.attention.maps import Attention, Floats, is_special, text_words
from vlmt_cli.base.files import write_text
from vlmt_cli.base.images import data_uri
from vlmt_cli.base.page import html_page

_SCRIPTS = ("attention_data.js", "attention_photo.js", "attention_maps.js", "attention_choice.js")
_LONGEST = 1000  # pixels of the photo's longer side


def write_attention_page(
    path: Path, attention: Attention, photo: Image.Image | None, *, text: str, facts: Sequence[str] = ()
) -> None:
    """Write the page; the arguments are ``attention_page``'s. Raises a VlmtError when it cannot be written."""
    write_text(path, attention_page(attention, photo, text=text, facts=facts))


def attention_page(attention: Attention, photo: Image.Image | None, *, text: str, facts: Sequence[str] = ()) -> str:
    """Make the page: 1.1 MB for 24 tokens and 101 regions in the base model, 8.7 MB for a dialogue of 201 tokens.

    Args:
        attention: the maps.
        photo: of any size; None where there are only features: boxes are then drawn on an empty ground.
        text: as it was typed.
        facts: what else to say above the photo, a few words each: the task, the model, its answer.
    """
    data = {
        "text": text,
        "facts": list(facts),
        "tokens": attention.tokens,
        "special": [is_special(token) for token in attention.tokens],
        "words": [{"text": word.text, "places": word.places} for word in text_words(attention.tokens)],
        "regions": attention.regions,
        "boxes": np.round(attention.boxes_V4.astype(float), 1).tolist(),
        "size": [attention.width, attention.height],
        "referred": attention.referred,
        "single": attention.single_stream is not None,
        "photo": None if photo is None else data_uri(photo, _LONGEST),
        "maps": [_packed(kind, maps) for kind, maps in attention.maps.items() if len(maps)],
    }
    parts = {"data": _harmless_json(data), "script": "\n".join(map(_file, _SCRIPTS))}
    # In one pass, so that what is put in is never searched for places to fill.
    body = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _file("attention.html"))
    return html_page(f"Attention: {text}", body, _file("attention.css"), scripts=True, dark=False)


def _packed(kind: str, maps: Floats) -> dict[str, Any]:
    """Keep 255 times the square root of each share in a byte: shares of one in a hundred keep two digits."""
    quantised = np.round(255 * np.sqrt(maps)).astype(np.uint8)
    return {
        "kind": kind,
        "layers": maps.shape[0],
        "heads": maps.shape[1],
        "bytes": base64.b64encode(quantised.tobytes()).decode(),
    }


def _harmless_json(data: Any) -> str:
    """Return JSON that ends no script element and opens no comment."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _file(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
