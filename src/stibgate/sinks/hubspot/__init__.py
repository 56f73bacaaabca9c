"""HubSpot: people as contacts, employers as companies, each written under a key of our own, with no duplicates.

What is written:

    settings      the keys of `[sinks.NAME]` with `kind = "hubspot"`
    sink          HubspotSink: start-up, slices of a batch, what is settled when something fails half-way
    portal        the account: its properties, owners, currency; made where missing (checking: without writing)
    mapping       record field to HubSpot property (policy, choices, industry, freemail)
    people        a batch planned: who is there twice, who has changed
    delivering    one slice of at most 100 people: companies, then contacts, then associations
    writing       found, updated or created; taken over when somebody else made it (companies, contacts, locks)
    state         what is remembered of people, companies and pairs

How it goes over the wire:

    objects       upsert, update, read, search, associate: any number of inputs, an answer for each
    requests      the batches behind them (errands, isolate, disabled)
    gather        callers of one operation share requests
    client        one account: turns, retries, what a failure means (wire, answers, faults, patience)
    limiter       turns (pace: the arithmetic, governor: the day)
"""
