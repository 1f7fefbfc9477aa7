"""Outputs made of rows, without a run."""

from __future__ import annotations

import json
from dataclasses import asdict

import pyarrow as pa
import pyarrow.parquet as pq

from recap.ledger import CONTRACT
from recap.ledger.schema import shard_schema
from recap.records import CAPTIONED, Caption
from recap.translation import source_sha

SPEED = {
    "seconds": 33.7,
    "planning_s": 0.9,
    "starting_s": 25.1,
    "calibrating_s": 0.5,
    "working_s": 2.2,
    "translating_s": 4.5,
    "finishing_s": 0.5,
    "clips_per_s": 11.09,
    "prompt_tokens_per_s": 1707.4,
    "output_tokens_per_s": 205.6,
    "texts_per_step": 6.8,
    "clips_per_gpu_hour_held": None,
    "clips_per_gpu_hour_provisioned": None,
    "pools": {
        "decode": {"workers": 1, "busy": 0.84, "shares": {"decoding": 0.84, "waiting_for_engine": 0.16}},
        "caption": {"workers": 1, "busy": 0.97, "shares": {"vision": 0.57, "prefill": 0.4, "commit": 0.03}},
    },
    "ceiling": {"clips_per_s": 17.7, "share": 0.63, "bound_by": "engine", "calibration_clips": 8},
}


def caption(text, **changes) -> dict:
    return asdict(Caption(**{"prompt": "detail", "text": text, "verdict": "pass", "scores": (1.0,)} | changes))


def translation(source, text, **changes) -> dict:
    return caption(text, **{"language": "zh", "source_sha": source_sha(source)} | changes)


def row(ordinal, captions=(), **changes) -> dict:
    facts = {
        "clip_id": f"{ordinal:032x}",
        "ordinal": ordinal,
        "uri": f"clip-{ordinal}.mp4",
        "status": CAPTIONED,
        "caption": captions[0]["text"] if captions else "",
        "captions": list(captions),
        "flags": [],
        "frame_times_s": [0.25 * moment for moment in range(16)],
        "coverage": 1.0,
        "width": 1920,
        "height": 1080,
        "fps": 25.0,
        "duration_s": 4.0,
        "codec": "h264",
        "decoder": "decord-exact",
        "caption_key": "0123456789abcdef",
        "review_key": "fedcba9876543210",
        "error_stage": "",
        "error_kind": "",
        "error_message": "",
        "start_s": None,
        "end_s": None,
    }
    return facts | changes


def write_output(folder, rows, extra=()):
    """An output that holds `rows`, with the caller's `extra` columns, and the report of its run."""
    kinds = {"parquet": [], "quarantine": []}
    for each in rows:
        kinds["parquet" if each["status"] == CAPTIONED else "quarantine"].append(each)
    shards = []
    for kind, chosen in kinds.items():
        path = folder / "shards/abc" / kind / "data-00000.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(chosen, schema=shard_schema(extra)), path)
        line = {"rows": len(chosen), "bytes": 0, "sha256": "", "first_clip_id": "", "last_clip_id": ""}
        shards.append({"kind": kind, "path": path.relative_to(folder).as_posix()} | line)
    (folder / "manifest.json").write_text(json.dumps(_manifest(rows, shards)))
    (folder / "report").mkdir()
    (folder / "report/report.json").write_text(json.dumps({"generation": "abc", "seconds": 27.7, "speed": SPEED}))
    return folder


def _manifest(rows, shards) -> dict:
    counts = {
        status: sum(each["status"] == status for each in rows) for status in ("captioned", "quarantined", "filtered")
    }
    return {
        "contract": CONTRACT,
        "generation": "abc",
        "caption_key": "0123456789abcdef",
        "review_key": "fedcba9876543210",
        "review": {},
        "flags": {"before": {"truncated": 3}, "after": {"truncated": 1}},
        "reasons": {"probe/broken_header": counts["quarantined"]},
        "translations": {"zh": {"key": "k", "clips": 2}},
        "reconciliation": counts | {"clips": len(rows), "remaining": 0, "vanished": 0},
        "shards": shards,
    }
