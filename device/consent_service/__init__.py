"""The consent service: the ledger, the daemon's side of the spool, and the one thread that writes what was
consented to.
"""
