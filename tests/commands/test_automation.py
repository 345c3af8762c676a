"""The GitHub Action and the pre-commit hook: their lines run as they are written."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
# Stands for the virtual environment that the Action makes: nothing is installed, and what is asked for is noted.
PYTHON3 = """#!/bin/bash
echo "$@" >> {log}
if [ "$2" = venv ]; then
  mkdir -p "$3/bin"
  cp "$0" "$3/bin/python"
  printf '#!/bin/bash\\nexec {vlmt} "$@"\\n' > "$3/bin/vlmt"
  chmod +x "$3/bin/vlmt"
fi
"""


@pytest.fixture
def repository(tmp_path, vlmt):
    """A checkout with two mixtures and an index; one of the mixtures shows the only image of the index."""
    (tmp_path / "mixtures").mkdir()
    for name, number in {"clean": 9, "a hit": 25}.items():
        record = {"id": 1, "image": f"coco/train2017/{number:012}.jpg", "conversations": []}
        (tmp_path / "mixtures" / f"{name}.json").write_text(json.dumps([record]))
    (tmp_path / "ids.txt").write_text("25\n")
    code, _, err = vlmt(
        *("index", "add", f"ours={tmp_path / 'ids.txt'}", "--source", "coco"),
        *("--to", tmp_path / "benchmarks.parquet", "--data", tmp_path),
    )
    assert code == 0, err
    return tmp_path


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def act(folder, **inputs):
    """Run the Action's steps as GitHub does: bash -eo pipefail, with the variables that it sets."""
    tools, log = folder / "tools", folder / "asked.txt"
    tools.mkdir(exist_ok=True)
    command = shlex.join([sys.executable, "-m", "vlmt_cli"])
    (tools / "python3").write_text(PYTHON3.format(log=log, vlmt=command))
    (tools / "python3").chmod(0o755)
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    given = {name: inputs.get(name, each.get("default")) for name, each in action["inputs"].items()}
    variables = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(folder / "temp"),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    for step in action["runs"]["steps"]:
        own = {
            name: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda match: given[match[1]], value)
            for name, value in step.get("env", {}).items()
        }
        script = folder / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=folder,
            env=environment(**variables, **own),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            break
    assert f"-m pip install --quiet {ROOT}" in log.read_text()
    return done.returncode, done.stderr


def test_the_action_fails_on_a_hit_and_writes_the_summary(repository):
    mixtures = "mixtures/clean.json\nmixtures/a hit.json\n"
    code, err = act(repository, mixture=mixtures, index="benchmarks.parquet", against="ours")
    assert code == 4, err
    summary = (repository / "summary.md").read_text()
    assert "| ours | 1 | 1 | 100.0 | 1 | id 1 |" in summary and "1 of 2 records (50.0%)" in summary
    assert act(repository, mixture="mixtures/clean.json", index="benchmarks.parquet", against="ours")[0] == 0
    after = (repository / "summary.md").read_text()
    assert after.startswith(summary) and "No record shows a test image that was recognised" in after[len(summary) :]
    assert not (repository / "data").exists()


def test_the_hook_takes_the_mixtures_and_fails_on_a_hit(repository):
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    mixtures = [f"mixtures/{path.name}" for path in sorted((repository / "mixtures").iterdir())]
    assert all(re.search(hook["files"], path) for path in mixtures)
    assert not re.search(hook["files"], "benchmarks.parquet") and not re.search(hook["files"], "configs/a.json")
    program, *entry = hook["entry"].split()
    assert program == "vlmt"
    words = [sys.executable, "-m", "vlmt_cli", *entry, "--index", "benchmarks.parquet", "--against", "ours", *mixtures]
    done = subprocess.run(words, cwd=repository, env=environment(), capture_output=True)
    assert done.returncode == 4, done.stderr
