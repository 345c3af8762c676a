"""The shell of every HTML page."""

from vlmt_cli.base.page import html_page

HOSTILE = "<script>alert('x')</script> \ud800"


def test_a_page_shows_its_title_as_text_and_forbids_what_it_does_not_need():
    still, moving = html_page(HOSTILE, "<p>body</p>", "p { margin: 0 }"), html_page("a", "", scripts=True, dark=False)
    assert "<script" not in still and "&lt;script&gt;" in still and still.encode()
    assert still.index("font: 15px") < still.index("p { margin: 0 }") < still.index("<p>body</p>")
    assert "script-src" not in still and "script-src 'unsafe-inline'" in moving
    assert "prefers-color-scheme" in still and "prefers-color-scheme" not in moving
    assert "\x1b" not in html_page("a\x1b[31m", "<p>\x1b\x9b31m</p>") and "\n" in still
    for page in (still, moving):
        assert "default-src 'none'" in page and "width=device-width" in page
