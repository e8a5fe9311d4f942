"""Selects the pictures that motion uses: one rule for cameras and detector."""

PICTURES_PER_S = 10
"""Ten pictures a second follow a runner; more cost more and find no one else."""
STEP_US = int(0.95e6 / PICTURES_PER_S)
"""Tolerance for a camera at just this rate: its intervals vary, and it must not lose every other picture."""


class FrameSampler:
    """Chooses pictures by the time at which they are shown; one for each stream."""

    def __init__(self) -> None:
        self._due_us: int | None = None

    def takes(self, mono_us: int) -> bool:
        """Return whether the picture shown at `mono_us` is taken; within a step of one that was, none is."""
        if self._due_us is not None and mono_us < self._due_us:
            return False
        self._due_us = mono_us + STEP_US
        return True
