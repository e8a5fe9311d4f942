"""The owner's page: what a browser at home sees, and the API that `doorbell` speaks over the command socket.

Served from one thread with its own event loop. What the page wants of the house it asks through `backend.Backend`,
which the composition hands in: this package imports no other component, and nothing here decides. Pictures leave
only to the signed-in owner at an address of the home network (`auth_middleware`, `connection_limiter`).
"""
