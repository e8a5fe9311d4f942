"""What `scripts/agency` is made of."""
