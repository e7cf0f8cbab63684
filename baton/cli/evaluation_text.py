"""An evaluation as a table for the terminal, or as Markdown."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from baton.cli.render import table
from baton.domain.evaluation import ClassResult, Evaluation, SetResult

_COLUMNS = ("set", "images", "top-1", "top-5", "loss", "precision", "recall", "F1")
_CLASS_COLUMNS = ("class", "images", "precision", "recall", "F1")


def evaluation_table(evaluation: Evaluation) -> RenderableType:
    """The main results, and the best and the worst classes."""
    main = table(*_COLUMNS, right=_COLUMNS[1:])
    for row in _rows(evaluation):
        main.add_row(*row)
    return Group(Text(_title(evaluation)), main, *_both_ends(evaluation))


def _both_ends(evaluation: Evaluation) -> Iterator[RenderableType]:
    for name, found in evaluation.sets.items():
        for title, members in _ends(found):
            made = table(*_CLASS_COLUMNS, right=_CLASS_COLUMNS[1:], wrap="class")
            for one in members:
                made.add_row(*map(Text, _class(one)))
            yield Text(f"\n{title} classes by F1, {name}")
            yield made


def evaluation_markdown(evaluation: Evaluation) -> str:
    """The same tables as Markdown."""
    parts = [f"# Evaluation of {_escaped(evaluation.job)}", _title(evaluation), _markdown(_COLUMNS, _rows(evaluation))]
    for name, found in evaluation.sets.items():
        for title, members in _ends(found):
            parts += [f"## {title} classes by F1, {name}", _markdown(_CLASS_COLUMNS, [_class(c) for c in members])]
    return "\n\n".join(parts) + "\n"


def _title(evaluation: Evaluation) -> str:
    model = evaluation.model
    place = f" (stage {model.stage}, epoch {model.epoch})" if model.epoch else ""
    return f"{evaluation.network} on {evaluation.dataset}, {model.role} model{place}, images of {model.image_size} px"


def _rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    return [(name, *_numbers(found)) for name, found in evaluation.sets.items()]


def _numbers(found: SetResult) -> tuple[str, ...]:
    shares = (found.accuracy, found.top5_accuracy, found.macro.precision, found.macro.recall, found.macro.f1)
    top1, top5, *macro = (f"{100 * share:.2f} %" for share in shares)
    return (f"{found.images:,}", top1, top5, "-" if found.loss is None else f"{found.loss:.4f}", *macro)


def _ends(found: SetResult) -> Iterator[tuple[str, list[ClassResult]]]:
    yield "Worst", [found.classes[label] for label in found.worst]
    yield "Best", [found.classes[label] for label in found.best]


def _class(one: ClassResult) -> tuple[str, ...]:
    return (one.name, f"{one.images:,}", *(f"{100 * share:.1f} %" for share in (one.precision, one.recall, one.f1)))


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *([_escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in r"\`*_[]#|~!" else c for c in html.escape(" ".join(text.splitlines())))
