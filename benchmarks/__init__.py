"""The benchmark harness: `python -m benchmarks` from the repository root; the method is in benchmarks/README.md."""
