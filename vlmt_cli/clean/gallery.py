"""A page on which a person judges pairs of images that may be the same.

One HTML file that needs nothing else: thumbnails are inside it, nothing is loaded
from anywhere, and its content security policy forbids it to. It writes a file of verdicts
(``verdicts.read_verdicts``): what was judged before, as it stands, and the new lines.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vlmt_cli.base.files import write_text
from vlmt_cli.base.images import data_uri, open_image
from vlmt_cli.base.page import html_page
from vlmt_cli.clean.verdicts import NONE, Verdicts, without

_THUMBNAIL = 360  # pixels, the longer side


def write_gallery(
    path: Path,
    pairs: pa.Table,
    verdicts: Verdicts = NONE,
    most: int = 200,
    pictures: Mapping[str, bytes] | None = None,
    again: str = "vlmt clean --verdicts verdicts.txt --replace",
) -> None:
    """Write the page of borderline pairs, then of perceptual pairs that are taken as the same image.

    Args:
        path: the HTML file to write.
        pairs: a table of ``near_duplicates.PAIRS``, and perhaps ``cosine`` of the embeddings of those without a
            distance; pairs by pixels leave nothing to judge and are only counted.
        verdicts: pairs already judged: left out, and kept in the file that the page writes.
        most: how many pairs each section shows, the most alike first; the page says how
            many there are. A pair takes about 50 kB.
        pictures: image files by their path in ``pairs``, where there is no such file.
        again: the command that takes the verdicts, without its other arguments.

    Raises:
        VlmtError: the page cannot be written.
    """
    pairs = without(pairs, verdicts.same | verdicts.different)
    identical = len(pairs.filter(pc.field("how") == "pixels"))
    sections = "".join(_section(pairs, pictures or {}, how, most, title, lead) for how, title, lead in _SECTIONS)
    # A script element ends at the first </, whatever stands around it.
    given = json.dumps(verdicts.text).replace("<", "\\u003c")
    judged = f"{len(verdicts.same) + len(verdicts.different):,}"
    body = _BODY.replace("{identical}", f"{identical:,}").replace("{judged}", judged).replace("{given}", given)
    body = body.replace("{sections}", sections).replace("{again}", escape(again))
    write_text(path, html_page("Near-duplicate images", body, _STYLE, scripts=True))


_SECTIONS = (
    (
        ("borderline",),
        "To judge",
        "These look alike, but not enough to be taken as one image. Where nearly all of them are one, "
        "change the distance or the cosine up to which images are the same.",
    ),
    (("perceptual", "embedding"), "Taken as the same image", "Only the pairs that are wrong need a verdict here."),
)


def _section(
    pairs: pa.Table, pictures: Mapping[str, bytes], how: Sequence[str], most: int, title: str, lead: str
) -> str:
    order = [(name, "ascending") for name in ("distance", "image_a", "image_b", "path_a", "path_b")]
    if "cosine" in pairs.schema.names:
        order.insert(1, ("cosine", "descending"))
    chosen = pairs.filter(pc.field("how").isin(how)).sort_by(order)
    count = len(chosen)
    notice = ""
    if count > most:
        notice = (
            f'<p class="notice">Shown are the {most:,} most alike of {count:,} pairs. '
            "Save their verdicts and run the command again with them to see the others.</p>"
        )
    cards = "".join(_card(pictures, **pair) for pair in chosen.slice(0, most).to_pylist())
    return (
        f'<section><h2>{title} <span class="count">{count:,}</span></h2>'
        f"<p>{lead if count else 'None.'}</p>{notice}<div class=cards>{cards}</div></section>"
    )


def _card(
    pictures: Mapping[str, bytes],
    image_a: str,
    image_b: str,
    path_a: str,
    path_b: str,
    distance: int | None,
    how: str,
    cosine: float | None = None,
) -> str:
    line = escape(f"{image_a} {image_b}")
    buttons = "".join(
        f'<button type=button class=verdict aria-pressed=false data-pair="{line}" value="{word} {line}">'
        f"{label}</button>"
        for word, label in (("same", "same image"), ("different", "different images"))
    )
    alike = f"cosine <b>{cosine:.2f}</b>" if distance is None else f"<b>{distance}</b> of 256 bits differ"
    figures = _figure(image_a, path_a, pictures) + _figure(image_b, path_b, pictures)
    return (
        f'<article class="{escape(how)}"><div class=two>{figures}</div>'
        f"<footer><span class=distance>{alike}</span><code>{line}</code>"
        f"<span class=verdicts>{buttons}</span></footer></article>"
    )


def _figure(image: str, path: str, pictures: Mapping[str, bytes]) -> str:
    name, short = escape(image), "/".join(Path(path).parts[-2:])
    try:
        picture = open_image(pictures.get(path, path))
    except Exception as error:  # hashed before, but files can go; the pair is listed all the same
        shown, size = '<div class="missing">cannot be shown</div>', escape(type(error).__name__)
    else:
        size = f"{picture.width} &times; {picture.height}"
        shown = f'<img loading=lazy alt="{name}" src="{data_uri(picture, _THUMBNAIL)}">'
    return (
        f"<figure>{shown}<figcaption><b>{name}</b> <span>{size}</span><br>"
        f'<span class=path title="{escape(path)}">{escape(short)}</span></figcaption></figure>'
    )


_STYLE = """.notice { background: var(--warn); color: var(--ink); padding: .6rem .9rem; border-radius: 8px;
  max-width: none }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)) }
article { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: .8rem }
article:has([aria-pressed=true]) { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent) }
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
code, textarea { background: var(--well); color: inherit; border-radius: 5px }
code { padding: .1rem .4rem; user-select: all } textarea { font: .8rem/1.5 ui-monospace, monospace }
button { font: inherit; color: var(--card); background: var(--accent); border: 1px solid var(--accent);
  border-radius: 8px; padding: .5rem 1rem; cursor: pointer }
.verdicts { margin-left: auto; display: flex; gap: .4rem }
.verdict { color: var(--ink); background: none; border-color: var(--line); padding: .2rem .7rem; white-space: nowrap }
.verdict[aria-pressed=true] { color: var(--card); background: var(--accent); border-color: var(--accent) }
textarea { display: block; width: 100%; min-height: 10rem; margin-top: .8rem; padding: .6rem;
  border: 1px solid var(--line) }
"""

_BODY = """<h1>Near-duplicate images</h1>
<p>Pairs of image files under ids that do not match, the most alike first. Say of each pair whether it shows the
<em>same</em> image or <em>different</em> ones, save the verdicts at the end of the page, and run
the command again with them: <code>{again}</code>. Pairs with the same pixels leave
nothing to judge and are not shown: {identical}. Pairs judged before: {judged}.</p>
{sections}
<section><h2>Verdicts</h2>
<p><span id="count"></span> This is the whole file, with the verdicts given before: it replaces the one that you
have.</p>
<button type="button" id="save">Save as verdicts.txt</button>
<button type="button" id="copy">Copy</button>
<textarea id="file" readonly spellcheck="false" aria-label="verdicts.txt"
  placeholder="Nothing judged yet"></textarea></section>
<script type="application/json" id="given">{given}</script>
<script>
const given = JSON.parse(document.getElementById("given").textContent);
const file = document.getElementById("file");
const buttons = Array.from(document.querySelectorAll(".verdict"));
const isPressed = button => button.getAttribute("aria-pressed") === "true";
const show = () => {
  const lines = new Set(buttons.filter(isPressed).map(button => button.value));
  const before = given && !given.endsWith("\\n") ? given + "\\n" : given;
  file.value = before + Array.from(lines, line => line + "\\n").join("");
  document.getElementById("count").textContent =
    `${lines.size} of ${new Set(buttons.map(button => button.dataset.pair)).size} pairs on this page judged.`;
};
for (const button of buttons) {
  button.onclick = () => {
    const chosen = !isPressed(button);
    for (const each of buttons) {  // several files can show the same pair of images
      if (each.dataset.pair === button.dataset.pair)
        each.setAttribute("aria-pressed", String(chosen && each.value === button.value));
    }
    show();
  };
}
document.getElementById("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([file.value], {type: "text/plain"}));
  link.download = "verdicts.txt";
  link.click();
};
document.getElementById("copy").onclick = () => {
  file.select();
  document.execCommand("copy");
};
show();
</script>"""
