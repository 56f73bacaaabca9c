"""Whom we call: clients of the vendors' APIs, typed and bounded; each vendor is a folder.

    http        one exchange: bounded in time and size, no redirects, no cookies, nothing compressed
    answers     what an answer means: its JSON, or the error that it is
    ratelimit   how long a vendor asks us to wait
    retry       asking again: only what may be asked again, with full jitter, bounded in tries and time
    paths       ids and queries, put into URLs so that they stay what they are
    stibnite    the client of the Stibnite Person Data API
    thehog      the client of The Hog's estimate

A client gives typed answers or raises a `VendorError`; it decides nothing and remembers nothing.
"""
