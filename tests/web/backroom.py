"""What the admin API and the console have behind them: who may come in, what people can do, and a morning's work."""

from stibgate.pipeline.acts import Acts
from stibgate.pipeline.audit import Auditor
from stibgate.pipeline.bulk import Bulks
from stibgate.pipeline.dispatch import Outlet
from stibgate.pipeline.operations import Operations
from stibgate.web.access import Access
from stibgate.web.proxies import Proxies
from stibgate.web.throttle import Throttle
from tests.pipeline.world import POLICY, admit, delivery, ids, make_dispatcher, make_fanout, make_intake, to_sinks


def access_of(grants, clock, hosts=()) -> Access:
    """Return a door that knows *grants*."""
    return Access(lambda: grants, "127.0.0.1", lambda: hosts, Proxies(()), Throttle(clock))


def acts_of(store, read, clock, look, sinks=("drop", "crm")) -> Acts:
    """Return what people can do, with the audit in *store*; *look* tests a sink."""
    operations = Operations(
        store, read, to_sinks("drop"), tuple(sinks), now_ms=clock, new_id=ids("new"), wake=lambda: None
    )
    auditor = Auditor(store, clock)
    return Acts(operations, auditor, Bulks(operations, store, auditor, ids("rpl")), look)


def samples(count=2):
    """Return *count* deliveries of two records each."""
    return [delivery(records=2, serial=serial) for serial in range(1, count + 1)]


async def fill(store, clock, sink, deliveries) -> list[str]:
    """Admit and forward *deliveries*; return their ids."""
    intake, fanout = make_intake(store, now_ms=clock), make_fanout(store, ["drop"], now_ms=clock)
    dispatcher = make_dispatcher(store, {"drop": Outlet(sink, POLICY)}, now_ms=clock)
    names = []
    for one in deliveries:
        names.append((await admit(intake, one)).delivery_id)
        while await fanout.run_once():
            pass
        for task in (await store.claim("drop", POLICY, now_ms=clock(), limit=10)).tasks:
            await dispatcher.attempt(task)
    return names
