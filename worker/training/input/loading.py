"""Loads the job's images at each needed size and compares them with the data record of the checkpoint."""

from __future__ import annotations

from collections.abc import Callable

from baton.domain.data_changes import what_changed
from baton.domain.data_identity import FORMAT, DataIdentity, DataRecord
from baton.domain.errors import JobFailure
from baton.domain.goodput import Bucket
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from baton.domain.wire import Phase
from worker.attempt.protocols import Control, Workspace
from worker.background import in_background
from worker.checkpointing.snapshot import Snapshot
from worker.training.data import ImageData, LeftOut, RemoteData, load_images
from worker.training.state.cursor import CursorData

MAX_DOING = 500
ADVICE = (
    "Nothing was trained on it. Restore the data on this worker, then resume the job: it continues from its "
    "checkpoint. To continue with changed data, submit a job with dataset.on_change: continue"
)


class Loader:
    """Loads each size once. `record`: the data record for the next checkpoint; None before data is loaded.

    `changed`: the data differs from the checkpoint's data, and the spec says to continue with it. `left_out`: the files
    of the data set that are not used; one event lists them, unless the attempt resumes with the same data.
    """

    def __init__(self, spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None) -> None:
        self._spec, self._control, self._workspace = spec, control, workspace
        self._loaded: dict[int, ImageData] = {}
        self._remote = RemoteData(
            workspace.cache,
            store=lambda: control.store,
            sources=workspace.data_sources,
            limit=workspace.cache_bytes,
        )
        self.record = None if snapshot is None else _stored_record(snapshot)
        self.changed = False
        self.left_out = LeftOut()

    def at(self, size: int, boundary: Callable[[], None]) -> ImageData:
        """The images with `size` pixels a side. Calls `boundary` repeatedly meanwhile; `boundary` may raise to stop.

        Raises:
            JobFailure: data_changed, the data has changed; bad_data and others, like load_images.
        """
        if size not in self._loaded:
            self._control.tell(Phase.LOADING)
            with self._control.watch.measure(Bucket.DATA_LOADING):
                data = self._load(size, boundary)
                known = self.record is not None
                if data.identity is not None:
                    self._compare(data.identity)
                self._tell_left_out(data.left_out, known and not self.changed)
            self._loaded[size] = data
        return self._loaded[size]

    def close(self) -> None:
        """Releases the fetched data: after that, other jobs of the machine may delete it from the cache."""
        self._remote.close()

    def _load(self, size: int, boundary: Callable[[], None]) -> ImageData:
        def load(report: Callable[[str], None]) -> ImageData:
            return load_images(
                self._spec.dataset,
                size=size,
                cache=self._workspace.cache,
                seed=self._spec.seed,
                report=report,
                source=self._workspace.downloads.get(self._spec.dataset.name),
                roots=self._workspace.data_roots,
                remote=self._remote,
            )

        def show(text: str) -> None:
            self._control.tell(Phase.LOADING, doing=text[:MAX_DOING])

        try:
            return in_background(load, show, boundary)
        except JobFailure as error:
            if error.reason != Reason.BAD_DATA or self.record is None:
                raise
            # An earlier attempt read the data. So it has changed since, or this worker has a different copy.
            raise _changed(f"it cannot be read any more: {error}") from error

    def _tell_left_out(self, found: LeftOut, told: bool) -> None:
        if found.total and found.total != self.left_out.total and not told:
            self._control.note("files_left_out", found.text, found.data())
        self.left_out = found

    def _compare(self, found: DataIdentity) -> None:
        text = None if self.record is None else what_changed(self.record, found)
        if text is not None:
            self._check_change(text, found)
        self.record = found.record

    def _check_change(self, text: str, found: DataIdentity) -> None:
        assert self.record is not None
        if self._spec.dataset.on_change != "continue":
            raise _changed(text)
        before, now = self.record.classes, len(found.classes)
        outputs = self._spec.network.classes
        if now > outputs if outputs else now != before:
            has = outputs or before
            raise _changed(f"{text}. dataset.on_change: continue cannot help: the network has {has} outputs, not {now}")
        self.changed = True
        data = {"changed": text, "images_before": self.record.images, "images": len(found.names)}
        self._control.note("resumed_inexactly", f"resumed inexactly: the data changed: {text}", data)


def _stored_record(snapshot: Snapshot) -> DataRecord | None:
    """The data record of the checkpoint. None if an older version (no record) or a newer one (new format) wrote it."""
    record = CursorData.model_validate(snapshot.cursor).data
    return record if record is not None and record.format == FORMAT else None


def _changed(what: str) -> JobFailure:
    return JobFailure(
        Reason.DATA_CHANGED, f"the data is not what it was when this job was trained before: {what}. {ADVICE}"
    )
