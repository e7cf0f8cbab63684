"""GET /v1/install: the script and the files that it names, made from one wheel."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.helpers import Api, assert_problem, bearer

NAME = "baton_train-9.8.7-py3-none-any.whl"
LOCK = "baton/_programs/requirements/worker-{}.txt"
FILES = {
    "baton/__init__.py": "",
    LOCK.format("cpu"): "numpy==1 --hash=sha256:00\n",
    LOCK.format("gpu"): "cuda==1 --hash=sha256:00\n",
    "baton_train-9.8.7.dist-info/METADATA": "Name: baton-train\nVersion: 9.8.7\nRequires-Python: <3.14,>=3.11\n\n",
}


def write_wheel(folder: Path, files: dict[str, str] = FILES, name: str = NAME) -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member, text in files.items():
            archive.writestr(member, text)
    return folder / name


def release(script: bytes) -> dict[str, Any]:
    """What the script says of the files that it fetches."""
    names: dict[str, Any] = {"__name__": "script"}
    exec(compile(script, "worker.py", "exec"), names)
    return dict(names["RELEASE"])


def test_a_worker_gets_the_script_and_each_file_that_it_names(start: Callable[..., Api], tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    api = start(wheel=wheel)
    secret = bearer(api.token("work")["token"])
    script = api.http.get("/v1/install/worker.py", headers=secret)
    assert script.headers["content-type"].startswith("text/x-python")
    told = release(script.content)
    assert (told["version"], told["python"]) == ("9.8.7", [[3, 11], [3, 14]])
    assert told["wheel"]["name"] == NAME
    contents = {
        NAME: wheel.read_bytes(),
        **{told[one]["name"]: FILES[LOCK.format(one)].encode() for one in ("cpu", "gpu")},
    }
    for file in (told["wheel"], told["cpu"], told["gpu"]):
        answer = api.http.get(f"/v1/install/{file['name']}", headers=secret)
        assert answer.content == contents[file["name"]]
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
        again = api.http.get(f"/v1/install/{file['name']}", headers={**secret, "If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    missing = api.http.get("/v1/install/setup.py", headers=secret)
    assert_problem(missing, 404, "not-found")
    assert NAME in missing.json()["detail"]


def test_a_folder_is_enough_and_a_new_wheel_is_noticed(start: Callable[..., Api], tmp_path: Path) -> None:
    write_wheel(tmp_path)
    (tmp_path / "numpy-1-py3-none-any.whl").touch()
    api = start(wheel=tmp_path)
    first = api.http.get("/v1/install/worker.py").content
    write_wheel(tmp_path, {**FILES, "baton/more.py": "x = 1"})
    second = api.http.get("/v1/install/worker.py").content
    assert release(first)["wheel"]["sha256"] != release(second)["wheel"]["sha256"]
    assert release(first)["cpu"] == release(second)["cpu"]


def nothing(_folder: Path) -> None:
    return None


def two(folder: Path) -> Path:
    write_wheel(folder)
    write_wheel(folder, name="baton_train-9.8.8-py3-none-any.whl")
    return folder


def not_a_zip(folder: Path) -> Path:
    (folder / NAME).write_text("<html>")
    return folder / NAME


def without_locks(folder: Path) -> Path:
    return write_wheel(folder, {name: text for name, text in FILES.items() if "requirements" not in name})


@pytest.mark.parametrize("make", [nothing, two, not_a_zip, without_locks])
def test_without_a_wheel_the_answer_says_how_to_get_one(
    start: Callable[..., Api], tmp_path: Path, make: Callable[[Path], Path | None]
) -> None:
    api = start(wheel=make(tmp_path))
    answer = api.http.get("/v1/install/worker.py")
    assert_problem(answer, 404, "not-found")
    for word in ("baton up --share", "pip wheel --no-deps .", "BATON_WHEEL"):
        assert word in answer.json()["detail"]
    assert str(tmp_path) not in answer.json()["detail"]
