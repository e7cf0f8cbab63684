"""Common to all figures: size, colours for a light and a dark background, and the two output formats."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# The colour of text and axes: almost black in a PNG. In an SVG it is replaced by the page's own text colour.
INK = "#010203"
TRAINING, VALIDATION, PUBLISHED = "#2f7fe0", "#e8710a", "#129a4d"
RIGHT, WRONG = "#129a4d", "#e5484d"
WIDTH, DPI = 6.4, 160
_PAD = 0.07
STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "legend.fontsize": 8.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "grid.color": INK,
    "grid.alpha": 0.14,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "axes.facecolor": "none",
    "svg.fonttype": "path",
    # The name of a class may contain $, which matplotlib would otherwise read as the start of a formula.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure. `name`: part of the name of its file."""

    name: str
    title: str
    caption: str
    svg: Markup
    png: bytes

    @property
    def file(self) -> str:
        """The name of its PNG file."""
        return f"report-{self.name}.png"

    def save(self, folder: Path) -> None:
        """Writes the PNG file."""
        (folder / self.file).write_bytes(self.png)


def blank(height: float) -> Figure:
    """An empty figure of the common width; `height` in inches."""
    return Figure(figsize=(WIDTH, height), layout=ConstrainedLayoutEngine(h_pad=_PAD, w_pad=_PAD))


def drawing(figure: Figure, name: str, title: str, caption: str) -> Drawing:
    """Renders a figure as SVG and as PNG."""
    png, svg = io.BytesIO(), io.StringIO()
    figure.savefig(png, format="png", dpi=DPI)
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return Drawing(name, title, caption, _inline(svg.getvalue(), name, title), png.getvalue())


def styled() -> Any:
    """A context in which figures get the common style."""
    return mpl.rc_context(STYLE)  # type: ignore[arg-type]  # its keys are a Literal


def _inline(text: str, name: str, title: str) -> Markup:
    """The SVG element, with ids that are unique on the page, and with the page's colour of text."""
    svg = text[text.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    label = Markup.escape(title)
    # matplotlib wrote this markup. Texts of users occur in it only as outlines and in escaped comments.
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1))  # noqa: S704
