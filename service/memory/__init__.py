"""The process of the fast memory: it turns the event log into what happened with what, of late.

A learner in the middle of training could not do this within the second, so this is a process apart,
with a position of its own in the log that moves in the same step as the rows:

    opening    take the epoch, read the memory and the window of remembered ids
    intake     the log's next entries, without repeats and what is no positive signal
    lessons    of a sample: who would have said what, as the mixer's learner will want to know
    keeper     count them, write the rows that have changed; compact when there are too many items

`process` runs the keeper, `status` is what it tells the others; `steps` names the places where a
fault test may interrupt. Versions of the model come and go without it: a rollback changes nothing
here. Which rows mean which item is the memory's own affair.
"""
