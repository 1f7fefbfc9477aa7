"""Putting a clip's visual tokens where its prompt says `<image>`.

An explicit mask marks them, so a zero row in the embedding table or padding on the left cannot be mistaken
for a picture. One image token becomes `visual` tokens: spliced length = length - 1 + visual.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Spliced:
    """A batch ready for the language model, padded on the left.

    `embeddings` is (clips, spliced length, hidden); `attention_mask`, `position_ids` and `is_visual` (bool)
    are (clips, spliced length). Positions count from each row's first token that is not padding.
    """

    embeddings: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    is_visual: Tensor


def splice(
    input_ids: Tensor,
    attention_mask: Tensor,
    visual_tokens: Tensor,
    *,
    embed: torch.nn.Module,
    image_token_id: int,
) -> Spliced:
    """Embed the text and put the visual tokens in place of each row's one image token.

    `input_ids` and `attention_mask` are (clips, length), padded on the left; `visual_tokens` is
    (clips, visual, hidden); `embed` turns ids into (…, hidden). ValueError if a row does not hold exactly one
    image token, is padded on the right, or has no visual tokens.
    """
    _check(input_ids, attention_mask, visual_tokens, image_token_id)
    clips, visual, hidden = visual_tokens.shape
    is_image = input_ids == image_token_id
    is_visual = visual_positions(input_ids, image_token_id, visual)
    embeddings = visual_tokens.new_empty(clips, input_ids.shape[1] - 1 + visual, hidden)
    embeddings[is_visual] = visual_tokens.flatten(0, 1)
    embeddings[~is_visual] = embed(input_ids[~is_image]).to(embeddings)
    mask = attention_mask.new_ones(is_visual.shape)
    mask[~is_visual] = attention_mask[~is_image]
    return Spliced(embeddings, mask, (mask.long().cumsum(1) - 1).clamp(min=0), is_visual)


def visual_positions(input_ids: Tensor, image_token_id: int, visual: int) -> Tensor:
    """Where the `visual` tokens of each row come to lie: bool (clips, length - 1 + visual)."""
    start = (input_ids == image_token_id).int().argmax(dim=1, keepdim=True)
    slots = torch.arange(input_ids.shape[1] - 1 + visual, device=input_ids.device)
    return (slots >= start) & (slots < start + visual)


def left_pad(prompts: Sequence[Sequence[int]], pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both int64 (prompts, longest), of prompts of any lengths."""
    longest = max(map(len, prompts))
    ids = [[pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    return torch.tensor(ids), torch.tensor(mask)


def _check(input_ids: Tensor, attention_mask: Tensor, visual_tokens: Tensor, image_token_id: int) -> None:
    if input_ids.shape != attention_mask.shape or input_ids.dim() != 2:
        raise ValueError(
            f"token ids {tuple(input_ids.shape)} and attention mask {tuple(attention_mask.shape)} "
            "must both be (clips, length)"
        )
    if len(visual_tokens) != len(input_ids):
        raise ValueError(f"{len(input_ids)} prompts were given with the visual tokens of {len(visual_tokens)} clips")
    counts = (input_ids == image_token_id).sum(1).tolist()
    if wrong := [row for row, count in enumerate(counts) if count != 1]:
        raise ValueError(
            f"prompt {wrong[0]} holds {counts[wrong[0]]} image tokens (id {image_token_id}); each needs "
            "exactly one: put `<image>` once into the prompt and encode it with this checkpoint's tokenizer"
        )
    if (attention_mask[:, 1:] < attention_mask[:, :-1]).any():
        raise ValueError("a prompt is padded on the right; pad on the left, so that new tokens follow its last")
