"""What is shown: the JSON shapes that the command line, the admin API and the console have in common.

Pure functions from nouns, and from a ledger that is open, to dictionaries and lines. They print nothing, write nothing
and know no HTTP. A delivery, task, job, bill or budget has one shape wherever it is seen.
"""
