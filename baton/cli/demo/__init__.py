"""`baton demo`: the main job on this machine, with a killed worker in the middle."""

from baton.cli.demo.scenario import run_demo

__all__ = ["run_demo"]
