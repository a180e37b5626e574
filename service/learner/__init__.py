"""The learner: one process that turns the event log into model versions.

A window's life, a file for each step, in this order:

    recover     take the epoch; is this our log?; what did the last learner leave in work?
    watch       how much of the log is unlearned, and is it time to cut?
    archiving   the entries to Parquet, repeats flagged
    drawing     the seed, and old samples from the replay buffer, to a file
                — from here on the window is a fact: its row holds bounds, seed and draw —
    learning    score the active model on it, learn it, judge the candidate
    committing  checkpoint files, then one transaction: publish or refuse
    aftermath   admit to the buffer, trim the log, hint to the replicas, prune

`learner` holds them together, `process` runs it, `incremental` and `retrain` are the jobs,
`full` is the child process of a full retrain, `status` is what it tells the others.
"""
