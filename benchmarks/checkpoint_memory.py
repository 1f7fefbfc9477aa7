"""How much memory loading a checkpoint takes beside the model itself, and how long.

Writes a checkpoint of random weights in the published layout (bfloat16, PEFT names, LoRA of rank 128 unmerged,
shards with an index) into a temporary folder, loads it in a fresh process and compares that process's peak
memory, interpreter and libraries included, with the bytes of the model.

    python benchmarks/checkpoint_memory.py --json
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

TARGET = 1.15
RANK = 128
TENSORS_PER_SHARD = 120


def main() -> None:
    arguments = parse()
    if arguments.load:
        print(json.dumps(load(arguments.load)))
        return
    with tempfile.TemporaryDirectory(prefix="recap-benchmark-") as folder:
        stored = write_checkpoint(Path(folder), arguments.hidden_size, arguments.layers)
        command = [sys.executable, __file__, "--load", folder]
        found = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
    found |= {"stored_bytes": stored, "target": TARGET, "within_target": found["ratio"] <= TARGET}
    if not arguments.json:
        print(
            f"{found['parameters'] / 1e9:.2f} B parameters in {found['wall_s']:.1f} s; peak memory "
            f"{found['peak_bytes'] / 1e9:.2f} GB = {found['ratio']:.3f} of the model (target {TARGET})"
        )
    print(json.dumps(found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print nothing but one JSON object")
    parser.add_argument("--hidden-size", type=int, default=2048, help="of the language model, a multiple of 128")
    parser.add_argument("--layers", type=int, default=24, help="of the language model")
    parser.add_argument("--load", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser.parse_args()


def load(folder: str) -> dict:
    """Load in this process and say what it took."""
    from resident import PeakMemory, anonymous_bytes

    import recap.pllava.checkpoint as loading

    before, start = anonymous_bytes(), time.perf_counter()
    with PeakMemory() as peak:
        model = loading.load_pllava(folder)
    sizes = [(weight.numel(), weight.nbytes) for weight in model.parameters()]
    parameters, size = map(sum, zip(*sizes, strict=True))
    return {
        "parameters": parameters,
        "model_bytes": size,
        "wall_s": round(time.perf_counter() - start, 3),
        "peak_bytes": peak.bytes,
        "before_bytes": before,
        "ratio": round(peak.bytes / size, 4),
    }


def write_checkpoint(folder: Path, hidden_size: int, layers: int) -> int:
    """Write config, index and shards; returns the bytes of the tensors."""
    import torch

    from recap.pllava.safetensors_files import INDEX
    from recap.pllava.safetensors_writer import write_tensors

    config = published_config(hidden_size, layers)
    (folder / "config.json").write_text(json.dumps(config))
    shapes, weight_map = dict(published_shapes(config)), {}
    keys_in_order = list(shapes)
    for start in range(0, len(shapes), TENSORS_PER_SHARD):
        keys = keys_in_order[start : start + TENSORS_PER_SHARD]
        file = f"model-{start:05d}.safetensors"
        shard = {key: shapes[key] for key in keys}
        write_tensors(folder / file, shard, torch.bfloat16, random_blocks(shard.values()))
        weight_map |= dict.fromkeys(keys, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return 2 * sum(map(math.prod, shapes.values()))


def published_config(hidden_size: int, layers: int) -> dict:
    return {
        "num_frames": 16,
        "pooling_shape": [16, 12, 12],
        "image_token_index": 32000,
        "torch_dtype": "bfloat16",
        "text_config": {
            "hidden_size": hidden_size,
            "intermediate_size": hidden_size * 43 // 16,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden_size // 128,
            "vocab_size": 32064,
        },
    }


def published_shapes(config: dict) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of such a checkpoint, by its published name."""
    import torch

    from recap.pllava.config import parse_config
    from recap.pllava.model import Pllava

    with torch.device("meta"):
        model = Pllava(parse_config(config))
    for name, weight in model.named_parameters():
        part, _, inner = name.partition(".")
        if part == "language_model":
            yield from language_shapes(f"language_model.base_model.model.{inner}", tuple(weight.shape))
        else:
            ours = {"vision_tower": "vision_tower.vision_model", "projector": "multi_modal_projector"}
            yield f"{ours[part]}.{inner}", tuple(weight.shape)


def language_shapes(key: str, shape: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    if not key.endswith(("q_proj.weight", "v_proj.weight")):
        yield key, shape
        return
    stem = key.removesuffix(".weight")
    yield f"{stem}.base_layer.weight", shape
    yield f"{stem}.lora_A.default.weight", (RANK, shape[1])
    yield f"{stem}.lora_B.default.weight", (shape[0], RANK)


def random_blocks(shapes) -> Iterator:
    """Values for the shapes in turn: one block of noise over and over, which is quick to write."""
    import torch

    noise = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    for shape in shapes:
        left = math.prod(shape)
        while left:
            yield noise[:left]
            left -= min(left, len(noise))


if __name__ == "__main__":
    main()
