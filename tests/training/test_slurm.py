"""Only what srun really started waits for the other processes."""

import pytest
from training.small_runs import make_recipe, of_kind

from vlmt_cli.base.errors import UsageError, VlmtError
from vlmt_cli.base.processes import is_first, started_from_outside
from vlmt_cli.evaluation import processes
from vlmt_cli.evaluation.processes import Devices, check_devices
from vlmt_cli.runs.metrics import append
from vlmt_cli.training import cluster
from vlmt_cli.training.job import Job
from vlmt_cli.training.train import train

ALLOCATION = {"SLURM_JOB_ID": "4711", "SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "gpu[03,07]"}
BATCH = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NAME": "train"}
TASK = {"SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}
TASK |= {"SLURM_NODEID": "1", "SLURM_STEP_NODELIST": "gpu[03,07]"}


@pytest.fixture
def slurm(monkeypatch):
    """Put this process into an environment of SLURM."""

    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):  # an earlier training of this process may have set them
        monkeypatch.delenv(name, raising=False)

    def enter(environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return enter


@pytest.mark.parametrize(
    ("environment", "outside"),
    [
        (ALLOCATION, False),  # the shell of salloc on a login node
        (ALLOCATION | BATCH, False),  # the script of sbatch
        (ALLOCATION | BATCH | {"SLURM_STEP_ID": "4294967291"}, False),  # the same where it counts as a step
        (ALLOCATION | BATCH | {"SLURM_STEP_ID": "4294967290"}, False),  # the shell of salloc on a node
        (ALLOCATION | TASK | {"SLURM_STEP_NUM_TASKS": "1"}, False),  # srun --pty bash
        (ALLOCATION | TASK, True),
        (ALLOCATION | TASK | {"SLURM_JOB_NAME": "interactive"}, True),  # srun inside salloc
        ({"SLURM_NTASKS": "8", "SLURM_STEPID": "0"}, True),  # an older SLURM
    ],
)
def test_a_job_step_of_several_tasks_is_started_from_outside(environment, outside, slurm):
    slurm(environment)
    assert started_from_outside() is outside
    assert is_first() is not (outside and "SLURM_PROCID" in environment)


def test_one_process_trains_inside_an_allocation(slurm, trained_world, tmp_path):
    slurm(ALLOCATION | BATCH)
    assert train(Job(make_recipe("all-tasks", "vqa", iterations=2), trained_world, tmp_path / "run"))
    assert of_kind(tmp_path / "run", "start")[0]["world"] == 1


def test_processes_of_srun_meet_on_its_first_node(slurm):
    slurm(ALLOCATION | TASK)
    ranks = processes._ranks_of_srun()
    assert 1024 < int(ranks.pop("MASTER_PORT")) < 32_768
    assert ranks == {
        "RANK": "5",
        "LOCAL_RANK": "1",
        "GROUP_RANK": "1",
        "WORLD_SIZE": "8",
        "MASTER_ADDR": "gpu03",
    }


def test_another_number_of_processes_than_asked_for_is_refused(slurm):
    slurm(ALLOCATION | TASK)
    check_devices(Devices("cpu", 4, 2))
    with pytest.raises(UsageError, match="8 processes were started, and --processes 2 on 1 node asks for another"):
        check_devices(Devices("cpu", 2))


def test_a_job_that_saves_nothing_new_in_two_starts_is_not_requeued(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_take_ranks_from_submitit", lambda: None)
    saves = iter([400, 400, 800, 800, 800])  # where each start has come to when its time is up

    def work():
        append(tmp_path, {"kind": "save", "iteration": next(saves)})
        return False

    job = cluster.ClusterJob(work, tmp_path)
    for _ in range(4):
        assert job() is False
        job = job.checkpoint().function
    job()
    with pytest.raises(VlmtError, match="2 starts in a row saved nothing new; give each start more time"):
        job.checkpoint()
