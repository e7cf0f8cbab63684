"""Evaluation of a network: its predictions for images, and the metrics computed from the predictions."""

from __future__ import annotations

from worker.training.evaluation.answers import TOP, Answers, joined
from worker.training.evaluation.metrics import class_names, evaluated, main_numbers

__all__ = ["TOP", "Answers", "class_names", "evaluated", "joined", "main_numbers"]
