"""The server side: what takes requests and notices in, and gives them out. Never installed on a doorbell.

Nothing that listens on a network is ours: stock nginx takes things in, stock mosquitto gives them out.
Between them the publisher, which has no socket but its connection to the broker. See README.md beside this file.
"""
