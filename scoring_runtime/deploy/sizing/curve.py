"""The curve of a profile: latency over rate, in a terminal or as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from scoring_runtime.deploy.sizing.open_loop import Step

__all__ = ["as_svg", "as_text"]

BAR = 40
WIDTH, HEIGHT, EDGE = 640, 360, 56


def as_text(steps: Sequence[Step]) -> str:
    """A row a step; the bar is its p95 against the longest one."""
    longest = max((step.p95 for step in steps), default=0.0) or 1.0
    rows = ["  offered/s  answered/s      p50 ms      p95 ms      p99 ms  failed"]
    for step in steps:
        bar = "#" * max(1, round(BAR * step.p95 / longest))
        failed = sum(step.failures.values())
        rows.append(
            f"{step.rate:11.1f}{step.achieved:12.1f}{step.p50:12.1f}{step.p95:12.1f}{step.p99:12.1f}{failed:8d}  {bar}"
        )
    return "\n".join(rows)


def as_svg(steps: Sequence[Step], capacity: float) -> str:
    """p50 and p95 over the offered rate, and where the capacity is."""
    most = max([step.rate for step in steps] + [capacity]) or 1.0
    slowest = max((step.p95 for step in steps), default=0.0) or 1.0

    def place(rate: float, ms: float) -> str:
        x = EDGE + (WIDTH - 2 * EDGE) * rate / most
        return f"{x:.1f},{HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * ms / slowest:.1f}"

    def line(pick: str, color: str) -> str:
        points = " ".join(place(step.rate, getattr(step, pick)) for step in steps)
        return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>'

    def text(x: float, y: float, words: str, anchor: str = "middle") -> str:
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'

    knee = place(capacity, 0).split(",")[0]
    bottom, right = HEIGHT - EDGE, WIDTH - EDGE
    elements = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<path d="M{EDGE} {EDGE}V{bottom}H{right}" fill="none" stroke="#6b7280"/>',
        f'<path d="M{knee} {EDGE}V{bottom}" stroke="#dc2626" stroke-dasharray="4"/>',
        line("p50", "#2563eb"),
        line("p95", "#d97706"),
        text(float(knee), EDGE - 8, f"capacity {capacity:.1f}/s"),
        text(WIDTH / 2, HEIGHT - 16, "requests offered a second"),
        text(right, bottom + 18, f"{most:.1f}", "end"),
        text(EDGE - 6, EDGE + 4, f"{slowest:.0f} ms", "end"),
        text(right, EDGE + 16, "p50 blue, p95 amber", "end"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n' + "\n".join(elements) + "\n</svg>\n"
    )
