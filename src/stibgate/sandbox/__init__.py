"""The outside world on this machine: the vendors as real HTTP servers on loopback, and the people they sell.

Nothing here reaches the gateway's pipeline or stores: the sandbox knows the gateway only as an URL, as the vendor does.
Every person, company, key and secret is invented; one seed is one world.
"""
