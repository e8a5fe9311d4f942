"""The benchmarks of `scripts/bench`, one module each; `rig.py` is their shared code."""
