"""The deployer's times as tables: what bench_images and bench_deploy kept as JSON."""

from __future__ import annotations

from typing import Any

__all__ = ["deploy_table", "image_table", "machine_line"]

IMAGE_ROWS = {
    "first": "first build, the base new too",
    "edit": "build after an edit of score.py",
    "push": "first push (buildah compresses here)",
    "push-2": "push of the edited image",
    "first + push": "**first build and push**",
    "edit + push-2": "**edited build and push**",
}
DEPLOY_ROWS = {
    "deploy": "`scoring deploy`, until the first score is answered",
    "reload": "`scoring service reload`, until the new version answers",
}


def machine_line(results: dict[str, Any], rounds: int) -> str:
    machine = results["machine"]
    return (
        f"The best of {rounds} rounds, and the worst; {machine['cores']} cores of {machine['cpu']}, "
        f"Linux {machine['kernel']}, load average before the start {machine['load_before']}."
    )


def image_table(results: dict[str, Any]) -> str:
    """The best (and the worst): other work on the machine can only slow a round down."""
    lines = ["| step | built directly | buildah 1.28 |", "| --- | --- | --- |"]
    for step, title in IMAGE_ROWS.items():
        cells = []
        for rival in ("ours", "buildah"):
            values = [sum(one[part] for part in step.split(" + ")) for one in results["rounds"][rival]]
            cells.append(f"{min(values):.2f} s (to {max(values):.2f})")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    sizes = [results["rounds"][rival][0]["bytes"] / 1e6 for rival in ("ours", "buildah")]
    lines.append(f"| compressed layers | {sizes[0]:.1f} MB | {sizes[1]:.1f} MB |")
    return "\n".join(lines)


def deploy_table(results: dict[str, Any]) -> str:
    lines = ["| | best | median | worst |", "| --- | --- | --- | --- |"]
    for what, title in DEPLOY_ROWS.items():
        values = sorted(results[what])
        lines.append(f"| {title} | {values[0]:.2f} s | {values[len(values) // 2]:.2f} s | {values[-1]:.2f} s |")
    return "\n".join(lines)
