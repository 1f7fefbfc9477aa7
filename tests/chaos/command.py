"""`recap` on a runner of choice, as a process that may die at a moment of choice.

python command.py RUNNER ARGUMENTS. RECAP_DIES_AT=N kills it before the N-th time that it opens, renames
or removes something below RECAP_OUTPUT; at its end it says how many times there were. A head of Ray may
be silent for RECAP_PATIENCE_S.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from functools import partial
from itertools import count

TOUCHES = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"}


def die_at(number: int, output: str) -> None:
    """Count what is done below `output`, and die before the `number`-th time."""
    moments = count(1)
    last = 0

    def audit(event: str, arguments: tuple) -> None:
        nonlocal last
        if event in TOUCHES and arguments and str(arguments[0]).startswith(output):
            last = next(moments)
            if last == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    atexit.register(lambda: print(f"moments: {last}", file=sys.stderr))


if __name__ == "__main__":
    from recap import cli, jobs, ledger

    jobs.run = partial(jobs.run, runner=sys.argv[1])
    if "RECAP_OUTPUT" in os.environ:
        ledger.compact = partial(ledger.compact, many=4)
        die_at(int(os.environ.get("RECAP_DIES_AT", 0)), os.environ["RECAP_OUTPUT"])
    if "RECAP_PATIENCE_S" in os.environ:
        from recap.graph import head

        head.PATIENCE_S = float(os.environ["RECAP_PATIENCE_S"])
    cli.main(sys.argv[2:])
