"""What `decode.decoder: fast` changes and what it saves, beside the exact resize chain.

    python benchmarks/frames_fast.py --json [files…] [--checkpoint FOLDER]

Without files, the demo's real clips. PSNR and SSIM are of the model-size frames; with a checkpoint also
the cosine between the vision tower's features, and the fraction of the greedy caption's tokens that are the
same up to the first difference. `--json` prints one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from recap.records import FrameRequest, Frames
from recap.video import DecodeSettings, InProcessReader

CLIPS = Path(__file__).parents[1] / "pipelines/demo/clips"
LUMA = np.array((0.299, 0.587, 0.114))
BLOCK = 8
MAX_NEW_TOKENS = 100
Judge = Callable[[np.ndarray, np.ndarray], dict]


def psnr_db(first: np.ndarray, second: np.ndarray) -> float | None:
    """Peak signal to noise over all pixels, None if they are equal."""
    error = np.square(first.astype(float) - second).mean()
    return float(10 * np.log10(255**2 / error)) if error else None


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Structural similarity of (frames, H, W, 3) uint8: luma, mean over 8×8 blocks side by side.

    Even weights and no overlap, so it is close to but not the value of the usual Gaussian window.
    """
    a, b = _blocks(first), _blocks(second)
    mean_a, mean_b = a.mean(-1), b.mean(-1)
    both = (a * b).mean(-1) - mean_a * mean_b
    low, high = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    means = (2 * mean_a * mean_b + low) / (mean_a**2 + mean_b**2 + low)
    return float((means * (2 * both + high) / (a.var(-1) + b.var(-1) + high)).mean())


def _blocks(pixels: np.ndarray) -> np.ndarray:
    luma = pixels @ LUMA
    height, width = (side // BLOCK for side in luma.shape[1:])
    cut = luma[:, : height * BLOCK, : width * BLOCK].reshape(-1, height, BLOCK, width, BLOCK)
    return cut.swapaxes(2, 3).reshape(-1, BLOCK * BLOCK)


def open_judge(checkpoint: Path) -> tuple[int, Judge]:
    """The picture size of a checkpoint, and how alike it finds two sets of frames."""
    import torch

    from recap.pllava import load_pllava, normalise, render_prompt, resolve_instruction

    model = load_pllava(checkpoint, dtype="float32")
    prompt = model.tokenizer(render_prompt("plain", "", resolve_instruction("dense")), return_tensors="pt")

    @torch.no_grad()
    def judge(first: np.ndarray, second: np.ndarray) -> dict:
        pixels = [normalise(frames) for frames in (first, second)]
        cosine = torch.cosine_similarity(*map(model.vision_tower, pixels), dim=-1).mean()
        ids = [
            model.generate(prompt["input_ids"], prompt["attention_mask"], each, MAX_NEW_TOKENS)[0] for each in pixels
        ]
        return {"feature_cosine": round(float(cosine), 6), "caption_agreement": round(common_start(*ids), 3)}

    return model.config.image_size, judge


def common_start(first: list[int], second: list[int]) -> float:
    """The share of the longer caption that both begin with; 1 for equal captions."""
    same = next((i for i, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), None)
    same = min(len(first), len(second)) if same is None else same
    return same / max(len(first), len(second), 1)


def read(path: Path, request: FrameRequest, decoder: str, repeats: int) -> tuple[Frames, float]:
    """The frames and the fastest of `repeats` readings in seconds."""
    reader, times = InProcessReader(DecodeSettings(decoder=decoder)), []
    for _ in range(repeats):
        start = time.perf_counter()
        frames = reader.read(str(path), request)
        times.append(time.perf_counter() - start)
    reader.close()
    return frames, min(times)


def compare(path: Path, request: FrameRequest, repeats: int, judge: Judge | None) -> dict:
    """One clip both ways. A clip too small to shrink gives the same frames: `psnr_db` is None."""
    (exact, exact_s), (fast, fast_s) = (read(path, request, how, repeats) for how in ("exact", "fast"))
    psnr = psnr_db(exact.pixels, fast.pixels)
    return {
        "clip": path.name,
        "decoder": fast.decoder,
        "psnr_db": psnr and round(psnr, 2),
        "ssim": round(ssim(exact.pixels, fast.pixels), 5),
        "exact_s": round(exact_s, 3),
        "fast_s": round(fast_s, 3),
    } | (judge(exact.pixels, fast.pixels) if judge else {})


def main() -> None:
    """Compare the clips and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, default=sorted(CLIPS.glob("*.mp4")))
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--repeats", type=int, default=3, help="readings of each clip, the fastest counts")
    parser.add_argument("--checkpoint", type=Path, help="also compare this PLLaVA's features and captions")
    options = parser.parse_args()
    size, judge = open_judge(options.checkpoint) if options.checkpoint else (FrameRequest().size, None)
    rows = []
    for path in options.files:
        rows.append(compare(path, FrameRequest(size=size), options.repeats, judge))
        print(", ".join(f"{name} {value}" for name, value in rows[-1].items()))
    if options.json:
        print(json.dumps({"size": size, "clips": rows}))


if __name__ == "__main__":
    main()
