"""Motion detection: pure rules that are given pictures and the time, and the thread that runs them."""
