"""The Ray session that a run has: the cluster that it joins, or one of its own on this machine."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil
import ray

from recap.graph.head import knock
from recap.graph.stopping import SIGNALS, RayLost, deaf_children
from recap.imports import job_config
from recap.limits import cores

SETTINGS = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # Ray's C++ half reports routine events as errors on our stderr
    "RAY_task_events_report_interval_ms": "0",  # else the GCS keeps a history of tasks: 8 KB for each clip
    "RAY_worker_niceness": "5",  # else 15, and those of them that are to step back could hardly do so
}
LONGEST_FOLDER = 40  # of the 107 bytes that a socket's name may have, Ray takes the rest
_GUARD = threading.Lock()
_USERS: list[threading.Thread] = []
_OURS: list[list[psutil.Process]] = []  # the daemons of the session that we began
TOKENS = (
    "a cluster that wants tokens is joined with RAY_AUTH_MODE=token, and with its RAY_AUTH_TOKEN where ~/.ray does not "
    "hold the same; with RAY_AUTH_MODE=disabled on all nodes it wants none"
)
GREETING = b"Set ray log level from environment variable"


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Join the cluster at `address`, or start a local session; leave things as they were found, but for `SETTINGS`.

    Threads of a process share one, which the last of them leaves; one that was lost is left to `leave_session`. Raises
    ValueError when no cluster answers there.
    """
    with _GUARD, _same_handlers():
        if not ray.is_initialized():
            _OURS.append(_begin_session(address))
        _USERS.append(threading.current_thread())
    is_lost = False
    try:
        yield
    except RayLost:
        is_lost = True
        raise
    finally:
        with _GUARD:
            _USERS.remove(threading.current_thread())
        if not is_lost:
            leave_session()


def leave_session() -> None:
    """Leave the session that was begun here, unless somebody uses it; Ray may end the process if it was lost."""
    with _GUARD, _same_handlers():
        if _OURS and not _USERS:
            _leave_session(_OURS[-1])
            _OURS.pop()  # not before: a signal may end the leaving, and the next user is to try again


def _begin_session(address: str | None) -> list[psutil.Process]:
    """The daemons that were started for it."""
    local = {} if address else {"num_cpus": cores(), "include_dashboard": False} | _short_folder()
    if not address:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
    _require_cluster(address)
    before = psutil.Process().children()
    try:
        with deaf_children(signal.SIGTERM), _ungreeted():
            told = {"log_to_driver": False, "logging_level": "ERROR", "job_config": job_config()}
            ray.init(address=address or "local", **told, **local)
    except ConnectionError as error:
        raise ValueError(f"ray.address: {address} cannot be joined: {error} ({TOKENS})") from None
    except (RuntimeError, ValueError) as error:  # a cluster of another version of Ray or Python; what is no address
        if not address:
            raise
        raise ValueError(f"ray.address: {address} cannot be joined: {' '.join(str(error).split())}") from None
    return [child for child in psutil.Process().children() if child not in before]


def _short_folder() -> dict[str, str]:
    """Another folder for Ray's sockets where that of TMPDIR has too long a name, as batch systems give them."""
    return {} if len(tempfile.gettempdir()) < LONGEST_FOLDER else {"_temp_dir": "/tmp/ray"}


@contextmanager
def _same_handlers() -> Iterator[None]:
    """Ray sets one of its own when a session begins, and none when that ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None is one that was not set from Python
                signal.signal(number, handler)


def _leave_session(daemons: Iterable[psutil.Process]) -> None:
    """Shut Ray down and kill what belongs to its local `daemons`, which do not hear SIGTERM.

    Ray itself would wait a second for each of them, and leave a raylet's agents behind for a minute.
    """
    family = [each for daemon in daemons if daemon.is_running() for each in daemon.children(recursive=True)]
    node = ray._private.worker._global_node
    if node is not None:
        kill = node.kill_all_processes
        node.kill_all_processes = lambda **how: kill(**how | {"allow_graceful": False})
    try:
        ray.shutdown()
    finally:
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _require_cluster(address: str | None) -> None:
    """Ray itself would go on knocking at a closed door for minutes."""
    named = os.environ.get("RAY_ADDRESS") if address == "auto" else address
    door = (named or "").removeprefix("ray://")
    if ":" not in door:
        return
    try:
        knock(door)
    except (OSError, ValueError) as error:
        where = named if named == address else f"{named}, which RAY_ADDRESS names"
        raise ValueError(f"ray.address: nothing answers at {where} ({error}); start the cluster first") from None


@contextmanager
def _ungreeted() -> Iterator[None]:
    """Keep from stderr the line in which Ray's C++ half says that it was told to be quiet, and no other."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            said.seek(0)
            os.write(2, b"".join(line for line in said if GREETING not in line))
