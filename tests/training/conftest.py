"""Trainings in tests run on one thread: sums then come out alike in every process."""

import signal

import pytest
import torch
from training.small_runs import make_recipe, set_options
from training.two_processes import interrupt, train_several

from vlmt_cli.training.job import Job

ALIKE = {"iterations": 4, "batch_size": 8, "evaluate_every": 2, "dropout": 0.0}
MANY = "vqa,coco,refcoco,visual7w,nlvr2,snli_ve"
CUT = {"iterations": 24, "save_every": 3, "evaluate_every": 2, "dropout": 0.1, "gap": 2}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pair(trained_world, tmp_path_factory):
    """What came of trainings in two processes: their folder and their results by name.

    ``cut`` was interrupted, went on, was killed, and went on; ``whole`` is the same without that.
    """
    runs = tmp_path_factory.mktemp("pair")
    options = [word for setting in set_options(**CUT) for word in ("--set", setting)]
    command = ["train", "--device", "cpu", "--processes", "2", "--data", str(trained_world), "--scale", "mini"]
    command += ["--task", "vqa,refcoco", "--run", str(runs / "cut"), *options]
    results = {"interrupted": interrupt(command, runs / "cut", 2, signal.SIGTERM)}
    results["killed"] = interrupt([*command, "--resume"], runs / "cut", 6, signal.SIGKILL)

    def job(name, preset="all-tasks", tasks=None, resume=False, **choices):
        return Job(make_recipe(preset, tasks, **choices), trained_world, runs / name, resume=resume)

    jobs = {
        "cut": job("cut", tasks="vqa,refcoco", resume=True, **CUT),
        "whole": job("whole", tasks="vqa,refcoco", **CUT),
        "many": job("many", tasks=MANY, **ALIKE),
        "parts": job("parts", tasks=MANY, accumulate=3, **ALIKE),
        "pretrain": job("pretrain", "pretrain", **ALIKE),
        "pretrain-parts": job("pretrain-parts", "pretrain", accumulate=3, **ALIKE),
        "crowded": job("crowded", tasks="vqa", batch_size=4, accumulate=3),
        "diverged": job("diverged", tasks="vqa", learning_rate=1e30),
        "full": job("full", tasks="vqa", iterations=2),
    }
    return runs, results | train_several(jobs)
