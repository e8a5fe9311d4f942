"""The simulated camera: a drawn porch, for a doorbell without a camera."""
