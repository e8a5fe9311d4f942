"""The rules of the house: pure, told the time, never asking it."""
