"""Where differences usually come from: what is said of each cause, and the names that point to it."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """`code`: stable, for scripts. `title`: a noun phrase. `advice`: what to do. `names`: of variables and arrays that
    point to it.
    """

    code: str
    title: str
    advice: str
    names: str = ""

    def fits(self, name: str) -> bool:
        """Whether a name points to this cause."""
        return bool(self.names) and re.search(self.names, name, re.IGNORECASE) is not None


# --- two uninterrupted runs differ ---

CLOCK = Cause(
    "clock",
    "something depends on the time",
    "Let it depend on the number of the step. If it is only a measured time, leave it out: --ignore NAME.",
    r"time|elapsed|clock|second|duration|_per_s|started|began|(^|[._/])now\b|timestamp|throughput|speed",
)
SET_ORDER = Cause(
    "set_order",
    "the order of a set: with a fixed PYTHONHASHSEED two runs are equal",
    "Python's sets of texts have another order in each process. Use sorted(...) or a list.",
)
UNSEEDED = Cause(
    "unseeded_generator",
    "a random generator without a seed",
    "Give it a seed at the start of the program, and save its state.",
)
NONDETERMINISTIC = Cause(
    "nondeterministic",
    "the computation itself is not deterministic",
    "Usual reasons: threads or processes whose results come in any order, and kernels of a GPU that add in any order. "
    "See docs/how-to/prove-resume.md.",
)

# --- only the interrupted run differs ---

SAVING = Cause(
    "saving_changes_the_run",
    "saving changes the training",
    "What the program does to save, such as an evaluation, draws from a random generator or changes the state of the "
    "model. The interrupted run saves at fewer steps, so it differs before its first interruption.",
)
FAILS = Cause(
    "fails_after_a_resume",
    "the program fails when it continues",
    "Read the last lines of its output. If the next attempt was in a new folder, it may need files that an earlier "
    "attempt wrote: put them into the save.",
)
GENERATOR = Cause(
    "generator",
    "a random generator whose state is not saved",
    "Put its state into the save, and set it after the restore. baton.adapters.random_states does it for those of "
    "Python and NumPy.",
    r"(^|[._/])(rng|prng|gen|generator|random|seed|key)s?($|[._/\d])",
)
SCHEDULE = Cause(
    "schedule",
    "the schedule of the learning rate is not saved",
    "Save the state of the scheduler, or make the rate a function of the step.",
    r"(^|[._/])lr($|[._/\d])|learning_?rate|sched|warm_?up|(^|[._/])rate($|[._/])|annealing",
)
ITERATOR = Cause(
    "iterator",
    "the position in the data is not saved",
    "Save the number of the next batch and the order of the epoch, or make the batch a function of the step.",
    r"^(?!.*(optim|adam|sgd|rmsprop)).*"
    r"(iterator|(?<![a-z])iter(s|able|ations?)?($|[._/\d])|[._/](data|batch|train)iter|position|loader|sampler"
    r"|(^|[._/])(index|pos|offset|cursor|order|perm|permutation|remaining|queue)($|[._/\d]))",
)
CACHED = Cause(
    "cached_batch",
    "a batch that was fetched earlier is used again after the resume",
    "Fetch the batch again after the restore, or save it with the position to which it belongs.",
    r"cache|prefetch|buffer|stale|next_batch|ahead|pending",
)
BEST = Cause(
    "best",
    "the best value so far is not saved",
    "Save the best metric, its weights, and what counts the epochs since then.",
    r"best|patience|wait($|[._])|plateau|early",
)
EMA = Cause(
    "ema",
    "averaged weights (EMA) are not saved",
    "Save the averaged weights beside the weights.",
    r"(^|[._/ ])ema|averag|shadow|polyak|(^|[._/ ])swa",
)
OPTIMIZER = Cause(
    "optimizer",
    "the state of the optimizer is not saved",
    "Save the optimizer's own arrays and its count of steps. In Keras, build the optimizer before the restore.",
    r"optim|momentum|veloc|adam|exp_avg|moment",
)
REPEATED_ROWS = Cause(
    "repeated_rows",
    "rows are recorded twice",
    "The program records a row again after the resume. Record it before the save that covers it, and not at the start.",
)
MISSING_DATA = Cause(
    "missing_data",
    "steps are missing: data is left out after a resume",
    "Usually the last, smaller batch of the epoch is dropped, or a batch that was fetched and not used is lost.",
)
REPEATED_DATA = Cause(
    "repeated_data",
    "there are more steps: data is used twice after a resume",
    "Save the position in the data, and continue behind the last batch that was used.",
)
FILE_OUTSIDE = Cause(
    "file_outside_the_save",
    "a file that the program appends to does not belong to the save",
    "What an attempt wrote after its last save stays in the file, and the next attempt writes it again. Use run.log "
    "and run.epoch, or cut the file to the length that the save has.",
)
VARIABLE = Cause(
    "unsaved_variable",
    "a variable is not restored",
    "Put it into the save, or compute it from what is saved.",
)
UNKNOWN = Cause(
    "unknown",
    "no variable was seen that explains it",
    "The state may be in an object of a framework or in another process. Compare what the save has with what a step "
    "reads and changes.",
)

BY_NAME = (GENERATOR, SCHEDULE, ITERATOR, CACHED, BEST, EMA, OPTIMIZER)
"""Causes of a wrong resume, by what else they change: the first one that a name points to is taken. A wrong position
changes weights, and so the averaged weights; the averaged weights change nothing else.
"""
EFFECTS = (
    r"(^|[._/ ])(loss(es)?|grads?|gradients?|error|logits|probabilities|hidden|output|prediction|x|y|labels)($|[._/ ])"
)
"""Names of what is computed anew in each step."""
