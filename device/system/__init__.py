"""Small parts that every component may use: clocks, threads, logs, the service manager, local addresses."""
