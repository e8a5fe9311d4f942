"""The daemon itself: starts the components, connects them, and decides (controller.py)."""
