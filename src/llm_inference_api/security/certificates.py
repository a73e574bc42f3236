"""The certificate in use, which follows its files."""

import asyncio
import logging
from collections.abc import Callable

from llm_inference_api.security.tls import TlsBytes, TlsError, TlsFiles

INTERVAL = 2.0
"""Seconds between looks at the files."""

logger = logging.getLogger(__name__)


class Certificates:
    """What the files held when they last could be used together."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsError where the files cannot be used now."""
        self.files = files
        self.renewals = 0
        self._seen = files.state()
        self.current: TlsBytes = files.read()
        self._on_renewal: list[Callable[[], None]] = []
        for warning in files.warnings():
            logger.warning("%s", warning)

    def on_renewal(self, callback: Callable[[], None]) -> None:
        """Lets the callback be called whenever there is a new certificate."""
        self._on_renewal.append(callback)

    async def follow(self) -> None:
        """Looks at the files again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            self.look()

    def look(self) -> None:
        """Takes the files over where they have changed. Unusable ones change nothing: they may be half written."""
        seen = self.files.state()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.current = self.files.read()
        except (TlsError, OSError) as error:
            logger.error("the certificate of before remains: %s", error)  # noqa: TRY400 - the text says it all
            return
        self.renewals += 1
        logger.info("the certificate was read again")
        for callback in self._on_renewal:
            callback()
