"""A page on which a person judges pairs of images that may be the same.

One HTML file that needs nothing else: thumbnails are inside it, nothing is loaded
from anywhere, and its content security policy forbids it to. What is judged to be
different is collected as lines for the allow-list (``near_duplicates.read_allow_list``).
"""

from collections.abc import Iterable
from html import escape
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.files import write_text
from vlmt_cli.base.images import data_uri, open_image
from vlmt_cli.clean.near_duplicates import without

_THUMBNAIL = 360  # pixels, the longer side


def write_gallery(path: Path, pairs: pa.Table, allowed: Iterable[frozenset[str]] = (), most: int = 200) -> None:
    """Write the page of borderline pairs, then of perceptual pairs that are taken as the same image.

    Args:
        path: the HTML file to write.
        pairs: a table of ``near_duplicates.PAIRS``; pairs by pixels leave nothing to judge
            and are only counted.
        allowed: pairs already judged to be different, from ``read_allow_list``: left out.
        most: how many pairs each section shows, the most alike first; the page says how
            many there are. A pair takes about 50 kB.

    Raises:
        VlmtError: the page cannot be written.
    """
    pairs = without(pairs, allowed)
    identical = len(pairs.filter(pc.field("how") == "pixels"))
    sections = "".join(_section(pairs, how, most, title, lead) for how, title, lead in _SECTIONS)
    write_text(path, _PAGE.replace("{identical}", f"{identical:,}").replace("{sections}", sections))


_SECTIONS = (
    (
        "borderline",
        "To judge",
        "These look alike, but not enough to be taken as one image. Where nearly all of them are one, "
        "raise the distance up to which images are the same.",
    ),
    ("perceptual", "Taken as the same image", "Only the pairs that are wrong need a tick here."),
)


def _section(pairs: pa.Table, how: str, most: int, title: str, lead: str) -> str:
    order = [(name, "ascending") for name in ("distance", "image_a", "image_b", "path_a", "path_b")]
    chosen = pairs.filter(pc.field("how") == how).sort_by(order)
    count = len(chosen)
    notice = ""
    if count > most:
        notice = (
            f'<p class="notice">Shown are the {most:,} most alike of {count:,} pairs. '
            "Put those that differ on the allow-list and run the command again to see others.</p>"
        )
    cards = "".join(_card(**pair) for pair in chosen.slice(0, most).to_pylist())
    return (
        f'<section><h2>{title} <span class="count">{count:,}</span></h2>'
        f"<p>{lead if count else 'None.'}</p>{notice}<div class=cards>{cards}</div></section>"
    )


def _card(image_a: str, image_b: str, path_a: str, path_b: str, distance: int, how: str) -> str:
    line = escape(f"{image_a} {image_b}")
    return (
        f'<article class="{escape(how)}"><div class=two>{_figure(image_a, path_a)}{_figure(image_b, path_b)}</div>'
        f"<footer><span class=distance><b>{distance}</b> of 256 bits differ</span><code>{line}</code>"
        f'<label><input type=checkbox value="{line}"> different images</label></footer></article>'
    )


def _figure(image: str, path: str) -> str:
    name, short = escape(image), "/".join(Path(path).parts[-2:])
    try:
        picture = open_image(path)
    except Exception as error:  # hashed before, but files can go; the pair is listed all the same
        shown, size = '<div class="missing">cannot be shown</div>', escape(type(error).__name__)
    else:
        size = f"{picture.width} &times; {picture.height}"
        shown = f'<img loading=lazy alt="{name}" src="{data_uri(picture, _THUMBNAIL)}">'
    return (
        f"<figure>{shown}<figcaption><b>{name}</b> <span>{size}</span><br>"
        f'<span class=path title="{escape(path)}">{escape(short)}</span></figcaption></figure>'
    )


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Near-duplicate images</title>
<style>
:root { --page: #f6f6f4; --card: #fff; --ink: #1d1d1f; --soft: #6b6b70; --line: #dedede; --accent: #0a63c9;
  --warn: #fff3d6; --well: #ececea }
@media (prefers-color-scheme: dark) { :root { --page: #161618; --card: #212124; --ink: #ececee; --soft: #a0a0a8;
  --line: #38383d; --accent: #6cb1ff; --warn: #40351a; --well: #2b2b2f } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1500px; padding: 2rem 1.5rem 4rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .2rem }
p { margin: .2rem 0 1rem; color: var(--soft); max-width: 75ch }
.count { font-weight: 500; font-size: .85rem; color: var(--soft); background: var(--well); border-radius: 1em;
  padding: .15em .7em; vertical-align: .1em }
.notice { background: var(--warn); color: var(--ink); padding: .6rem .9rem; border-radius: 8px; max-width: none }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)) }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .8rem }
article:has(:checked) { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent) }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: .6rem }
figure { margin: 0; min-width: 0 }
img, .missing { display: block; width: 100%; height: 200px; object-fit: contain; background: var(--well);
  border-radius: 6px }
.missing { display: grid; place-items: center; color: var(--soft) }
figcaption { font-size: .8rem; margin-top: .4rem; overflow-wrap: anywhere }
figcaption span { color: var(--soft) }
.path { display: block; white-space: nowrap; overflow: hidden; text-overflow: ellipsis }
footer { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; margin-top: .7rem;
  padding-top: .6rem; border-top: 1px solid var(--line); font-size: .85rem }
.distance { color: var(--soft) } .distance b { color: var(--ink) }
code, textarea { font: .8rem/1.5 ui-monospace, monospace; background: var(--well); color: inherit;
  border-radius: 5px }
code { padding: .1rem .4rem; user-select: all; overflow-wrap: anywhere }
label { margin-left: auto; cursor: pointer; white-space: nowrap }
button { font: inherit; color: var(--card); background: var(--accent); border: 0; border-radius: 8px;
  padding: .5rem 1rem; cursor: pointer }
textarea { display: block; width: 100%; min-height: 8rem; margin-top: .8rem; padding: .6rem;
  border: 1px solid var(--line) }
</style>
<h1>Near-duplicate images</h1>
<p>Pairs of image files under ids that do not match, the most alike first. Tick the pairs that show
<em>different</em> images, collect them at the end of the page, and save them as the allow-list: they are then never
taken as the same image. Pairs with the same pixels leave nothing to judge and are
not shown: {identical}.</p>
{sections}
<section><h2>The allow-list</h2>
<p>Add these lines to the file that you give as the allow-list, one pair a line.</p>
<button type="button" id="collect">Collect the ticked pairs</button>
<textarea id="list" readonly spellcheck="false" aria-label="lines for the allow-list"
  placeholder="Nothing collected yet"></textarea></section>
<script>
document.getElementById("collect").onclick = () => {
  const list = document.getElementById("list");
  const lines = Array.from(document.querySelectorAll("input:checked"), box => box.value);
  list.value = Array.from(new Set(lines), line => line + "\\n").join("");
  list.focus();
  list.select();
};
</script>
</html>
"""
