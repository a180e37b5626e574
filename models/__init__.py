"""Continual learning for recommendation: torch and numpy only.

No I/O, no clock, no environment, no logging set-up. Everything here is a value or a pure function
of its arguments and an explicit generator, so the service and the benchmark run the same code.
"""
