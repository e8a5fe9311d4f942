"""Rules of consent: what may come in, what it means, what would leave. Pure, but for the ledger."""
