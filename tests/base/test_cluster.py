"""What sbatch is asked for, and what is refused before it is."""

import pytest
import submitit
from commands.running import run as vlmt

from vlmt_cli.base.cluster import make_executor, read_launcher


def test_a_training_asks_for_its_nodes_and_for_time_to_save(tmp_path, monkeypatch):
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", lambda _: 2)  # as where srun is
    options = read_launcher("slurm", ["--partition=gpu", "time=04:00:00", "cpus-per-task=4"])
    executor = make_executor(tmp_path, "slurm", "vlmt-run", cpus=8, gpus=8, nodes=4, tasks=8, sbatch=options)
    script = executor._executor._make_submission_file_text("train", "uid").splitlines()
    for option in ("nodes=4", "ntasks-per-node=8", "gpus-per-node=8", "partition=gpu", "signal=USR2@300"):
        assert f"#SBATCH --{option}" in script
    for option, value in (("time", "04:00:00"), ("cpus-per-task", "4")):  # what a person gives goes before ours
        assert [line for line in script if f"--{option}=" in line] == [f"#SBATCH --{option}={value}"]
    assert executor._executor.max_num_timeout > 100


@pytest.mark.parametrize("command", ["train", "pretrain", "extract"])
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--launcher", "pbs"), "there is no launcher 'pbs'; choose slurm or local"),
        (("--launcher", "slurm", "--sbatch", "gpu"), "write it as --sbatch partition=gpu"),
        (("--sbatch", "partition=gpu"), "--sbatch goes with --launcher slurm"),
    ],
)
def test_what_no_launcher_does_is_refused(command, arguments, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert vlmt(command, *arguments) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--launcher", "slurm"), "this machine has no SLURM; run the command where srun is"),
        (("--launcher", "local", "--nodes", "2"), "--launcher local is one machine, and --nodes 2"),
    ],
)
def test_what_this_machine_cannot_launch_is_refused(arguments, reason, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert vlmt("train", "--scale", "mini", "--data", str(tmp_path), "--run", str(tmp_path / "run"), *arguments) == 2
    assert reason in capsys.readouterr().err
