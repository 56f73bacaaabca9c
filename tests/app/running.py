"""The whole service in this process."""

from contextlib import asynccontextmanager

from stibgate.app.gateway import Gateway
from stibgate.config import load


@asynccontextmanager
async def running(config, **environ):
    """Start the service of the file *config*; stop it at the end of the block."""
    gateway = Gateway(load(config, environ=environ).settings)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()
