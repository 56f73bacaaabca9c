"""`stibgate serve`: the gateway, until SIGTERM."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import click

from stibgate.cli.context import config_option


@click.command()
@config_option
@click.option("--bind", metavar="HOST:PORT", help="Public listener; wins over server.bind.")
@click.option("--admin-bind", metavar="HOST:PORT", help="Admin listener; wins over server.admin_bind.")
def serve(*, config: Path | None, bind: str | None, admin_bind: str | None) -> int:
    """Run the gateway until SIGTERM.

    SIGHUP reads the configuration again, whole or not at all; SIGUSR1 completes files that are open.

    Exit codes: 0 stopped cleanly, 75 another process has the store or the port, 77 no permission,
    78 configuration.
    """
    from stibgate.app.service import serve as run
    from stibgate.config import Loaded, load
    from stibgate.log import configure

    def read(path: Path | None) -> Loaded:
        found = load(path, flags={"server.bind": bind, "server.admin_bind": admin_bind})
        found.require()
        return found

    loaded = read(config)
    for notice in loaded.notices:
        click.echo(f"notice: {notice}", err=True)
    configure(level=loaded.settings.log.level, format=loaded.settings.log.format, gather=True)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(run(loaded.settings, lambda: read(loaded.path).settings))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory when the extra `speed` is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
