"""`baton demo`: trains a small job on this machine, kills its worker, and checks the recovery."""

from baton.cli.demo.scenario import run_demo

__all__ = ["run_demo"]
