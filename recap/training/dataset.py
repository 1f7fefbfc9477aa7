"""Samples as arrays: decoded by the pipeline's own reader, tokenised, and padded into batches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from PIL import ExifTags, Image
from torch.utils.data import Dataset

from recap.pllava import left_pad
from recap.records import ClipError, FrameRequest
from recap.training.bad_log import BadLog
from recap.training.conversation import FORMATS, IGNORED, encode
from recap.training.samples import Bad, Sample
from recap.training.settings import DataSettings
from recap.video import DecodeSettings, Reader, apply_view, open_reader

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Conversations(Dataset):
    """What a sample's model input is: uint8 `pixels` (pictures, S, S, 3), `input_ids` and `labels`.

    In the place of a sample that cannot be used stands the next one that can, so that a resumed training
    sees the same order; it goes into `log`. Close it, or its decoder stays.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        tokenizer: Any,
        request: FrameRequest,
        data: DataSettings,
        decode: DecodeSettings,
        log: BadLog,
    ):
        assert samples
        self._samples, self._tokenizer, self._request, self._log = samples, tokenizer, request, log
        self._data, self._decode = data, decode
        self._reader: Reader | None = None

    def close(self) -> None:
        """End this process's decoder; those of DataLoader's workers end with them."""
        if self._reader:
            self._reader.close()

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        for step in range(len(self)):
            found = self._row(self._samples[(index + step) % len(self)])
            if not isinstance(found, Bad):
                return found
            self._log.write(found)
        raise ValueError(f"data: none of the {len(self)} samples can be used; {self._log.path} says why")

    def _row(self, sample: Sample) -> dict[str, Any] | Bad:
        longest = self._data.max_text_tokens
        ids, labels = encode(sample.turns, FORMATS[self._data.conversation], self._tokenizer, longest)
        if all(label == IGNORED for label in labels):
            return sample.bad(f"no answer begins within data.max_text_tokens {longest}")
        try:
            return {"pixels": self._pixels(sample), "input_ids": ids, "labels": labels}
        except ClipError as error:
            return sample.bad(f"{error.stage}/{error.kind}: {error.message}", damaged=True)

    def _pixels(self, sample: Sample) -> np.ndarray:
        if sample.kind == "image":
            return self._still(sample.path)
        self._reader = self._reader or open_reader(self._decode)
        return self._reader.read(sample.path, self._request, start_s=sample.start_s, end_s=sample.end_s).pixels

    def _still(self, path: str) -> np.ndarray:
        """A picture as a video that stands still: window-major, each of its windows `count` times."""
        try:
            frame = np.asarray(_upright(Image.open(path)))
        except Exception as error:  # Pillow lets SyntaxError and others through for some damaged files
            raise ClipError("decode", "decoder_error", f"the picture cannot be read ({type(error).__name__})") from None
        return np.repeat(apply_view(frame, self._request.view, self._request.size), self._request.count, axis=0)


def _upright(picture: Image.Image) -> Image.Image:
    """As it is meant to be seen, in RGB: turned as it says, and of 16 bits a grey the upper ones."""
    turn = None
    with suppress(Exception):  # what is said about a picture may be damaged where the picture is not
        turn = TURNS.get(picture.getexif().get(ExifTags.Base.Orientation))
    picture = picture if turn is None else picture.transpose(turn)
    if picture.mode.startswith("I") and (greys := np.asarray(picture)).max() > 255:
        picture = Image.fromarray((greys.clip(0, 2**16 - 1) // 257).astype(np.uint8))
    return picture.convert("RGB")


def collate(rows: Sequence[dict[str, Any]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """A batch: `pixels` (clips, pictures, S, S, 3) uint8; ids, mask and labels (clips, longest), padded on the left."""
    input_ids, attention_mask = left_pad([row["input_ids"] for row in rows], pad_token_id)
    labels, _ = left_pad([row["labels"] for row in rows], IGNORED)
    pixels = torch.from_numpy(np.stack([row["pixels"] for row in rows]))
    return {"pixels": pixels, "input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
