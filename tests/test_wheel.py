"""The wheel alone, in an empty environment."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command, **kwargs):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_wheel_installs_and_runs_in_an_empty_environment(tmp_path):
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("vlmt-*.whl")
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    run(
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--constraint",
        ROOT / "constraints.txt",
        f"{wheel}[all]",
    )
    elsewhere = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": ""}}
    assert "clean" in run(tmp_path / "empty" / "bin" / "vlmt", "--help", **elsewhere)
    small = ("--scale", "0.2", "--iterations", "2", "--no-analyses")
    run(tmp_path / "empty" / "bin" / "vlmt", "demo", *small, **elsewhere)
    assert (tmp_path / "demo" / "report.html").exists()
    assert "flickr30k" in run(tmp_path / "empty" / "bin" / "vlmt", "data", "status", "--data", "demo", **elsewhere)
