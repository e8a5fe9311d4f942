"""The trials of `scripts/faults`: power cuts by the thousand, and the long run."""
