"""What a process that fails says of it."""

import pytest
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from vlmt_cli.base.errors import DataError, LeakError, UsageError
from vlmt_cli.base.processes import started_here
from vlmt_cli.evaluation.processes import in_its_words, in_processes

RAISED = "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n  File\n{}\n"


@pytest.mark.parametrize(
    ("name", "kind", "code"), [("base.errors.LeakError", LeakError, 4), ("evaluation.choose._LacksError", DataError, 3)]
)
def test_an_error_of_a_process_keeps_its_words_and_its_exit_code(name, kind, code):
    told = RAISED.format(f"vlmt_cli.{name}: training saw 2 of 9 images; give --allow-leak")
    error = in_its_words(ProcessRaisedException(told, 1, 4711), None, "run it again")
    assert (type(error), error.exit_code) == (kind, code)
    assert str(error) == "training saw 2 of 9 images; give --allow-leak"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ProcessRaisedException(RAISED.format("KeyError: 'a'"), 1, 4711), "a process of the run died (KeyError: 'a')"),
        (
            ProcessExitedException("process 1 terminated with signal SIGKILL", 1, 4711, exit_code=-9),
            "a process of the run died (process 1 terminated with signal SIGKILL)",
        ),
    ],
)
def test_any_other_end_of_a_process_is_one_line(error, line):
    assert str(in_its_words(error, None, "run it again")) == f"{line}; run it again"


def test_torchrun_starts_as_many_processes_as_are_asked_for(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "a", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert started_here() == 4
    with pytest.raises(UsageError, match="4 processes were started on this machine, and the options ask for 2"):
        in_processes(["cpu"] * 2, lambda process: None)
