"""The history checker: checks rules that hold for every job at every moment, in the job's rows and log."""

from __future__ import annotations

from dataclasses import replace

from tests.control_plane import budget_rules, effect_rules, log_rules
from tests.control_plane.record import Record
from tests.control_plane.violations import Rule, Violation

RULES: tuple[Rule, ...] = (
    log_rules.sequence_is_gapless,
    log_rules.log_begins_with_the_submission,
    log_rules.states_follow_the_table,
    log_rules.rows_are_where_the_log_ends,
    log_rules.one_attempt_lives_at_a_time,
    log_rules.every_attempt_ends_once,
    log_rules.terminal_is_final,
    log_rules.owner_is_obeyed,
    effect_rules.fences_grow,
    effect_rules.only_the_holder_writes,
    effect_rules.rows_are_those_of_the_log,
    effect_rules.attempts_go_on_at_the_newest_checkpoint,
    effect_rules.steps_go_forward,
    budget_rules.budgets_are_right,
    budget_rules.history_is_complete,
)


def check(record: Record) -> list[Violation]:
    """All violations in a job's record. It is a pure function."""
    return [replace(found, rule=rule.__name__) for rule in RULES for found in rule(record)]
