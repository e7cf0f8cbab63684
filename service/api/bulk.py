"""Actions on many jobs at once."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictBool, WithJsonSchema, model_validator

from baton.domain.bulk_views import BulkView
from baton.domain.spec import Label
from baton.domain.validation import WHOLE, FieldValueError, Model
from service.api.auth import SUBMIT, Caller
from service.api.dependencies import Ctx, guarded_router
from service.api.job_lists import LabelFilter
from service.api.problems import BODY, responses
from service.usecases import bulk
from service.usecases.job_filters import Status
from service.usecases.job_selection import Selection

MOST_IDS = 1000
router = guarded_router("jobs")


def _known(name: str) -> str:
    if name not in bulk.NAMES:
        raise ValueError(f"must be one of {', '.join(bulk.NAMES)}")
    return name


ActionName = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(bulk.NAMES)})]


class BulkFilter(Model):
    """Jobs that match all of these conditions."""

    status: Annotated[tuple[Status, ...], Field(max_length=9)] = ()
    """One of these statuses. Without a status: all statuses that allow the action."""
    label: Annotated[tuple[LabelFilter, ...], Field(max_length=10)] = ()
    """All of these labels, as key:value."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._*-]{1,100}$")] | None = None
    """This name. `*` stands for any characters."""


class BulkRequest(Model):
    """An action on the jobs of `ids`, on those that match `filter`, or with `all: true` on all jobs."""

    action: ActionName
    """What is done with each job."""
    ids: (
        Annotated[
            tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")], ...], Field(min_length=1, max_length=MOST_IDS)
        ]
        | None
    ) = None
    filter: BulkFilter | None = None
    all: StrictBool = False
    labels: Annotated[dict[Label, Label | None], Field(max_length=32)] = Field(default_factory=dict)
    """For the action label: labels to set. A label with null is removed."""
    preview: StrictBool = False
    """Only count the jobs, and show the first of them."""
    expect: Annotated[int, Field(ge=0, le=2**31 - 1), WHOLE] | None = None
    """The number of the preview: another number of matching jobs is refused with 409."""
    cursor: Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[1-9][0-9]{0,17})?$")] | None = None
    """`next_cursor` of the call before."""

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        chosen = [self.ids is not None, self.filter is not None and self.filter != BulkFilter(), self.all]
        if sum(chosen) != 1:
            raise FieldValueError("filter", "name exactly one of ids, a filter that is not empty, and all: true")
        if (self.action == bulk.LABEL) != bool(self.labels) and not (self.preview and not self.labels):
            raise FieldValueError("labels", "must be set for the action label, and for no other")
        return self

    def selection(self, statuses: tuple[Status, ...]) -> Selection:
        """The selected jobs. `statuses`: in which the action is possible."""
        if self.ids is not None:
            return Selection(ids=tuple(dict.fromkeys(self.ids)))
        wanted = self.filter or BulkFilter()
        return Selection(statuses=wanted.status or statuses, labels=wanted.label, name=wanted.name)


@router.post("/jobs:bulk", dependencies=[SUBMIT], responses=responses(409, *BODY))
def act_on_jobs(ctx: Ctx, caller: Caller, wanted: BulkRequest) -> BulkView:
    """Do an action on many jobs, or with `preview` count them. One call handles at most 200 jobs: repeat it with
    `next_cursor` until that is null. Each job is changed separately. A repeated call changes nothing more."""
    done = bulk.action(wanted.action, wanted.labels)
    selection = wanted.selection(done.statuses)
    if wanted.preview:
        return bulk.preview(ctx.database, selection)
    return bulk.run(ctx.database, caller, done, selection, cursor=wanted.cursor, expect=wanted.expect)
