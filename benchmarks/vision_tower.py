"""From frames to visual tokens: recap's order of things against the straightforward one.

The straightforward way runs all blocks, keeps every hidden state, projects every patch and pools last. recap
stops at the block that is used and pools inside the projector. CLIP-L/336 of random weights, a process each.

    python benchmarks/vision_tower.py --json --repeats 1
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

WAYS = ("straightforward", "recap")
HIDDEN = 4096
POOLING = (16, 12, 12)


def main() -> None:
    arguments = parse()
    if arguments.way:
        print(json.dumps(measure(arguments)))
        return
    settings = {name: getattr(arguments, name) for name in ("frames", "repeats", "threads", "dtype")}
    passed = [f"--{name}={value}" for name, value in settings.items()]
    found = {}
    for way in WAYS:
        output = subprocess.check_output([sys.executable, __file__, *passed, "--way", way], text=True)
        found[way] = json.loads(output.splitlines()[-1])
        if not arguments.json:
            print(f"{way}: {found[way]['clips_per_s']} clips/s, {found[way]['peak_bytes'] / 1e9:.2f} GB", flush=True)
    theirs, ours = (found[way] for way in WAYS)
    found["speedup"] = round(ours["clips_per_s"] / theirs["clips_per_s"], 3)
    found["memory_ratio"] = round(ours["working_bytes"] / theirs["working_bytes"], 3)
    found["token_mean_difference"] = abs(ours["token_mean_abs"] - theirs["token_mean_abs"])
    print(json.dumps(found | settings | {"pooling": POOLING}))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print nothing but one JSON object")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> dict:
    """One way in this process: its best time, its peak memory and what it needs beside the weights."""
    import torch
    from resident import PeakMemory, anonymous_bytes

    torch.set_num_threads(arguments.threads)
    run = build(arguments.way, getattr(torch, arguments.dtype))
    pixels = torch.randn(arguments.frames, 3, 336, 336, generator=torch.Generator().manual_seed(1))
    pixels = pixels.to(getattr(torch, arguments.dtype))
    before, times = anonymous_bytes(), []
    with torch.inference_mode(), PeakMemory() as peak:
        for _ in range(arguments.repeats):
            start = time.perf_counter()
            tokens = run(pixels)
            times.append(time.perf_counter() - start)
    return {
        "clips_per_s": round(1 / min(times), 5),
        "seconds": [round(took, 3) for took in times],
        "peak_bytes": peak.bytes,
        "working_bytes": peak.bytes - before,
        "tokens": tokens.shape[1],
        "token_mean_abs": tokens.float().abs().mean().item(),
    }


def build(way: str, dtype):
    """A function from (frames, 3, 336, 336) to (1, tokens, hidden); both ways get the same weights."""
    import torch
    from transformers import CLIPVisionModel

    from recap.pllava.config import parse_config
    from recap.pllava.model import Projector, VisionTower

    config = parse_config({"num_frames": 16, "pooling_shape": POOLING, "image_token_index": 0})
    torch.manual_seed(0)
    whole = CLIPVisionModel(config.vision).eval()
    projector = Projector(config.vision.hidden_size, HIDDEN, "gelu").to(dtype)
    if way == "straightforward":
        return straightforward(whole.to(dtype), projector)
    tower = VisionTower(config.vision, config.vision_blocks).eval()
    weights = {name.removeprefix("vision_model."): weight for name, weight in whole.state_dict().items()}
    tower.load_state_dict({name: weights[name] for name in tower.state_dict()})
    tower.to(dtype)

    def run(pixels):
        features = tower(pixels).unflatten(1, (config.grid, config.grid))
        return projector(features[None], POOLING)

    return run


def straightforward(tower, projector):
    from torch.nn import functional

    def run(pixels):
        states = tower(pixels, output_hidden_states=True).hidden_states
        tokens = projector.linear_2(projector.act(projector.linear_1(states[-2][:, 1:])))
        volume = tokens.unflatten(1, (24, 24)).movedim(-1, 0)[None]
        return functional.adaptive_avg_pool3d(volume, POOLING).flatten(2).transpose(1, 2)

    return run


if __name__ == "__main__":
    main()
