"""Tests of the promises about consent, on real servers and real packets; and the demonstration."""
