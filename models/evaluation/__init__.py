"""Continual evaluation: a stream in periods, arms that learn from it, and what they answered.

stream.py      events in time order, cut into a base and periods
periods.py     where it is cut
sightings.py   when each item was met
questions.py   what is asked of an arm: a user, and what they did before now
asking.py      the questions of a stretch, and what is known of their answers
scores.py      what an arm answers with, and the rank of a target in it
arm.py         the one protocol behind which every method stands
arms.py        the register of all of them
protocol.py    freeze, ask, update, for every period and arm
forgetting.py  what was forgotten, in closed form
bootstrap.py   a figure by user, and how far other users would move it
differences.py how arms differ from one of them
continual.py   both together, for arms that ran side by side
seeds.py       figures of several seeds as one
report.py      ranks → figures
"""
