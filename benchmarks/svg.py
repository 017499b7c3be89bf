"""The few SVG elements that the plots need, written as text."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

__all__ = ["Drawing"]

FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"


class Drawing:
    """Collects elements; `render` gives the document. Coordinates are pixels from the upper left corner."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width = width
        self.height = height
        self.elements = [f"<title>{escape(title)}</title>"]
        self.rectangle(0, 0, width, height, "#ffffff")

    def rectangle(self, x: float, y: float, width: float, height: float, fill: str, opacity: float = 1) -> None:
        self._add("rect", x=x, y=y, width=max(0.0, width), height=height, fill=fill, fill_opacity=opacity)

    def line(self, x1: float, y1: float, x2: float, y2: float, stroke: str = "#d5d9e0", width: float = 1) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke, stroke_width=width)

    def polyline(self, points: Sequence[tuple[float, float]], stroke: str, width: float = 2) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._add("polyline", points=path, fill="none", stroke=stroke, stroke_width=width)

    def dot(self, x: float, y: float, fill: str, radius: float = 3.5) -> None:
        self._add("circle", cx=x, cy=y, r=radius, fill=fill)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 12,
        anchor: str = "start",
        fill: str = "#1f2937",
        bold: bool = False,
        turned: bool = False,
    ) -> None:
        weight = "600" if bold else "400"
        turn = f"rotate(-90 {x:.1f} {y:.1f})" if turned else None
        self._add(
            "text",
            escape(text),
            x=x,
            y=y,
            font_size=size,
            text_anchor=anchor,
            fill=fill,
            font_weight=weight,
            transform=turn,
        )

    def _add(self, tag: str, content: str = "", /, **attributes: object) -> None:
        written = " ".join(
            f"{name.replace('_', '-')}={quoteattr(_short(value))}"
            for name, value in attributes.items()
            if value is not None
        )
        self.elements.append(f"<{tag} {written}>{content}</{tag}>" if content else f"<{tag} {written}/>")

    def render(self) -> str:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:g}" height="{self.height:g}" '
            f'viewBox="0 0 {self.width:g} {self.height:g}" font-family={quoteattr(FONT)}>'
        )
        return "\n".join([head, *self.elements, "</svg>\n"])


def _short(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
