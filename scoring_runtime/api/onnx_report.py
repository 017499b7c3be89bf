"""What a session really runs on, for the log, /info and the metrics: asked of ONNX Runtime, never assumed."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from scoring_runtime.api.status import report_gauge, report_status

__all__ = ["SessionReport", "assignment", "publish", "reports"]

logger = logging.getLogger("azmlinfsrv.accelerator")


@dataclass(frozen=True)
class SessionReport:
    """One opened session. `nodes` is empty where this ONNX Runtime does not tell."""

    model: str
    accelerator: str  # that was asked for
    policy: str
    provider: str  # that is bound first
    providers: tuple[str, ...]
    nodes: dict[str, int]  # of the graph, by provider
    fell_back: str  # why the accelerator is not used; empty when it is
    emulated: bool
    threads: int
    opened_ms: float
    warmed_ms: float | None  # None: not warmed
    cache: str
    not_warmed: str = ""  # why not

    @property
    def share(self) -> float | None:
        """Of the graph's nodes, those on the first provider; None: unknown."""
        total = sum(self.nodes.values())
        if not total:
            return 1.0 if len(self.providers) == 1 else None
        return self.nodes.get(self.provider, 0) / total

    def as_dict(self) -> dict[str, Any]:
        """For /info."""
        return {**asdict(self), "providers": list(self.providers), "share": self.share}

    def __str__(self) -> str:
        total = sum(self.nodes.values())
        placed = f"{self.nodes.get(self.provider, 0)} of {total} nodes" if total else "all nodes"
        if self.share is None:
            placed = "an unknown share of the nodes"
        emulated = ", an emulation on the processor" if self.emulated else ""
        warm = f"warmed in {self.warmed_ms:.0f} ms" if self.warmed_ms is not None else "not warmed"
        if self.not_warmed:
            warm += f" ({self.not_warmed})"
        lost = f"; {self.accelerator} is not used: {self.fell_back}" if self.fell_back else ""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return (
            f"ONNX session of {self.model}: {self.provider}{emulated} has {placed}, {threads}, "
            f"opened in {self.opened_ms:.0f} ms, {warm}{lost}"
        )


def assignment(session: Any) -> dict[str, int]:
    """Nodes of the graph by provider, as ONNX Runtime (from 1.24) has recorded them; else empty."""
    ask = getattr(session, "get_provider_graph_assignment_info", None)
    if ask is None:
        return {}
    counts: Counter[str] = Counter()
    try:
        for part in ask():
            counts[part.ep_name] += len(part.get_nodes())
    except Exception:  # a plugin need not support it; what is unknown is said to be
        return {}
    return dict(counts)


OPENED: list[SessionReport] = []


def publish(report: SessionReport) -> None:
    """Into the log, /info and the metrics."""
    OPENED.append(report)
    logger.log(logging.WARNING if report.fell_back else logging.INFO, "%s", report)
    report_status("accelerator", [one.as_dict() for one in OPENED])
    lost = sum(1 for one in OPENED if one.fell_back)
    report_gauge("accelerator_fallbacks", "Sessions that do not run on the accelerator that was asked for.", lost)
    shares = [one.share for one in OPENED if not one.fell_back and one.share is not None]
    if shares:
        help = "Share of the models' nodes on the accelerator that was asked for, the least of all sessions."
        report_gauge("accelerator_node_share", help, 0.0 if lost else min(shares))


def reports() -> list[SessionReport]:
    """Of every session that this process has opened, oldest first."""
    return list(OPENED)
