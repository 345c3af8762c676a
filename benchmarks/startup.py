"""What starting ``vlmt predict`` costs: one question about one photo, with the code of today and of an older commit.

    python benchmarks/startup.py --before COMMIT --rounds 5

Each round asks both, one after the other, in a process of its own. Imports are counted by a second process, which
imports the modules that the first ended with, in their order, and nothing else; a third imports torch alone. Where a
command keeps the garbage collector from looking through modules, these two do so as well. Times are CPU seconds, user
and system, from a process's beginning to its end.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from results import write_section

ROOT = Path(__file__).parents[1]
ASK = """
import atexit, json, sys
from vlmt_cli.app import main
modules = sys.argv.pop(1)
def write():
    with open(modules, "w") as file:
        json.dump([name for name, module in sys.modules.items() if getattr(module, "__spec__", None)], file)
atexit.register(write)
main()
"""
IMPORT = """
import contextlib, importlib, json, sys
try:
    from vlmt_cli.base.collecting import importing
except ImportError:  # an older commit
    importing = contextlib.nullcontext
with importing():
    for name in json.load(sys.stdin):
        with contextlib.suppress(ImportError):  # what only looks like a module, as torch.ops does
            importlib.import_module(name)
"""
HEAVY = ("torch", "torch._dynamo", "sympy", "pandas", "scipy", "transformers")


def write_model(folder: Path) -> list[str]:
    """Write a photo and a tiny model of random weights; returns the question about them."""
    from vlmt_cli.features.pixels import WIDTH
    from vlmt_cli.features.shards import meta_of_store
    from vlmt_cli.miniworld.sizes import Sizes
    from vlmt_cli.miniworld.world import write_world
    from vlmt_cli.runs.checkpoint import Checkpoint
    from vlmt_cli.runs.checkpoint_writer import save_pretrained
    from vlmt_cli.runs.lineage import Extractor, Lineage
    from vlmt_cli.tasks.config import ModelConfig
    from vlmt_cli.tasks.multitask import MultiTaskModel
    from vlmt_cli.tasks.text import TextEncoder, word_tokenizer
    from vlmt_cli.trunks.config import make_config

    write_world(folder, Sizes().scaled(0.02))
    extract = [sys.executable, "-m", "vlmt_cli", "extract", "--extractor", "pixels", "--data", folder]
    subprocess.run([*extract, folder / "images" / "coco"], cwd=ROOT, check=True, capture_output=True)
    tokenizer = word_tokenizer(iter(["what is the red thing"]))
    words = TextEncoder(tokenizer).tokenizer.get_vocab_size()
    model = MultiTaskModel(
        ModelConfig(trunk=make_config("tiny", region_features=WIDTH, vocabulary=words), answers={"vqa": 7, "gqa": 2})
    )
    meta = meta_of_store(folder / "features" / "pixels")
    lineage = Lineage(extractor=Extractor(name="pixels", hash=meta.extractor_hash))
    labels = {"vqa": [f"answer {number}" for number in range(7)], "gqa": ["yes", "no"], "nlvr2": ["False", "True"]}
    labels["snli_ve"] = ["contradiction", "neutral", "entailment"]
    save_pretrained(folder / "run", Checkpoint(model.eval(), labels, tokenizer, lineage))
    photo = min((folder / "images" / "coco").iterdir())
    question = ["predict", photo, "--model", folder / "run", "--data", folder, "--task", "vqa", "--text", "what is red"]
    return [*map(str, question), "--json"]


def cpu_seconds(command: list[str], tree: Path, given: str = "") -> float:
    """Run Python with the package of a tree, and count user and system time of the process."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Python looks for modules where it runs before it looks where PYTHONPATH says.
    done = subprocess.run(
        [sys.executable, *command], cwd=tree, env=environment, input=given, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def measure(folder: Path, trees: dict[str, Path], rounds: int) -> dict[str, dict[str, list[float] | list[str]]]:
    """Ask and import, with each tree in turn; the first round only warms up caches."""
    question = write_model(folder)
    found: dict[str, dict[str, list]] = {name: {"whole": [], "imports": [], "torch": []} for name in trees}
    for number in range(rounds + 1):
        for name, tree in trees.items():
            modules = folder / f"{name}.json"
            whole = cpu_seconds(["-c", ASK, str(modules), *question], tree)
            found[name]["modules"] = json.loads(modules.read_text())
            if number:
                found[name]["whole"].append(whole)
                found[name]["imports"].append(cpu_seconds(["-c", IMPORT], tree, modules.read_text()))
                found[name]["torch"].append(cpu_seconds(["-c", IMPORT], tree, '["torch"]'))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", required=True, help="The commit to compare with.")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    tree = folder / "before"
    subprocess.run(["git", "-C", ROOT, "worktree", "add", "-q", "--detach", tree, asked.before], check=True)
    try:
        found = measure(folder / "data", {"before": tree, "now": ROOT}, asked.rounds)
    finally:
        subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)
        shutil.rmtree(folder)
    rows = []
    for name, values in found.items():
        heavy = ", ".join(f"`{module}`" for module in HEAVY if module in values["modules"])
        seconds = [f"{statistics.median(values[key]):.2f} | {min(values[key]):.2f}" for key in ("whole", "imports")]
        rows.append(f"| {name} | {' | '.join(seconds)} | {len(values['modules']):,} | {heavy} |")
    middle = {
        name: {key: statistics.median(values[key]) for key in ("whole", "imports")} for name, values in found.items()
    }
    whole, imports = (middle["now"][key] / middle["before"][key] for key in ("whole", "imports"))
    least = {name: min(values["imports"]) for name, values in found.items()}
    alone = {name: min(values["torch"]) for name, values in found.items()}
    others = (least["now"] - alone["now"]) / (least["before"] - alone["before"])
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", asked.before], capture_output=True, text=True)
    write_section(
        "startup",
        [
            "## Starting `vlmt predict`",
            "",
            f"`python benchmarks/startup.py --before {commit.stdout.strip()} --rounds {asked.rounds}`: one question "
            "about one photo, features by `pixels`, a tiny model of random weights. CPU seconds, user and system; "
            f"{platform.machine()}, Python {platform.python_version()}, torch "
            f"{torch.__version__.partition('+')[0]}; the two took turns.",
            "",
            "| code | command, median | least | imports, median | least | modules | of these |",
            "|---|---:|---:|---:|---:|---:|---|",
            *rows,
            "",
            f"The command takes {whole:.0%} of the time before, its imports {imports:.0%}. Importing torch alone takes "
            f"{alone['now']:.2f} s at the least, and took {alone['before']:.2f} s with garbage being looked for among "
            f"its modules; the other imports take {others:.0%} of before.",
        ],
    )


if __name__ == "__main__":
    main()
