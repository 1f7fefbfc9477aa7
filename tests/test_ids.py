from __future__ import annotations

import pyarrow as pa
import pytest

from recap import ids


@pytest.mark.parametrize("step", [1, 2, 65_536])
def test_ids_are_packed_and_spelt_again_whatever_their_digits(monkeypatch, step):
    monkeypatch.setattr(ids, "_STEP", step)
    digits = ["0" * 32, "f" * 32, f"{'12' * 15}00", f"00{'ab' * 15}"]
    packed = ids.packed(pa.chunked_array([digits[:1], digits[1:]]))
    assert packed.itemsize == 16 and ids.spelt(packed) == digits
    assert (packed.argsort() == [0, 3, 2, 1]).all() and len({*packed.tolist()}) == 4


def test_no_ids_are_none():
    assert ids.spelt(ids.packed(pa.chunked_array([], pa.string()))) == []
