"""The scores of some files of predictions as an HTML page: a table with intervals, and what its figures do not say."""

from collections.abc import Sequence

from vlmt_cli.base.page import escape_html, html_page
from vlmt_cli.evaluation.answers.report import AnswerScores, header_of, rows_of

_STYLE = """.wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .25rem .9rem .25rem 0; white-space: nowrap }
th { color: var(--soft); font-weight: 500; border-bottom: 1px solid var(--line) }
th:nth-child(-n+2), td:nth-child(-n+2) { text-align: left } tr.first td { border-top: 1px solid var(--line) }
tr.first td:first-child { font-weight: 600 } li { max-width: 90ch; color: var(--soft) }
p, li { overflow-wrap: anywhere }
"""


def page_of(reports: Sequence[AnswerScores], names: Sequence[str], said: Sequence[Sequence[str]]) -> str:
    """Make the page.

    Args:
        reports: of M files.
        names: what the files are called.
        said: of each file, in sentences, how it was read and joined and what its figures do not say.
    """
    head = "".join(f"<th>{escape_html(name)}</th>" for name in header_of(reports))
    rows = "".join(_row(row) for row in rows_of(reports, names))
    table = (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>' if rows else ""
    )
    notes = "".join(
        f"<h2>{escape_html(name)}</h2><ul>{''.join(f'<li>{escape_html(line)}</li>' for line in lines)}</ul>"
        for name, lines in zip(names, said, strict=True)
    )
    title = f"{reports[0].benchmark}, in %"
    lead = f"<p>The rows of {escape_html(reports[0].benchmark)} are from {escape_html(reports[0].rows_from)}.</p>"
    return html_page(title, f"<h1>{escape_html(title)}</h1>{lead}{table}{notes}", _STYLE)


def _row(cells: Sequence[str]) -> str:
    begins = ' class="first"' if cells[0] else ""
    return f"<tr{begins}>{''.join(f'<td>{escape_html(cell)}</td>' for cell in cells)}</tr>"
