"""Where the command line finds the service."""

from __future__ import annotations

from pathlib import Path

import pytest

from baton.client.connection import Connection, find_connection
from baton.client.errors import ConfigurationError


def test_a_stack_of_a_folder_above_is_named_and_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "my-script"
    below.mkdir()
    monkeypatch.chdir(below)
    with pytest.raises(ConfigurationError, match="no Baton service is known"):
        find_connection({})
    (tmp_path / ".baton").mkdir()
    found = Connection(url="http://127.0.0.1:1", token="t")
    (tmp_path / ".baton/connection.json").write_text(found.model_dump_json())
    with pytest.raises(ConfigurationError, match=f"`baton up` runs in {tmp_path}, and not in this folder: go there"):
        find_connection({})
    monkeypatch.chdir(tmp_path)
    assert find_connection({}).url == found.url
    assert find_connection({"BATON_PROJECT": "vision"}).project == "vision"
