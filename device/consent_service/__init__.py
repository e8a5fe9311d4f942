"""The ledger, the daemon's side of the spool, and the threads for requests, releases and backups."""
