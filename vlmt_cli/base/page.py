"""The shell of every HTML page: one file that loads nothing, as its content security policy has it.

Pages share colours, which follow the reader's light or dark setting, fonts and margins; each adds its own style.
"""

import re
from html import escape

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_LIGHT = """:root { --page: #f6f6f4; --card: #fff; --ink: #1d1d1f; --soft: #6b6b70; --line: #dedede; --well: #ececea;
  --accent: #0a63c9; --pale: #a9c6ea; --warn: #fff3d6; --mark: #ffe9a8; --yes: #1c7c3c; --no: #c4302b }
"""
_DARK = """@media (prefers-color-scheme: dark) {
  :root { --page: #161618; --card: #212124; --ink: #ececee; --soft: #a0a0a8;
  --line: #38383d; --well: #2b2b2f; --accent: #6cb1ff; --pale: #3d5a7d; --warn: #40351a; --mark: #5c4a12;
  --yes: #6fd08c; --no: #ff8a80 } }
"""
_STYLE = """* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1500px; padding: 2rem 1.5rem 4rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
@media (max-width: 700px) { body { padding: 1.2rem 1rem 3rem } }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; overflow-wrap: anywhere } h2 { font-size: 1.2rem; margin: 2.5rem 0 .2rem }
p { margin: .2rem 0 1rem; color: var(--soft); max-width: 75ch }
.count { font-weight: 500; font-size: .85rem; color: var(--soft); background: var(--well); border-radius: 1em;
  padding: .15em .7em; vertical-align: .1em }
.cards { display: grid; gap: 1rem }
code { font: .8rem/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
"""
_SCRIPTS = "; script-src 'unsafe-inline'"


def html_page(title: str, body: str, style: str = "", *, scripts: bool = False, dark: bool = True) -> str:
    """Make a page.

    Args:
        title: as plain text.
        body: HTML.
        style: CSS that follows the shared style.
        scripts: whether the page's own scripts may run.
        dark: whether the page has dark colours, too.
    """
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'" + _SCRIPTS * scripts
    scheme = '<meta name="color-scheme" content="light dark">\n' if dark else ""
    css = _LIGHT + _DARK * dark + _STYLE + style
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n{scheme}'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape_html(title)}</title>\n<style>\n{css}</style>\n{body}\n</html>\n"
    )
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", page)  # they would steer a terminal that shows the file


def escape_html(plain: str) -> str:
    """Escape a text, whatever it holds."""
    return escape(plain).encode(errors="replace").decode()
