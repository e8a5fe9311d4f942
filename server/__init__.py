"""The server side: it accepts requests and notices, and publishes them. Never installed on a doorbell.

Nothing that listens on a network is ours: stock nginx accepts envelopes, stock mosquitto publishes them.
Between them the publisher, which has no socket but its connection to the broker. See README.md beside this file.
"""
