"""The far sides of the benchmarks, each a process of its own: `python far_side.py hubspot|receiver PORT`.

What a benchmark wants to know or to change there goes over `/bench/...` on the same port; HubSpot's limits and counters
do not see that.
"""

import asyncio
import json
import sys
import time

from aiohttp import web

from stibgate.sandbox.hubspot import HubSpotSandbox, Portal

SEED = 1


def hubspot(latency_s: str, limit_ten_s: str) -> web.Application:
    """Return a HubSpot that counts, and tells over `/bench/report` what it counted and holds."""
    limit = int(limit_ten_s)
    # Only the ten seconds may limit a benchmark, as they do in an account with a larger day.
    portal = Portal(latency_s=float(latency_s), limit_ten_s=limit, limit_daily=1_000_000)
    sandbox = HubSpotSandbox(seed=SEED, now=time.time, portal=portal)
    sandbox.recording = False

    async def report(_):
        contacts = {one["id"]: one["properties"].get("stibnite_person_id") for one in sandbox.contacts()}
        companies = {one["id"]: one["properties"].get("stibnite_company_id") for one in sandbox.companies()}
        found = {
            "token": sandbox.token,
            "by_path": dict(sandbox.counters.by_path),
            "statuses": dict(sandbox.counters.statuses),
            "policies": dict(sandbox.counters.policies),
            "people": sorted(map(str, contacts.values())),
            "companies": sorted(map(str, companies.values())),
            "works": sorted([str(contacts[one]), str(companies[other])] for one, other in sandbox.associations()),
            "duplicates": sum(len(values) for values in sandbox.duplicates().values()),
        }
        return web.json_response(found)

    app = sandbox.app()
    app.add_routes([web.get("/bench/report", report)])
    return app


def receiver() -> web.Application:
    """Return a webhook receiver that notes what it took and when, and that can hang or fail instead."""
    taken: list[tuple[str, int]] = []
    mode = "good"
    refused = 0

    async def hook(request):
        nonlocal refused
        arrived_ns = time.monotonic_ns()
        body = await request.read()
        if mode == "good":
            taken.append((json.loads(body)["search_id"], arrived_ns))
            return web.Response(status=204)
        refused += 1
        if mode == "hangs":
            await asyncio.sleep(3600)
        return web.Response(status=500)

    async def become(request):
        nonlocal mode
        mode = request.match_info["mode"]
        return web.Response(status=204)

    async def report(_):
        return web.json_response({"taken": taken, "refused": refused})

    app = web.Application(client_max_size=2**25)
    app.add_routes(
        [web.post("/hook", hook), web.post("/bench/become/{mode}", become), web.get("/bench/report", report)]
    )
    return app


if __name__ == "__main__":
    kind, port, *rest = sys.argv[1:]
    app = {"hubspot": hubspot, "receiver": receiver}[kind](*rest)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None, shutdown_timeout=0.1)
