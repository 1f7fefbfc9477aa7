"""Where recap's other processes import from: where this one does, and not from the folder that it is run in.

That may be a corpus, or hold a folder named `recap`: what lies there must not run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.job_config import JobConfig

HOME = str(Path(__file__).parents[1])


def search_path() -> list[str]:
    """The folders of `sys.path`, without the current one unless recap itself is in it."""
    folders, current = [os.path.abspath(folder) for folder in sys.path], os.path.abspath("")
    return [folder for folder in folders if folder == HOME or folder != current]


def job_config() -> JobConfig:
    """For `ray.init`, which would have every worker look into the current folder first, whatever is in it."""
    from ray.job_config import JobConfig

    config = JobConfig()
    config._py_driver_sys_path = _Home()
    return config


class _Home(list[str]):
    def extend(self, folders: Iterable[str]) -> None:
        """Ray adds its folders so."""
        super().extend(folder for folder in folders if folder == HOME)
