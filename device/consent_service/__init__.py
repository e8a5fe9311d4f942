"""The consent service's room: the ledger, the spool's inner side, and the one thread that writes what was
consented to.
"""
