"""The wheel in an environment that holds what its metadata requires, and nothing else."""

import os
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def run(*command, **kwargs):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def required(lines, extras):
    """What metadata's requirements need, as installed here at versions that they allow: distributions by name."""
    found, todo, seen = {}, [(line, frozenset(extras)) for line in lines], set()
    while todo:
        line, extras = todo.pop()
        wanted = Requirement(line)
        if (line, extras) in seen or (wanted.marker and not any(wanted.marker.evaluate({"extra": e}) for e in extras)):
            continue
        seen.add((line, extras))
        distribution = metadata.distribution(wanted.name)
        assert wanted.specifier.contains(distribution.version, prereleases=True), (line, distribution.version)
        found[distribution.name] = distribution
        todo += [(further, frozenset({"", *wanted.extras})) for further in distribution.requires or ()]
    return found


def link(distribution, folder):
    """Let a folder of packages hold an installed distribution, too: by links, as a copy of torch takes its time."""
    record = distribution.read_text("RECORD").splitlines()
    for top in {line.split("/")[0].split(",")[0] for line in record} - {"..", "__pycache__"}:
        (folder / top).symlink_to(distribution.locate_file(top))


def test_a_wheel_installs_and_runs_where_only_its_requirements_are(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("vlmt-*.whl")
    venv.create(tmp_path / "empty")
    binaries = tmp_path / "empty" / "bin"
    install = ("-m", "pip", "--python", binaries / "python", "install", "--quiet", "--no-deps", "--no-index", wheel)
    run(sys.executable, *install)
    [packages] = (tmp_path / "empty").glob("lib/python*/site-packages")
    [installed] = metadata.distributions(path=[str(packages)])
    # That pip gets these from a registry, at the pinned versions, is seen where this environment is made.
    needed = required(installed.requires, ["", "all"])
    assert {"torch", "typer"} <= needed.keys() and not {"pytest", "hypothesis"} & needed.keys()
    for distribution in needed.values():
        if distribution.name != "vlmt":
            link(distribution, packages)
    elsewhere = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": ""}}
    assert "refcocog-test" in run(binaries / "vlmt", "index", **elsewhere)  # built in
    assert "clean" in run(binaries / "vlmt", "--help", **elsewhere)
    small = ("--scale", "0.2", "--iterations", "2", "--no-analyses")
    run(binaries / "vlmt", "demo", *small, **elsewhere)
    assert (tmp_path / "demo" / "report.html").exists()
    assert "flickr30k" in run(binaries / "vlmt", "data", "status", "--data", "demo", **elsewhere)
