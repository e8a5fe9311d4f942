"""Pure rules: they are handed the time and do no I/O."""
