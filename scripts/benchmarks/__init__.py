"""What `scripts/bench` measures, one module each; `rig.py` holds what they share."""
