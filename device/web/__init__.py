"""The owner's page: what a browser at home sees, and the API that `doorbell` speaks over the command socket.

Served from one thread with its own event loop. The page asks the rest of the daemon through `backend.Backend`, which
the composition passes in: this package imports no other component and makes no decisions. Pictures go only to the
signed-in owner at an address of the home network (`auth_middleware`, `connection_limiter`).
"""
