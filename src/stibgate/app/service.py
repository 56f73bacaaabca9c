"""The service as a process: its signals, from start to exit code."""

import asyncio
import gc
import os
import signal
from collections.abc import Callable

from stibgate.app.gateway import Gateway
from stibgate.app.systemd import ADMIN, Supervision, check_admin
from stibgate.config import Settings

GC_THRESHOLD = 20_000


async def serve(settings: Settings, reread: Callable[[], Settings]) -> int:
    """Run the gateway until SIGTERM or SIGINT, or until its store fails; return the exit code.

    SIGHUP reads the configuration again with *reread*, SIGUSR1 has open files completed.

    Raises:
        StibgateError: It cannot start.
    """
    supervision = Supervision.take(os.environ)
    check_admin(supervision.sockets.get(ADMIN), settings)
    gateway = Gateway(settings, supervision, reread)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stopping.set)
    loop.add_signal_handler(signal.SIGHUP, gateway.reloading.ask)
    loop.add_signal_handler(signal.SIGUSR1, gateway.reopening.ask)
    await gateway.start()
    # What was loaded stays: the collector need not look at it again, nor stop for every few requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    await gateway.stopping.wait()
    exit_code = await gateway.stop()
    if gateway.stuck:
        await asyncio.sleep(0)  # for the last lines of the log
        os._exit(exit_code)  # everything is closed and written; Python would wait for the thread that hangs
    return exit_code
