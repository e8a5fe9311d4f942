"""The folders between the daemon and its courier, and the parcels in them: the only thing that both know."""
