"""Limits on the number of concurrently held attempts, by queue, by label and by project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from baton.domain.lenient_reading import mapping

ANY = "*"


@dataclass(frozen=True)
class Place:
    """A limit on concurrent attempts: at most `most` of a queue, or of all jobs with a label."""

    kind: str
    name: str
    most: int

    def __str__(self) -> str:
        """The limit's name as users see it."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Limits:
    """`queues`: limit by queue. `labels`: limit by `key:value`. `key:*` applies separately to each other value.

    `projects`: limit by project, from the quotas in the database (service.usecases.project_quotas.with_quotas).
    """

    queues: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    projects: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return bool(self.queues or self.labels or self.projects)

    def places(self, queue: str, labels: Mapping[str, str], project: str | None = None) -> tuple[Place, ...]:
        """The limits that apply to a job with this queue, labels and project. Its attempt takes one place of each."""
        found = [Place("queue", queue, self.queues[queue])] if queue in self.queues else []
        if project is not None and project in self.projects:
            found.append(self.project(project))
        labelled = [self.label(key, value) for key, value in mapping(labels).items()]
        return (*found, *(place for place in labelled if place is not None))

    def project(self, name: str) -> Place:
        """The place of a project that has a limit."""
        return Place("project", name, self.projects[name])

    def label(self, key: str, value: str) -> Place | None:
        """The place of one label. None if it has no limit."""
        most = self.labels.get(f"{key}:{value}", self.labels.get(f"{key}:{ANY}"))
        return None if most is None else Place("label", f"{key}:{value}", most)

    def limited(self, labels: Mapping[str, str]) -> dict[str, str]:
        """The labels that have a limit."""
        return {key: value for key, value in labels.items() if self.label(key, value) is not None}

    @property
    def label_patterns(self) -> tuple[str, ...]:
        """The labels that have a limit, without the number of the limit: `key:value` and `key:*`, sorted."""
        return tuple(sorted(self.labels))

    @property
    def label_keys(self) -> list[str]:
        """The keys of labels that have a limit, sorted."""
        return sorted({pattern.partition(":")[0] for pattern in self.labels})
