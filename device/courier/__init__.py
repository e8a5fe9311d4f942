"""The courier, a process of its own: it receives requests and notices, fetches feeds and uploads parcels.

It can read no clip, no position and no key: it runs as a user of its own and imports nothing of the daemon. A file
in the spool holds its settings. It stores whatever it receives unparsed.
"""
