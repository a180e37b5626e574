"""What items say of themselves: features of their text, neighbours by it, vectors foretold of it.

Text becomes sparse rows (`features`), rows have neighbours (`neighbours`), and a linear map from
rows to learned vectors gives a new item a vector before any event names it (`tower`).
"""
