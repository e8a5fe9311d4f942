"""`doorbell`: the command line, for the doorbell of this machine."""
