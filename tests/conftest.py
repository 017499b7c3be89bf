"""Fixtures that tests of every part may name."""

from tests.containers import base_rootfs, debian_python, podman

__all__ = ["base_rootfs", "debian_python", "podman"]
