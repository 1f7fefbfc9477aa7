"""One training at a time in an output folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def sole_training(output: Path) -> Iterator[None]:
    """Make `output` and hold it; the system lets go of it when this process ends, however it does.

    ValueError where it is no folder that can be written to and locked, or another process holds it.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        file = (output / "train.lock").open("w")
    except OSError as error:
        raise ValueError(f"output.path: cannot write to {output} ({error.strerror}); name a folder") from None
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # flock would be left to data workers that outlive a kill
        except BlockingIOError:
            raise ValueError(
                f"output.path: another training is writing to {output}; wait for it, stop it, or name another folder"
            ) from None
        except OSError as error:
            raise ValueError(
                f"output.path: nothing can be locked in {output} ({error.strerror}); "
                "mount its file system with locks (fcntl), or name another folder"
            ) from None
        yield
