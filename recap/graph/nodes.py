"""Before a cluster starts: does every node see the same storage and the same recap?"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import uuid4

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import recap
from recap.engines.preflight import missing_vllm
from recap.storage import Location, file_of, resolved, store_errors
from recap.video import missing_nvdec


@dataclass(frozen=True)
class Landmarks:
    """What every node must find. `token` was just written by the driver into the output folder."""

    token: str
    clip: str
    clip_bytes: int | None
    checkpoints: tuple[str, ...]
    version: str
    needs_vllm: bool = False
    needs_nvdec: bool = False


def check_nodes(output: Location, clip: str, checkpoints: Iterable[str], **needs: bool) -> None:
    """Send a look-out to each node of the joined cluster; `needs` are those of `Landmarks`.

    Raises ValueError that says which node misses what: with a folder that only one machine has,
    its captions would be scattered over the others' disks.
    """
    token = output / f".token-{uuid4().hex}"
    token.touch()
    try:
        places = str(resolved(token)), clip, _size(clip), tuple(checkpoints)
        landmarks = Landmarks(*places, recap.__version__, **needs)
        reports = ray.get([_send(node["NodeID"], landmarks) for node in ray.nodes() if node["Alive"]])
    finally:
        token.unlink()
    problems = [problem for report in reports for problem in report]
    if problems:
        raise ValueError(
            "the cluster's nodes do not see the same storage:\n  " + "\n  ".join(problems) + "\n"
            "put output.path, the corpus and the checkpoint on storage that every node mounts at the same path, "
            "or give every node the libraries and the credentials of the store"
        )


def look(landmarks: Landmarks, node: str) -> list[str]:
    """What `node`, where this runs, does not see as the driver does."""
    problems = []
    if not _exists(landmarks.token):
        problems.append(f"node {node} does not see output.path as the driver wrote it")
    if _size(landmarks.clip) != landmarks.clip_bytes:
        problems.append(f"node {node} does not see the corpus: {landmarks.clip} is missing or another file there")
    for checkpoint in landmarks.checkpoints:
        if not os.path.exists(os.path.join(checkpoint, "config.json")):
            problems.append(f"node {node} does not see the checkpoint {checkpoint}")
    if recap.__version__ != landmarks.version:
        problems.append(f"node {node} has recap {recap.__version__}, the driver has {landmarks.version}")
    if landmarks.needs_vllm and (problem := missing_vllm()):
        problems.append(f"node {node}: {problem}")
    if landmarks.needs_nvdec and (problem := missing_nvdec()):
        problems.append(f"node {node}: {problem}")
    return problems


def _send(node_id: str, landmarks: Landmarks) -> ray.ObjectRef:
    here = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(look).remote(landmarks, node_id[:8])


def _exists(address: str) -> bool:
    return _size(address) is not None


def _size(address: str) -> int | None:
    """None for what is not there, and for what this node has no library or no credentials for."""
    try:
        path = file_of(address)
        with store_errors(path):
            return path.stat().st_size
    except (OSError, ValueError):
        return None
