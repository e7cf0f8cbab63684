"""Dangerous files: paths and links that lead outside, pickles, models with code, and download sources."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from pydantic import ValidationError

from baton.domain.data_sources import DataSources
from baton.domain.errors import JobFailure, SpecError
from baton.domain.spec import DatasetSpec, parse_spec
from baton.storage import InvalidName, open_store
from tests.service.helpers import Api, assert_problem, spec
from worker.settings import WorkerSettings
from worker.training.data import RemoteData, load_images


def load(path: object, cache: Path, roots: Sequence[Path]) -> int:
    """The number of training images."""
    dataset = DatasetSpec(name="image-folder", path=str(path))
    return len(load_images(dataset, size=8, cache=cache, seed=1, roots=roots).train)


def test_a_path_leads_out_of_no_root(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, cache = files / "given", tmp_path / "cache"
    monkeypatch.chdir(given)
    assert load(given, cache, [given]) > 0
    (files / "given-too").symlink_to(files / "secret")
    (given / "door").symlink_to(files / "secret")
    zipped = files / "secret.zip"
    with zipfile.ZipFile(zipped, "w") as made:
        made.writestr("cat/1.png", b"x")
    outside = [files / "secret", given / ".." / "secret", given / "door", "../secret", files / "given-too", zipped, "/"]
    for path in (*outside, "/nonesuch", Path("~root")):
        with pytest.raises(JobFailure, match="BATON_DATA_ROOTS") as refused:
            load(path, cache, [given])
        assert refused.value.reason == "bad_data"
        assert str(files / "secret") not in str(refused.value).replace(str(path), "")


@pytest.mark.parametrize("link", ["cat", "cow/1.png", "words.txt"])
def test_a_link_leads_out_of_no_root(files: Path, tmp_path: Path, link: str) -> None:
    given, cache = files / "given", tmp_path / "cache"
    where = given / "inner" / link
    where.parent.mkdir(parents=True)
    where.symlink_to(files / "secret" / "cat")
    for path, roots in ((given, [given]), (given / "inner", [given / "cat", given / "inner"])):
        with pytest.raises(JobFailure, match="leads out of the directories that this worker gives") as refused:
            load(path, cache, roots)
        assert "secret" not in str(refused.value)


def test_links_within_the_roots_and_circles_are_fine(files: Path, tmp_path: Path) -> None:
    given = files / "given"
    (given / "cow").symlink_to(given / "cat")
    (given / "cat" / "up").symlink_to(given)
    assert load(given, tmp_path / "cache", [given]) > 0


def test_without_roots_a_machines_own_user_reads_what_is_theirs(files: Path, tmp_path: Path) -> None:
    assert load(files / "secret", tmp_path / "cache", []) > 0


def test_roots_come_from_the_workers_settings_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DATA_ROOTS", "/data:/mnt/images")
    settings = WorkerSettings(token="t", store="file:///x")
    assert settings.roots == (Path("/data"), Path("/mnt/images"))
    monkeypatch.setenv("BATON_DATA_ROOTS", "/data:images")
    with pytest.raises(ValidationError, match="absolute"):
        WorkerSettings(token="t", store="file:///x")


NAMES = ("../x", "..", "/etc/passwd", "a/b", ".hidden", "a\r\nX-Evil: 1", 'a"; filename="b', "a\x00b", "..\\x", "")


@pytest.mark.process
@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_an_artifact_leads_elsewhere(api: Api, name: str) -> None:
    hand = api.running()
    message = {"name": name, "object": f"jobs/{hand.job_id}/versions/{hand.fence}-1/{name}", "size": 1}
    answer = hand.post("artifacts", **message, crc32c="00000000", content_type="text/html")
    assert answer.status_code in (400, 422), answer.text
    told = quote(name, safe="")
    for path in (f"artifacts/{told}", f"attempts/{told}/log", f"artifacts/%2e%2e%2f{told}"):
        found = api.http.get(f"/v1/jobs/{hand.job_id}/{path}")
        assert found.status_code in (200, 404, 405, 422)
        assert "root:" not in found.text


@pytest.mark.parametrize(
    "target", ["jobs/{0}/versions/{1}-1/best.keras", "jobs/{2}/../{2}/x", "../secret", "/etc/passwd"]
)
def test_a_worker_points_at_no_object_but_its_own(api: Api, target: str) -> None:
    other, hand = api.running(), api.running()
    name = target.format(other.job_id, other.fence, hand.job_id)
    message = {"name": "best.keras", "object": name, "size": 1, "crc32c": "00000000", "content_type": "text/html"}
    assert_problem(hand.post("artifacts", **message), 422, "invalid-message")


def test_no_object_lies_outside_of_the_store(tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "store" / "link").symlink_to(tmp_path / "secret")
    for name in ("../secret", "/etc/passwd", "a/../../secret", "a//b", "a\\..\\b", "\x00", "."):
        for call in (store.get, lambda one: store.put(one, b"x"), store.stat):
            with pytest.raises(InvalidName):
                call(name)
    with pytest.raises(InvalidName):
        store.get("link")
    store.put("link", b"x")
    assert (tmp_path / "secret").read_text() == "secret"


class Trap:
    """An object that creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._file),)


def test_a_pickle_in_the_cache_is_not_loaded(files: Path, tmp_path: Path) -> None:
    given, cache, trap = files / "given", tmp_path / "cache", tmp_path / "trap"
    load(given, cache, [])
    (found,) = cache.glob("*.npy")
    np.save(found, np.array([Trap(trap)], dtype=object), allow_pickle=True)
    assert load(given, cache, []) > 0
    assert not trap.exists()
    with found.open("wb") as out:
        pickle.dump(Trap(trap), out)
    assert load(given, cache, []) > 0
    assert not trap.exists()


@pytest.mark.process  # loads TensorFlow, which make check does not
def test_a_model_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    import keras

    from worker.training.evaluate import _load

    trap = tmp_path / "trap"
    layer = keras.layers.Lambda(lambda x, path=str(trap): (__import__("os").makedirs(path, exist_ok=True), x)[1])
    keras.Sequential([keras.Input((2,)), layer]).save(tmp_path / "best.keras")
    if trap.exists():
        trap.rmdir()
    _refused(_load, tmp_path / "best.keras", trap)
    _renamed(tmp_path / "best.keras", "keras.layers", "Lambda", "os", "system")
    _refused(_load, tmp_path / "best.keras", trap)


def _refused(load_model: Any, file: Path, trap: Path) -> None:
    class Engine:
        network = None

    with pytest.raises(JobFailure, match="cannot be read as a Keras model"):
        load_model(Engine(), file)
    assert not trap.exists()


def _renamed(file: Path, module: str, name: str, other: str, function: str) -> None:
    """Replace the name of a class in the config of the model file."""
    with zipfile.ZipFile(file) as content:
        members = {one: content.read(one) for one in content.namelist()}
    config = json.loads(members["config.json"])
    for layer in config["config"]["layers"]:
        if layer["class_name"] == name:
            layer |= {"module": other, "class_name": function, "registered_name": None}
    assert f'"{module}"' in members["config.json"].decode()
    with zipfile.ZipFile(file, "w") as out:
        for one, data in members.items():
            out.writestr(one, json.dumps(config) if one == "config.json" else data)


URLS = {
    "//169.254.169.254/x": "is no directory on this worker",
    "file:///etc/passwd": "must be a path on the worker",
    "http://169.254.169.254/latest/meta-data/": "needs #sha256=HEX",
    f"http://169.254.169.254/x#sha256={'0' * 64}": "BATON_DATA_SOURCES",
    "https://169.254.169.254/latest/meta-data/": "BATON_DATA_SOURCES",
    "https://example.org@169.254.169.254/sets/x.zip": "a user name or password is not allowed",
    "https://example.org\\@169.254.169.254/sets/x.zip": "a backslash",
    "https://example.org/sets/%2e%2e/secret.zip": "must not contain '.' or '..'",
    "https://example.org.evil.net/sets/x.zip": "BATON_DATA_SOURCES",
    "https://example.org:8443/sets/x.zip": "BATON_DATA_SOURCES",
    "gs://bucket/x": "BATON_DATA_SOURCES",
    "s3://photos2/x": "BATON_DATA_SOURCES",
}


@pytest.mark.parametrize("url", URLS)
def test_no_spec_makes_a_worker_fetch_what_its_operator_did_not_allow(url: str, tmp_path: Path) -> None:
    """Nothing by default. For `download: true` the catalog and the worker's settings say from where."""
    for sources in ("", "https://example.org/sets/, s3://photos"):
        remote = RemoteData(tmp_path / "cache", sources=DataSources.parse(sources))
        with pytest.raises((JobFailure, ValidationError)) as refused:
            load_images(
                DatasetSpec(name="image-folder", path=url), size=8, cache=tmp_path / "cache", seed=1, remote=remote
            )
        assert URLS[url] in str(refused.value)
    assert not list((tmp_path / "cache").glob("data/*"))
    with pytest.raises(SpecError, match=r"dataset\.download"):
        parse_spec(spec(dataset={"name": "tiny-imagenet-200", "download": url}))
    with pytest.raises(SpecError, match="is not a known field"):
        parse_spec(spec(dataset={"name": "tiny-imagenet-200", "download": True, "url": url}))
    with pytest.raises(SpecError, match=r"dataset\.options"):
        parse_spec(spec(dataset={"name": "tiny-imagenet-200", "download": True, "options": {"url": url}}))
