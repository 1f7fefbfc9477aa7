from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ray.exceptions import ActorDiedError

from recap.graph import ray_translation


def test_a_hung_translator_ends_though_nobody_is_left_to_tell(monkeypatch):
    ended = MagicMock(side_effect=SystemExit)
    monkeypatch.setattr(ray_translation, "in_time", MagicMock(side_effect=ActorDiedError))
    monkeypatch.setattr("recap.graph.ray_translation.os._exit", ended)
    translator = object.__new__(ray_translation._Translate)
    translator.coordinator, translator.reporter, translator.stall_s = MagicMock(), MagicMock(), 1.0
    with pytest.raises(SystemExit):
        translator._leave()
    ended.assert_called_once_with(1)
