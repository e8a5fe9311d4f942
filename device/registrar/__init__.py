"""The registrar's room: the ledger, the letterbox's inner side, and the one thread that writes what was
consented to.
"""
