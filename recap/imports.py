"""Where recap's other processes import from: where this one does, and not from the folder that it is run in.

That may be a corpus, or hold a folder named `recap`: what lies there must not run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.job_config import JobConfig

HOME = str(Path(__file__).parents[1])


def search_path() -> list[str]:
    """The folders of `sys.path`, without the current one where recap itself is not in it."""
    folders, current = [os.path.abspath(folder) for folder in sys.path], os.path.abspath("")
    return [folder for folder in folders if folder == HOME or folder != current]


def job_config() -> JobConfig:
    """For `ray.init`, which would have every worker look into the current folder first."""
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _Unextended()
    return config


class _Unextended(list[str]):
    def extend(self, _folders: Any) -> None:
        """Of Ray's folders none is taken."""
