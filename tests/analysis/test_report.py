"""The report page is one file that loads nothing, and shows texts as they are."""

import re

from vlmt_cli.analysis.report import (
    Score,
    Section,
    boxed_photo,
    card,
    missing_list,
    overlap_list,
    plain_table,
    score_table,
    write_page,
)

HOSTILE = "<script>alert('x')</script> & \"so\""


def test_texts_are_shown_as_they_are(tmp_path):
    score = Score(HOSTILE, HOSTILE, 0.5, 0.4, 0.6, 0.25, HOSTILE)
    photo = boxed_photo('data:"><script>', (10, 8), {'red"><script>': [(1, 2, 3, 4)]})
    body = score_table([score]) + plain_table([HOSTILE], [[HOSTILE]])
    body += overlap_list({HOSTILE: {HOSTILE: HOSTILE}, "none of them": {}})
    body += missing_list([(HOSTILE, HOSTILE)])
    body += card([photo], HOSTILE, HOSTILE, HOSTILE, False, HOSTILE)
    write_page(tmp_path / "page.html", HOSTILE, HOSTILE, [Section(HOSTILE, HOSTILE, body)], HOSTILE)
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page and "alert(&#x27;x&#x27;)" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "width:50.0%" in page and "left:25.0%" in page
