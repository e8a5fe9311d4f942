"""What `scripts/faults` runs: power cuts by the thousand, and the long run."""
