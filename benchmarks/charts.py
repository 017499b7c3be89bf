"""Two charts: panels of horizontal bars and panels of lines on logarithmic axes; they know nothing of servers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.svg import Drawing

__all__ = ["Bar", "BarPanel", "LinePanel", "Series", "bar_chart", "line_chart", "log_ticks", "nice_step"]

MUTED = "#6b7280"
MARGIN = 24
HEADER = 64
PANEL_WIDTH = 500
BAR_HEIGHT = 18
ROW_HEIGHT = 26
LABEL_WIDTH = 118
VALUE_WIDTH = 84
LONGEST_REMARK = 52
LINE_WIDTH, LINE_HEIGHT = 500, 300


@dataclass(frozen=True)
class Bar:
    """A row: `value` drawn solid with its spread, `pale` (if larger) behind it; without a value, `remark` says why."""

    label: str
    color: str
    value: float | None
    low: float = 0
    high: float = 0
    pale: float | None = None
    remark: str = ""
    text: str = ""


@dataclass(frozen=True)
class BarPanel:
    title: str
    unit: str
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Series:
    label: str
    color: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class LinePanel:
    title: str
    series: Sequence[Series]


def bar_chart(title: str, subtitle: str, panels: Sequence[BarPanel], columns: int = 2) -> str:
    columns = min(columns, len(panels)) or 1
    heights = [60 + ROW_HEIGHT * len(panel.bars) + 44 for panel in panels]
    rows = [max(heights[start : start + columns]) for start in range(0, len(panels), columns)]
    drawing = Drawing(MARGIN * 2 + max(columns, 2) * PANEL_WIDTH, HEADER + sum(rows) + MARGIN / 2, title)
    _header(drawing, title, subtitle)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        _bar_panel(drawing, panel, MARGIN + column * PANEL_WIDTH, HEADER + sum(rows[:row]))
    return drawing.render()


def _header(drawing: Drawing, title: str, subtitle: str) -> None:
    drawing.text(MARGIN, 32, title, 19, bold=True)
    drawing.text(MARGIN, 52, subtitle, 12, fill=MUTED)


def _bar_panel(drawing: Drawing, panel: BarPanel, left: float, top: float) -> None:
    drawing.text(left, top + 26, panel.title, 14, bold=True)
    bars_left, bars_top = left + LABEL_WIDTH, top + 38
    bottom = bars_top + ROW_HEIGHT * len(panel.bars)
    width = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN
    largest = max([max(bar.high, bar.pale or 0, bar.value or 0) for bar in panel.bars] + [1e-9])
    step = nice_step(largest)
    for number in range(math.floor(largest / step) + 1):
        x = bars_left + width * number * step / largest
        drawing.line(x, bars_top, x, bottom)
        drawing.text(x, bottom + 16, f"{number * step:,.10g}", 11, "middle", MUTED)
    drawing.text(bars_left, bottom + 32, panel.unit, 11, fill=MUTED)
    for index, bar in enumerate(panel.bars):
        _bar(drawing, bar, bars_left, bars_top + ROW_HEIGHT * index + (ROW_HEIGHT - BAR_HEIGHT) / 2, width / largest)


def _bar(drawing: Drawing, bar: Bar, left: float, top: float, scale: float) -> None:
    middle = top + BAR_HEIGHT / 2
    drawing.text(left - 8, middle + 4, bar.label, 12, "end")
    if bar.value is None:
        drawing.text(left + 6, middle + 4, f"–  {_cut(bar.remark)}", 11, fill=MUTED)
        return
    end = max(bar.value, bar.high, bar.pale or 0)
    if bar.pale is not None:
        drawing.rectangle(left, top, bar.pale * scale, BAR_HEIGHT, bar.color, opacity=0.3)
    drawing.rectangle(left, top, bar.value * scale, BAR_HEIGHT, bar.color)
    if bar.high > bar.low:
        drawing.line(left + bar.low * scale, middle, left + bar.high * scale, middle, "#111827", 1.5)
        for edge in (bar.low, bar.high):
            drawing.line(left + edge * scale, middle - 4, left + edge * scale, middle + 4, "#111827", 1.5)
    drawing.text(left + end * scale + 6, middle + 4, bar.text or f"{bar.value:,.0f}", 12)


def _cut(remark: str) -> str:
    return remark if len(remark) <= LONGEST_REMARK else remark[: LONGEST_REMARK - 1] + "…"


def line_chart(
    title: str, subtitle: str, panels: Sequence[LinePanel], x_unit: str, y_unit: str, columns: int = 2
) -> str:
    columns = min(columns, len(panels)) or 1
    rows = math.ceil(len(panels) / columns)
    legend = list({series.label: series.color for panel in panels for series in panel.series}.items())
    drawing = Drawing(MARGIN * 2 + max(columns, 2) * LINE_WIDTH, HEADER + 30 + rows * (LINE_HEIGHT + 20), title)
    _header(drawing, title, subtitle)
    for index, (label, color) in enumerate(legend):
        x = MARGIN + index * 145
        drawing.line(x, 78, x + 20, 78, color, 3)
        drawing.dot(x + 10, 78, color)
        drawing.text(x + 26, 82, label, 12)
    points = [point for panel in panels for series in panel.series for point in series.points]
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        place = (MARGIN + column * LINE_WIDTH, HEADER + 30 + row * (LINE_HEIGHT + 20))
        _line_panel(drawing, panel, place, points, (x_unit, y_unit))
    return drawing.render()


def _line_panel(
    drawing: Drawing,
    panel: LinePanel,
    place: tuple[float, float],
    points: Sequence[tuple[float, float]],
    units: tuple[str, str],
) -> None:
    """One panel; all panels of a chart share the axes that `points` span."""
    left, right = place[0] + 58, place[0] + LINE_WIDTH - 20
    top, bottom = place[1] + 30, place[1] + LINE_HEIGHT - 40
    x_axis = _LogAxis([x for x, _ in points], left, right)
    y_axis = _LogAxis([y for _, y in points], bottom, top)
    drawing.text(left, top - 10, panel.title, 14, bold=True)
    for tick in x_axis.ticks:
        drawing.line(x_axis.at(tick), top, x_axis.at(tick), bottom)
        drawing.text(x_axis.at(tick), bottom + 16, f"{tick:,.10g}", 11, "middle", MUTED)
    for tick in y_axis.ticks:
        drawing.line(left, y_axis.at(tick), right, y_axis.at(tick))
        drawing.text(left - 6, y_axis.at(tick) + 4, f"{tick:,.10g}", 11, "end", MUTED)
    drawing.text((left + right) / 2, bottom + 34, units[0], 11, "middle", MUTED)
    drawing.text(place[0] + 10, (top + bottom) / 2, units[1], 11, "middle", MUTED, turned=True)
    for series in panel.series:
        placed = [(x_axis.at(x), y_axis.at(y)) for x, y in series.points]
        drawing.polyline(placed, series.color)
        for x, y in placed:
            drawing.dot(x, y, series.color)


class _LogAxis:
    """Maps values to pixels on a logarithmic scale that starts and ends at a tick."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        self.ticks = log_ticks(min(values, default=1.0), max(values, default=10.0))
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        low, high = math.log(self.ticks[0]), math.log(self.ticks[-1])
        return self.start + (self.end - self.start) * (math.log(value) - low) / (high - low)


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... around the range; only the powers of ten when it spans more than three of them."""
    steps = (1, 2, 5) if high / low < 1000 else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1
    ticks = [step * 10.0**power for power in range(first, last + 1) for step in steps]
    start = max((index for index, tick in enumerate(ticks) if tick <= low), default=0)
    end = next(index for index, tick in enumerate(ticks) if tick >= high and index > start)
    return ticks[start : end + 1]


def nice_step(largest: float) -> float:
    """A round step that puts three to six ticks up to the largest value."""
    power = 10.0 ** math.floor(math.log10(largest / 4))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if largest / (factor * power) <= 5)
