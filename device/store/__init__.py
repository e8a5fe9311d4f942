"""What is kept: the packet ring in memory, clips, their index, the log, and the storage worker of the disk."""
