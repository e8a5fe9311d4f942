"""Storage: the ring buffer in memory, clips, their index, the event log, and the worker that owns the disk."""
