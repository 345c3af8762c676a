"""``vlmt analyze``: runs to understanding."""

import typer

from vlmt_cli.commands import (
    analyze_ablations,
    analyze_affinity,
    analyze_attention,
    analyze_overlap,
    analyze_pairs,
    analyze_schedule,
    analyze_table2,
    analyze_trunks,
)

app = typer.Typer(help="Understand runs: which tasks help each other, schedules, ablations.", no_args_is_help=True)
app.command("overlap")(analyze_overlap.overlap)
app.command("table2")(analyze_table2.table2)
app.command("trunks")(analyze_trunks.trunks)
app.command("pairs")(analyze_pairs.pairs)
app.command("triples")(analyze_pairs.triples)
app.command("ablations")(analyze_ablations.ablations)
app.command("schedule")(analyze_schedule.schedule)
app.command("affinity")(analyze_affinity.affinity)
app.command("attention")(analyze_attention.attention)
