"""The certificate in use, reloaded when its files change."""

import asyncio
import logging
from collections.abc import Callable

from llm_inference_api.security.tls import TlsBytes, TlsError, TlsFiles

INTERVAL = 2.0
"""Seconds between checks of the files."""

logger = logging.getLogger(__name__)


class Certificates:
    """The last valid content of the TLS files."""

    def __init__(self, files: TlsFiles) -> None:
        """Reads the files. Raises TlsError if they are invalid."""
        self.files = files
        self.renewals = 0
        self._seen = files.state()
        self.current: TlsBytes = files.read()
        self._on_renewal: list[Callable[[], None]] = []
        for warning in files.warnings():
            logger.warning("%s", warning)

    def on_renewal(self, callback: Callable[[], None]) -> None:
        """Registers a callback for each reload of the certificate."""
        self._on_renewal.append(callback)

    async def follow(self) -> None:
        """Checks the files every `INTERVAL` seconds; runs until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.look()

    def look(self) -> None:
        """Reloads the files if they have changed. Invalid ones are ignored, as they may be half written."""
        seen = self.files.state()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.current = self.files.read()
        except (TlsError, OSError) as error:
            logger.error("certificate not reloaded, the previous one stays in use: %s", error)  # noqa: TRY400 - no traceback
            return
        self.renewals += 1
        logger.info("certificate reloaded")
        for callback in self._on_renewal:
            callback()
