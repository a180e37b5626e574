"""Continual evaluation: a stream in periods, arms that learn from it, and what they answered.

stream.py      events in time order, cut into a base and periods
questions.py   what is asked of an arm: a user, and what they did before now
scores.py      what an arm answers with, and the rank of a target in it
arm.py         the one protocol behind which every method stands
arms.py        the register of all of them
protocol.py    freeze, ask, update, for every period and arm
report.py      ranks → figures
"""
