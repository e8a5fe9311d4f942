"""Rules of consent: which messages are accepted, what they mean, what would be sent. Pure; `consent_service` has the
ledger.
"""
