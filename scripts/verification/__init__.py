"""Proofs of what is promised about consent, on real servers and real packets; and the demonstration."""
