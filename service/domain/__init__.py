"""Plain values that travel between the rooms of the service: no I/O, no framework."""
