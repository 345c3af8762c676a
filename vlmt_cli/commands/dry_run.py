"""``vlmt train --dry-run``: what a run will take, before it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmt_cli.base.errors import UsageError

if TYPE_CHECKING:
    from vlmt_cli.commands.devices import Computing
    from vlmt_cli.commands.train import TrainingOptions
    from vlmt_cli.runs.recipe import Recipe
    from vlmt_cli.training.cost import Cost

_HOUR = 3600


def dry_run(name: str, recipe: "Recipe", options: "TrainingOptions", asked: "Computing") -> None:
    """Show what a recipe, of a name, will take on this machine, or on GPUs of a kind. Nothing is written.

    Raises:
        UsageError: options exclude each other, or no such kind is known.
        DataError: of what has to be there.
    """
    from vlmt_cli.commands.devices import check_gpus, devices_of, kind_of
    from vlmt_cli.commands.options import check_data
    from vlmt_cli.commands.show import progress

    if options.resume or options.launcher:
        raise UsageError("--dry-run estimates a whole run, on this machine", todo="leave --resume and --launcher out")
    if options.device_kind is not None:
        if options.nodes > 1 or options.processes or options.device != "auto":
            todo = "leave --nodes, --processes and --device out"
            raise UsageError("--device-kind estimates for the GPUs of one machine", todo=todo)
        _check_store(recipe.features.store, options.data)
        from vlmt_cli.training.counted import count_cost
        from vlmt_cli.training.gpus import gpu_of

        cost = count_cost(recipe, options.data, gpu_of(options.device_kind), options.gpus or 1)
    else:
        check_data(options.data)
        try:
            check_gpus(asked)
        except UsageError as error:
            todo = "estimate for GPUs of another machine with --device-kind h100, or leave it out to measure the CPU"
            raise UsageError(error.what, where=error.where, todo=todo) from error
        from vlmt_cli.evaluation.processes import Devices
        from vlmt_cli.training.job import Job
        from vlmt_cli.training.measured import measure_cost

        devices = devices_of(asked, numbered=False)
        on = Devices(kind_of(devices), len(devices), options.nodes)
        job = Job(recipe, options.data, options.run or Path("dry-run"), options.seed, options.partial, devices=on)
        with progress("Measuring") as update:
            cost = measure_cost(job, update)
    _show(cost, name, recipe.model.settled().trunk, options.as_json)


def _check_store(store: str | None, data: Path) -> None:
    """Refuse a store that is named and not there, where others are; without any store, none need be there."""
    from vlmt_cli.base.errors import DataError

    there = sorted(path.parent.name for path in (data / "features").glob("*/data.mdb"))
    if store and there and not (data / "features" / store).exists() and not Path(store).exists():
        todo = f"name one that is there with --set features.store=NAME: {', '.join(there)}"
        raise DataError(f"there is no feature store {store}", where=data / "features", todo=todo)


def _show(cost: "Cost", name: str, trunk: str, as_json: bool) -> None:
    import json

    from vlmt_cli.base.words import count, size
    from vlmt_cli.commands.show import stdout, table

    if as_json:
        print(json.dumps({"recipe": name, "trunk": trunk, **cost.plain()}, indent=2))
        return
    rows = []
    for task, work in cost.tasks.items():
        seconds = cost.seconds[task]
        each = [work.least * seconds.update[0], work.most * seconds.update[1]]
        updates = f"{work.least:,}" if work.least == work.most else f"{work.least:,} to {work.most:,}"
        cells = [
            work.source,
            f"{work.examples:,}",
            f"{work.batch_size:,}",
            updates,
            _span(seconds.update, 1, 3),
            str(work.validations),
        ]
        rows.append([task, *cells, _span(each, _HOUR, 2)])
    header = ["task", "from", "examples", "batch", "updates", "seconds per update", "validations", "hours of updates"]
    print_ = stdout().print
    title = f"{name} with {trunk}, {cost.how} for {cost.device}: {count(cost.iterations, 'iteration')}"
    print_(table(header, rows, title, left=2))
    print_(f"In all: {_spoken(cost.total)}, of them {_spoken(cost.saving)} for checkpoints")
    print_(f"Memory a device: {'; '.join(f'{name} {size(value)}' for name, value in cost.memory.items() if value)}")
    for sentence in cost.assumptions:
        print_(f"- {sentence}")


def _span(values: Any, unit: float, digits: int) -> str:
    least, most = (f"{value / unit:,.{digits}f}" for value in values)
    return least if least == most else f"{least} to {most}"


def _spoken(seconds: tuple[float, float]) -> str:
    from vlmt_cli.base.words import duration

    return " to ".join(dict.fromkeys(map(duration, seconds)))
