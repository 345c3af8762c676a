"""``vlmt demo``: the whole pipeline on a synthetic world."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vlmt_cli.analysis.report import Score
    from vlmt_cli.commands.demo_steps import Steps

RUN = "all-tasks"
PAGE = "report.html"
CONSISTENT = ("vqa", "refcoco", "refcoco+")
"""The tasks of MT-VGC, which are trained alone, and fine-tuned, as well."""
ALONE, SWEEP, ABLATION = 80, 40, 25  # iterations


BENCHMARK = "refcocog:test"
ANSWERS = "answers"
"""The folder with the scores of the run's answers to it, scored as another model's."""
SMALLEST = 0.2
"""Below it cleaning leaves some datasets without a validation set."""


def demo(
    folder: Annotated[Path, typer.Option(help="Folder for the world and all that is made of it.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Random seed of the world.")] = 0,
    scale: Annotated[float, typer.Option(min=SMALLEST, help="Size of the world; 1 has some 28,000 examples.")] = 1.0,
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of the training of all twelve tasks.")] = 300,
    analyses: Annotated[bool, typer.Option(help="Train the models that the analyses compare.")] = True,
) -> None:
    """Generate a small synthetic world with all twelve datasets in their official formats, and run the pipeline on it.

    It ends with a report for the browser and a table of all twelve tasks. When it is interrupted or killed, the same
    command resumes it.

    Examples:

      vlmt demo --folder demo

      vlmt demo --folder small --scale 0.3 --no-analyses
    """
    from vlmt_cli.base.claims import claimed
    from vlmt_cli.base.words import be, count
    from vlmt_cli.commands.demo_steps import Steps
    from vlmt_cli.commands.show import say

    if find_spec("torch") is None:  # known now, and not after half of the pipeline
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    with claimed(folder, "wait until it has ended, or name another folder with --folder"):
        steps = Steps(folder, {"seed": seed, "scale": scale, "iterations": iterations})
        if steps.done:
            say(f"Resuming {folder}: {count(len(steps.done), 'step')} {be(len(steps.done))} complete")
        _draw(steps, scale, seed)
        _prepare(steps)
        _train(steps, iterations)
        if analyses:
            _analyse(steps)
        last = f"report{'' if analyses else ' without analyses'}"
        if last in steps.done:
            say(f"All of {folder} is finished; to start anew, delete the folder or name another with --folder")
            say(f"Open {folder / PAGE}")
            return
        _report(folder, analyses)
        steps.complete(last)


def _draw(steps: "Steps", scale: float, seed: int) -> None:
    import json
    from dataclasses import asdict

    from vlmt_cli.base.errors import UsageError, VlmtError
    from vlmt_cli.commands.show import progress, say
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import MARK, write_world

    if "draw" in steps.done:
        return
    folder, sizes = steps.folder, Sizes().scaled(scale)
    mark = folder / MARK
    if mark.exists() and json.loads(mark.read_text(encoding="utf-8")) != {"seed": seed, "sizes": asdict(sizes)}:
        todo = "give the --seed and --scale that it was started with, or another --folder"
        raise UsageError("holds a world of another seed or scale", where=folder, todo=todo)
    say(f"Generating a world with the official files of all datasets in {folder}")
    try:
        with progress("Generating") as update:
            write_world(folder, sizes, seed, update)
    except ValueError as error:
        raise UsageError(str(error), where="--scale") from error
    except FileExistsError as error:
        raise UsageError(str(error), where="--folder") from error
    except OSError as error:
        raise VlmtError(f"cannot be written ({error.strerror or error})", where=folder) from error
    steps.complete("draw")


def _prepare(steps: "Steps") -> None:
    from vlmt_cli.commands.extract import extract
    from vlmt_cli.commands.pack import pack

    folder = steps.folder
    steps.do(
        "clean --datasets all,conceptual_captions --data {folder}",
        lambda: _clean(folder),
    )
    steps.do("extract --extractor pixels --data {folder}", lambda: extract(data=folder, extractor="pixels"))
    steps.do(
        "extract --extractor pixels --boxes candidates --data {folder}",
        lambda: extract(data=folder, extractor="pixels", boxes="candidates"),
    )
    steps.do(
        "pack --hard-negatives {folder}/features/pixels --data {folder}",
        lambda: pack(folder / "features" / "pixels", hard_negatives=True, data=folder),
    )


def _clean(folder: Path) -> None:
    from vlmt_cli.base.errors import UsageError
    from vlmt_cli.clean.split_folder import read_report
    from vlmt_cli.commands.clean import clean

    clean(data=folder, datasets="all,conceptual_captions")
    for split in read_report(folder / "clean").splits:
        if split.split in ("train", "val") and not split.kept:
            what = f"cleaning leaves no {split.split} examples of {split.dataset} in a world of this size"
            raise UsageError(what, where=folder, todo="give a larger --scale, and another --folder")


def _train(steps: "Steps", iterations: int) -> None:
    from vlmt_cli.commands.evaluate import evaluate
    from vlmt_cli.commands.pretrain import pretrain
    from vlmt_cli.commands.train import train

    folder = steps.folder
    first = f"training.iterations={max(1, 2 * iterations // 3)}"
    steps.train(
        f"pretrain --scale mini --set {first}",
        "pretrain",
        lambda run, resume: pretrain(data=folder, run=run, resume=resume, scale="mini", keys=[first]),
    )
    choices = {"iterations": iterations, "affinity_every": min(60, iterations)}
    keys = [f"training.{name}={value}" for name, value in choices.items()]
    words = " ".join(f"--set {key}" for key in keys)
    steps.train(
        f"train --preset {RUN} --scale mini {words}",
        RUN,
        lambda run, resume: train(recipe=RUN, data=folder, run=run, resume=resume, scale="mini", keys=keys),
    )
    run = folder / "runs" / RUN
    steps.do(f"evaluate --model {{folder}}/runs/{RUN} --data {{folder}}", lambda: evaluate(model=str(run), data=folder))


def _analyse(steps: "Steps") -> None:
    from vlmt_cli.commands.analyze_ablations import ablations
    from vlmt_cli.commands.analyze_affinity import affinity
    from vlmt_cli.commands.analyze_overlap import overlap
    from vlmt_cli.commands.analyze_pairs import triples
    from vlmt_cli.commands.analyze_schedule import schedule
    from vlmt_cli.commands.evaluate import evaluate
    from vlmt_cli.commands.train import train
    from vlmt_cli.commands.vgc import vgc

    folder = steps.folder
    runs, setting = folder / "runs", f"training.iterations={ALONE}"
    for preset in ("single-task", "all-to-single"):
        for task in CONSISTENT:
            name = f"{preset}-{task}"
            steps.train(
                f"train --preset {preset} --task {task} --scale mini --set {setting}",
                name,
                lambda run, resume, preset=preset, task=task: train(  # type: ignore[misc]
                    recipe=preset, task=task, data=folder, run=run, resume=resume, scale="mini", keys=[setting]
                ),
            )
            steps.do(
                f"evaluate --model {{folder}}/runs/{name} --data {{folder}}",
                lambda name=name: evaluate(model=str(runs / name), data=folder),  # type: ignore[misc]
            )
    sweep = [f"training.iterations={SWEEP}"]
    steps.do(
        f"analyze triples --scale mini --data {{folder}} --runs {{folder}}/runs --yes --set {sweep[0]}",
        lambda: triples(scale="mini", data=folder, runs=runs, yes=True, parallel=2, keys=sweep),
    )
    only, ablation = "all-tasks,no-task-token", [f"training.iterations={ABLATION}"]
    steps.do(
        f"analyze ablations --only {only} --yes --scale mini --data {{folder}} --runs {{folder}}/runs"
        f" --sweep ablations --set {ablation[0]}",
        lambda: ablations(only=only, yes=True, scale="mini", data=folder, runs=runs, parallel=2, keys=ablation),
    )
    steps.do(
        "analyze overlap --datasets all,conceptual_captions --data {folder}",
        lambda: overlap(datasets="all,conceptual_captions", data=folder),
    )
    steps.do(f"analyze affinity {{folder}}/runs/{RUN} --runs {{folder}}/runs", lambda: affinity(runs / RUN, runs=runs))
    steps.do(f"analyze schedule {{folder}}/runs/{RUN} --runs {{folder}}/runs", lambda: schedule(runs / RUN, runs=runs))
    _score_as_another_models(steps)
    models = [("AT", RUN)]
    for name, preset in (("ST", "single-task"), ("AT->ST", "all-to-single")):
        models += [(f"{name}:{task}", f"{preset}-{task}") for task in CONSISTENT]
    words = " ".join(f"--model '{name}={{folder}}/runs/{run}'" for name, run in models)
    steps.do(
        f"vgc --tagger lexicon --data {{folder}} {words}",
        lambda: vgc(
            model=[f"{name}={runs / run}" for name, run in models], tagger="lexicon", data=folder, to=runs / "vgc"
        ),
    )


def _score_as_another_models(steps: "Steps") -> None:
    """Score the run's predictions as those of a model of which nothing but answers is at hand, and a mixture."""
    from vlmt_cli.commands.evaluate import evaluate

    folder = steps.folder
    answers, mixture = f"runs/{RUN}/predictions/{BENCHMARK.replace(':', '-')}.parquet", "mixture.jsonl"

    def score() -> None:
        write_mixture(folder / mixture, folder / "examples" / "vg_qa" / "train.parquet")
        evaluate(
            predictions=[folder / answers],
            benchmark=BENCHMARK,
            boxes="pixels",
            trained_on=str(folder / mixture),
            to=folder / ANSWERS,
            data=folder,
        )

    steps.do(
        f"evaluate --predictions {{folder}}/{answers} --benchmark {BENCHMARK} --boxes pixels"
        f" --trained-on {{folder}}/{mixture} --to {{folder}}/{ANSWERS} --data {{folder}}",
        score,
    )


def write_mixture(path: Path, examples: Path) -> None:
    """Write Visual Genome's questions, as they were before cleaning, as a mixture in LLaVA's form."""
    import json

    import pyarrow.parquet as pq

    from vlmt_cli.base.files import write_text

    lines = []
    for row in pq.read_table(examples, columns=["example_id", "images", "text", "answers"]).to_pylist():
        turns = [{"from": "human", "value": f"<image>\n{row['text']}"}]
        turns += [{"from": "gpt", "value": answer} for answer in row["answers"][:1]]
        record = {
            "id": row["example_id"],
            "image": f"vg/VG_100K/{row['images'][0].removeprefix('vg:')}.jpg",
            "conversations": turns,
        }
        lines.append(json.dumps(record))
    write_text(path, "".join(f"{line}\n" for line in lines))


def _report(folder: Path, analyses: bool) -> None:
    """Write the page, and show each task's score beside the chance baseline."""
    from vlmt_cli.analysis import overview
    from vlmt_cli.analysis.run_report import write_report
    from vlmt_cli.commands.show import say, stdout, table
    from vlmt_cli.evaluation.marks import marks_explained
    from vlmt_cli.evaluation.scores import read_scores

    runs = folder / "runs"
    scores = read_scores(runs / RUN)
    guesses = overview.chances(runs / RUN, folder, scores)
    rows = overview.score_rows(scores, guesses)
    models = {"AT": [runs / RUN]}
    if analyses:
        for name, preset in (("ST", "single-task"), ("AT->ST", "all-to-single")):
            models[name] = [runs / f"{preset}-{task}" for task in CONSISTENT]
        _attention(folder)
    page = folder / PAGE
    write_report(
        page,
        [run for members in models.values() for run in members],
        folder,
        title="vlmt: one model, twelve tasks",
        intro="A synthetic world with the official files of twelve vision-and-language datasets, from its leaks to one"
        " model.",
        models=models,
        compared="Models trained alone (ST), on all twelve tasks (AT), and on all and then alone (AT->ST). The"
        " single-task models had few iterations here: see how it is done, not who wins.",
        baselines=guesses,
        answers=folder / ANSWERS if analyses else None,
        foot=f"Made by vlmt demo; runs are in {runs}.",
    )
    header = ["task", "metric", "score %", "95%", "baseline %", "which baseline"]
    stdout().print(table(header, list(map(_cells, rows)), "One model on twelve tasks", left=2))
    stdout().print(marks_explained(scores.tasks.values()))
    say(f"Open {page}")


def _cells(row: "Score") -> list[str]:
    interval = f"{100 * row.low:.1f} to {100 * row.high:.1f}"
    chance = "" if row.chance is None else f"{100 * row.chance:.1f}"
    return [row.task, row.metric, f"{100 * row.value:.1f}{row.mark}", interval, chance, row.guess]


def _attention(folder: Path) -> None:
    """Draw where a model looks for one expression."""
    import pyarrow.parquet as pq

    from vlmt_cli.commands.analyze_attention import attention

    run = folder / "runs" / RUN
    example = pq.read_table(folder / "examples" / "refcoco" / "testA.parquet").slice(0, 1).to_pylist()[0]
    attention(
        example["images"][0],
        text=example["text"],
        model=str(run),
        task="refcoco",
        to=run / "attention.html",
        words=run / "attention_words.png",
        maps=run / "attention_maps.png",
        data=folder,
    )
