"""Commands that run Baton's programs on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from baton.cli.app import DONE, app, console, say
from baton.cli.dashboard import HINT, link_or_address
from baton.client.command_name import command_name
from baton.client.connection import DEFAULT_DATA
from baton.local.notebook import COLAB_URL, notebook_cell
from baton.local.programs import child_environment
from baton.local.share import Shared
from baton.local.stack import Stack, StackOptions, run_stack
from baton.local.worker_gpus import without_cuda
from baton.system.addresses import is_loopback

Data = Annotated[Path, typer.Option(metavar="DIR", help="Directory for database, store, logs and token.")]
Host = Annotated[str, typer.Option(metavar="H", help="Address to listen on.")]
Port = Annotated[int, typer.Option(metavar="P", min=0, max=65535, help="Port to listen on; 0: any free port.")]
RUNS_PROGRAMS = "Also run programs: code of everyone with a token of the scope programs, as this user."
NO_CUDA = (
    "This machine has a GPU, but the installed TensorFlow is the CPU build: the workers train on the CPU. "
    "requirements/worker-gpu.txt has the GPU build."
)


@app.command()
def up(
    data: Data = DEFAULT_DATA,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Number of workers; default: one for each GPU.")
    ] = None,
    share: Annotated[
        bool, typer.Option("--share", help="Let workers elsewhere (e.g. in Colab) reach this service through a tunnel.")
    ] = False,
    tunnel: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --share: cloudflared, tailscale or ngrok; default: the first found."),
    ] = None,
    programs: Annotated[bool, typer.Option("--programs", help=RUNS_PROGRAMS)] = False,
) -> None:
    """Run Redis, the service and workers here until Ctrl-C."""
    if tunnel is not None and not share:
        raise typer.BadParameter("--tunnel needs --share: add --share, or leave --tunnel out")
    say("starting Redis, the service and its workers")
    options = StackOptions(data, host, port, workers, share=share, tunnel=tunnel, programs=programs)
    run_stack(options, say, _welcome, _show_share)
    raise typer.Exit(DONE)


def _show_share(shared: Shared) -> None:
    """Shows how to start a worker on another machine. Blank lines enclose the cell, so that it is easy to copy."""
    cell = notebook_cell(service_url=shared.url, token=shared.token, script_sha256=shared.script_sha256)
    lines = (
        "",
        f"Shared at {shared.url} by {shared.tunnel}, only for workers, until this command ends.",
        "To start a worker on a machine with Baton:",
        f"  {command_name()} worker --service {shared.url} --token {shared.token}",
        f"To start a worker in Colab: open {COLAB_URL} , paste this cell, choose a GPU, and run the cell:",
        "",
        f"{cell.rstrip()}",
        "",
        "(the cell ends here)",
    )
    console().print("\n".join(lines), soft_wrap=True)


def _welcome(stack: Stack) -> None:
    baton, connection, options = command_name(), stack.connection, stack.options
    here = options.data == DEFAULT_DATA
    lines = [
        "",
        "[bold]Baton is running.[/bold] Ctrl-C stops it.",
        f"  dashboard  {link_or_address(connection)}",
        f"             ({HINT}; new link: {baton} dashboard)",
        f"  URL        {connection.url}",
        f"  token      {connection.token}",
        f"  data       {stack.data.root}",
        "",
        "Try next, in another terminal" + (" in this folder:" if here else ":"),
    ]
    if not here:
        lines.append(f"  export BATON_URL={connection.url} BATON_TOKEN={connection.token}")
    lines.append(f"  {baton} submit digits-demo --watch")
    if options.programs:
        lines.append(f"  {baton} submit --program 'python train.py' --code FOLDER --watch")
    lines += [f"  {baton} list", f"  {baton} --help"]
    if without_cuda(os.environ):
        lines.append(f"\n[yellow]{NO_CUDA}[/yellow]")
    if not is_loopback(options.host):
        lines.append("\n[yellow]Other machines can reach the service without TLS: use a proxy with TLS.[/yellow]")
    console().print("\n".join(lines), soft_wrap=True, markup=True)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(metavar="H", help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(metavar="P", min=0, max=65535, help="Port to listen on; 0: any free port.")
    ] = None,
) -> None:
    """Run only the service. It is configured by BATON_DATABASE_URL, BATON_REDIS_URL and BATON_STORE."""
    _become("service", [], {"BATON_HOST": host, "BATON_PORT": None if port is None else str(port)})


@app.command()
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit status 1 if a migration is needed.")
    ] = False,
    wait: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Seconds to wait for locks of other processes.")
    ] = None,
) -> None:
    """Update the schema of the database at BATON_DATABASE_URL."""
    _become("service.migrate", [*(["--check"] if check else []), *([] if wait is None else ["--wait", str(wait)])], {})


@app.command()
def worker(  # noqa: PLR0913, PLR0917 - a parameter for each option
    service: Annotated[str | None, typer.Option(metavar="URL", help="Service; default: BATON_URL.")] = None,
    token: Annotated[str | None, typer.Option(metavar="T", help="Token; default: BATON_TOKEN.")] = None,
    redis: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Redis; default: BATON_REDIS_URL. Without Redis, work comes over HTTP."),
    ] = None,
    poll: Annotated[
        bool, typer.Option("--poll", help="Get work from the service over HTTP, even if BATON_REDIS_URL is set.")
    ] = False,
    queue: Annotated[list[str] | None, typer.Option(metavar="Q", help="A queue to serve; may be repeated.")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after one attempt.")] = False,
    deadline: Annotated[
        str | None,
        typer.Option(metavar="T", help="Length of this session, such as 11h30m; the job is handed over in time."),
    ] = None,
    idle: Annotated[str | None, typer.Option(metavar="T", help="End after a time without work, such as 10m.")] = None,
    programs: Annotated[bool, typer.Option("--programs", help=RUNS_PROGRAMS)] = False,
) -> None:
    """Run a worker. It needs only the URL of the service and a token: the service sends the URL of its store."""
    if poll and redis is not None:
        raise typer.BadParameter("a worker with --poll does not use --redis: leave one of them out")
    settings = {"BATON_URL": service, "BATON_TOKEN": token, "BATON_REDIS_URL": redis}
    settings |= {"BATON_DEADLINE": deadline, "BATON_IDLE": idle}
    arguments = [part for name in queue or [] for part in ("--queue", name)]
    arguments += [name for name, given in {"--poll": poll, "--once": once, "--programs": programs}.items() if given]
    _become("worker", arguments, settings)


def _become(module: str, arguments: list[str], settings: Mapping[str, str | None]) -> None:
    # This process becomes the service or the worker, so signals reach it directly and the exit status is its own.
    given = {name: value for name, value in settings.items() if value is not None}
    environment = {**child_environment(os.environ), **given}
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)  # noqa: S606  # as said


@app.command()
def demo(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Directory, emptied at the start.")] = Path(".demo"),
) -> None:
    """Train on handwritten digits, kill the worker during training, and check the recovery."""
    from baton.cli.demo import run_demo

    raise typer.Exit(run_demo(data, console()))
