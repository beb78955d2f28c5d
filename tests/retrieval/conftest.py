"""A small prepared log with side tables and cold items, and encoders for it."""

import pytest

N_ITEMS, N_COLD = 30, 4


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Histories are encoded in float32 on machines that have bf16, too, and can be compared closely."""
    monkeypatch.setattr("recsys_bert.user_encoder.encode.uses_bf16", lambda *_: False)
