"""`baton doctor` reports the same about a GPU as a worker does."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from baton.cli import doctor


@pytest.mark.parametrize(
    ("told", "verdict", "words"),
    [
        ({"gpus": 0, "problem": None}, "ok", "trains on the CPU"),
        ({"gpus": 2, "problem": None}, "ok", "2 GPU"),
        ({"gpus": 0, "problem": "libcudnn.so.9 cannot be loaded"}, "bad", "libcudnn.so.9 cannot be loaded"),
    ],
)
def test_what_a_worker_would_say(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, object], verdict: str, words: str
) -> None:
    printed = "a warning\n" + json.dumps({"version": "2.21.0", **told}) + "\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout=printed, stderr=""))
    (finding,) = doctor.tensorflow()
    assert finding.verdict == verdict
    assert words in finding.text
