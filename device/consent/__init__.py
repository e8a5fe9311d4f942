"""Rules of consent: what may come in, what it means, what would leave. Pure: the consent service has the ledger."""
