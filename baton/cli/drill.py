"""`baton drill`: does an interrupted run end as an uninterrupted one does, to the bit?"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.status import Status

from baton.cli.app import DONE, JOB_FAILED, USAGE, Json, Sets, app, console, exit_status, fail, say
from baton.cli.drill_text import outcome_text
from baton.cli.program_spec import ProgramOptions, mapping, with_options, words_of
from baton.cli.spec_files import parse_sets, read_spec
from baton.domain.durations import parse_duration
from baton.domain.errors import BatonError
from baton.domain.overrides import apply_overrides
from baton.drill.drill import EQUAL, drill
from baton.drill.options import KILLS, QUICK_KILLS, QUICK_SPREAD, SPREAD, Options
from baton.drill.process import Limits
from baton.drill.program import Program
from baton.drill.result import result

QUICK_PAUSE, PAUSE = 0.5, 2.0


@app.command(name="drill")
def drill_command(  # noqa: PLR0913, PLR0917  # one for each option
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC.yaml|PLAN", help="A job's spec or a plan; else use --program.")
    ] = None,
    program: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="A program of your own, e.g. 'python train.py'.")
    ] = None,
    code: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of the program; it runs in copies of it.")
    ] = None,
    params: Annotated[
        str | None, typer.Option(metavar="FILE|JSON", help="Parameters that the program reads as run.params.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Data on this machine that the program reads as NAME.")
    ] = None,
    kills: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=1000, help="Interruptions: kills, SIGTERMs and pauses. Default: 6."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="The same seed draws the same interruptions.")] = 0,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two interruptions and fewer checkpoints, e.g. for continuous integration.")
    ] = False,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Do not compare this metric, file or array; may have * and be repeated."),
    ] = None,
    stall: Annotated[
        str, typer.Option(metavar="T", help="A program that calls nothing for this time has failed, such as 5m.")
    ] = "15m",
    timeout: Annotated[str, typer.Option(metavar="T", help="The most that the drill may take.")] = "24h",
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the runs in this new folder. Without it they are kept if they differ."),
    ] = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Run a program or a classifier with and without interruptions, and compare both to the bit.

    Exit status 0: equal to the bit; 1: they differ; 2: bad usage, or it fails without interruptions.
    """
    options = Options(
        seed=seed,
        kills=kills or (QUICK_KILLS if quick else KILLS),
        spread=QUICK_SPREAD if quick else SPREAD,
        ignored=tuple(ignore or ()),
        limits=Limits(_seconds("stall", stall), _seconds("timeout", timeout), QUICK_PAUSE if quick else PAUSE),
    )
    body = _body(spec, program, params, parse_sets(sets or []), code)
    with _folder_of_runs(folder) as (root, keep), _failures_are_no_verdict():
        if "program" in body:
            equal = _drill_program(_program(body, code, data or ()), options, root, json)
        else:
            equal = _drill_classifier(body, options, root, json)
        keep(not equal or folder is not None)
    raise typer.Exit(DONE if equal else JOB_FAILED)


@contextmanager
def _failures_are_no_verdict() -> Iterator[None]:
    """Exit status 1 says that the runs differ, and nothing else."""
    try:
        yield
    except BatonError as error:
        if exit_status(error) == JOB_FAILED:
            fail(str(error), USAGE)
        raise


def _body(
    spec: str | None, program: str | None, params: str | None, overrides: dict[str, object], code: Path | None
) -> dict[str, Any]:
    if (spec is None) == (program is None):
        fail("drill needs a spec or --program COMMAND, and not both", USAGE)
    found = {} if spec is None else read_spec(spec)
    if found is None:
        if params or code:
            fail(f"{spec} is the name of a plan: --params and --code belong to a program", USAGE)
        return {"plan": spec, "set": overrides}
    options = ProgramOptions(program, code, params)
    return apply_overrides(with_options(found, options) if options else found, overrides)


def _program(body: dict[str, Any], code: Path | None, data: tuple[str, ...] | list[str]) -> Program:
    spec = mapping(body, "program")
    command = spec.get("command")
    if isinstance(command, str):
        command = words_of(command)
    if not command or not all(isinstance(one, str) for one in command):
        fail("program.command in the spec must be a list of words", USAGE)
    sources = {}
    for one in data:
        name, equals, path = one.partition("=")
        if not equals or not Path(path).exists():
            fail(f"--data {one}: needs NAME=PATH of a file or folder on this machine", USAGE)
        sources[name] = str(Path(path).resolve())
    environment = {name: str(value) for name, value in mapping(spec, "environment").items()}
    folder = (code or Path()).expanduser()
    return Program(
        tuple(command), folder, mapping(body, "params"), sources, environment, spec.get("working_directory", ".")
    )


def _drill_program(program: Program, options: Options, root: Path, json: bool) -> bool:
    with _progress() as (tell, line):
        outcome = drill(program, options, root, tell, line)
    if json:
        print(dumps(result(outcome), indent=2))
    else:
        console().print(outcome_text(outcome, root), soft_wrap=True, markup=False)
    return outcome.verdict == EQUAL


def _drill_classifier(body: dict[str, Any], options: Options, root: Path, json: bool) -> bool:
    from baton.drill.classifier import classifier_result, drill_classifier

    with _progress() as (_, line):
        outcome = drill_classifier(body, options, root, line)
    if json:
        print(dumps(classifier_result(outcome), indent=2))
    else:
        from baton.cli.drill_text import classifier_text

        console().print(classifier_text(outcome, root), soft_wrap=True, markup=False)
    return outcome.comparison.first is None


@contextmanager
def _progress() -> Iterator[tuple[Any, Any]]:
    """Shows how far a run is on a terminal, and lines in any case. Both go to standard error."""
    screen = Console(stderr=True, highlight=False, markup=False)
    if not screen.is_terminal:
        yield _tell_nothing, say
        return
    with Status("starting", console=screen) as status:

        def tell(name: str, counts: dict[str, Any]) -> None:
            step = counts.get("step")
            status.update(f"{name}: step {step}" if step is not None else name)

        yield tell, screen.print


def _tell_nothing(_name: str, _counts: dict[str, Any]) -> None:
    """Without a terminal, nothing moves."""


@contextmanager
def _folder_of_runs(folder: Path | None) -> Iterator[tuple[Path, Any]]:
    if folder is not None and folder.exists() and any(folder.iterdir()):
        fail(f"--folder {folder}: has files; give a new folder", USAGE)
    root = Path(tempfile.mkdtemp(prefix="baton-drill-")) if folder is None else folder.absolute()
    root.mkdir(parents=True, exist_ok=True)
    kept = [folder is not None]

    def keep(yes: bool) -> None:
        kept[0] = yes

    try:
        yield root, keep
    finally:
        if not kept[0]:
            shutil.rmtree(root, ignore_errors=True)


def _seconds(option: str, text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        fail(f"--{option} {text}: {error}", USAGE)
