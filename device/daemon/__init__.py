"""The daemon: starts the components, connects them, and makes the decisions (controller.py)."""
