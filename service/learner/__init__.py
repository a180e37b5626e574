"""The learner: one process that turns the event log into model versions.

A window's life, a file for each step, in this order:

    fence, recover   take the epoch; is this our log?
    watch            how much of the log is unlearned (`unlearned`), and is it time to cut?
    opening          the entries to Parquet (`archiving`), repeats flagged (`repeats`); the seed and
                     a draw from the replay buffer (`drawing`)
                     — from here on the window is a fact: its row holds bounds, seed and draw —
    learning         score the active model on it, learn it, judge the candidate (`champion`)
    committing       checkpoint files, then one transaction: publish or refuse
    aftermath        admit to the buffer, trim the log, hint to the replicas, prune

`learner` holds them together and `process` runs it; `steps` names the places where a fault test may
interrupt. `incremental` and `retrain` are the jobs; a full retrain trains in a child process
(`child`, `full`) and is brought up to date by `catchup`. `status` and `bulletin` are what the
learner tells the others, `rebase` is what an operator does when the log is another one.
"""
