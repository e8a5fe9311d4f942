"""A FAKE: see the package's own words."""


class Output:
    def outputframe(self, frame: bytes, keyframe: bool = True, timestamp: int | None = None) -> None:
        raise NotImplementedError
