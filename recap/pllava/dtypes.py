"""The names of number types: as config.json spells them, as safetensors does, and torch's own."""

from __future__ import annotations

import torch

from recap.pllava.config import PllavaConfig

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
STORED_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def compute_dtype(wanted: str | torch.dtype, config: PllavaConfig, stored: str) -> torch.dtype:
    """The type that `wanted` means; "auto" is what config.json says, else what the files hold (`stored`)."""
    if isinstance(wanted, torch.dtype):
        return wanted
    if wanted == "auto":
        return DTYPES.get(config.dtype or "") or STORED_DTYPES.get(stored, torch.float32)
    if wanted not in DTYPES:
        raise ValueError(f"dtype is {wanted!r}; choose auto, {', '.join(DTYPES)}")
    return DTYPES[wanted]


def dtype_name(dtype: torch.dtype) -> str:
    """As config.json spells it. ValueError for a type that no checkpoint is kept in."""
    for name, known in DTYPES.items():
        if known == dtype:
            return name
    raise ValueError(f"dtype is {dtype}; choose auto, {', '.join(DTYPES)}")


def stored_name(dtype: torch.dtype) -> str:
    """As safetensors spells it."""
    return next(name for name, known in STORED_DTYPES.items() if known == dtype)
