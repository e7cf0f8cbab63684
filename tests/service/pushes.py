"""A client's push at the service's HTTP surface, in few words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import httpx

from baton.domain.data_manifest import DataFile, DataManifest, Pack, cuts
from tests.service.helpers import Api

PHOTOS = {"cats/1.png": b"cat", "dogs/1.png": b"dog"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Push:
    """What a client sends for these files."""

    def __init__(self, files: Mapping[str, bytes] = PHOTOS) -> None:
        paths = sorted(files)
        sizes = [(path, len(files[path])) for path in paths]
        self.packs = {}
        for pieces in cuts(sizes):
            content = b"".join(files[paths[index]][start:end] for index, start, end in pieces)
            self.packs[sha256(content)] = content
        self.manifest = DataManifest(
            kind="folder",
            files=tuple(DataFile(path, len(files[path]), sha256(files[path])) for path in paths),
            packs=tuple(Pack(digest, len(content)) for digest, content in self.packs.items()),
        )
        self.digest = self.manifest.digest

    def missing(self, api: Api) -> list[str]:
        query = {"packs": [[digest, len(content)] for digest, content in self.packs.items()]}
        answer = api.http.post("/v1/packs:missing", json=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["missing"])

    def send(self, api: Api) -> None:
        for digest in self.missing(api):
            answer = put(api, digest, self.packs[digest])
            assert answer.status_code == 204, answer.text

    def publish(self, api: Api, name: str = "photos") -> httpx.Response:
        url = f"/v1/manifests/{self.digest}"
        return api.http.put(url, params={"name": name}, content=self.manifest.encode())

    def push(self, api: Api, name: str = "photos") -> dict[str, Any]:
        self.send(api)
        answer = self.publish(api, name)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())


def put(api: Api, digest: str, content: bytes) -> httpx.Response:
    return api.http.put(f"/v1/packs/{digest}", content=content)


def submit(api: Api, data: str, **more: Any) -> httpx.Response:
    stages = [{"image_size": 16, "epochs": 1}]
    spec = {"name": "x", "network": {"name": "network-2"}, "dataset": {"name": "image-folder", "data": data}}
    return api.http.post("/v1/jobs", json={**spec, "stages": stages, **more})
