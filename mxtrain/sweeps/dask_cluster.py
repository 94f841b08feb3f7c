"""A private local Dask cluster: TLS with temporary certificates, no HTTP server."""

import logging
import os
from typing import Any

from distributed import Nanny, Scheduler, Security, SpecCluster, Worker
from distributed.worker_memory import parse_memory_limit

_HOST = "127.0.0.1"
_SAFE_PATH = "PYTHONSAFEPATH"


class _NoHTTP:
    """Starts no HTTP server; Dask's own listens on port 8787 even where the dashboard is off."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        pass


class QuietScheduler(_NoHTTP, Scheduler):
    """A scheduler without an HTTP server."""


class QuietWorker(_NoHTTP, Worker):
    """A worker without an HTTP server."""


class PrivateCluster:
    """Workers on this machine that trust only certificates that are created for this cluster and kept in memory.

    Args:
        count: how many workers, each with one thread.
        environment: variables of their environment.

    Raises:
        ImportError: the package cryptography is missing.
        RuntimeError: the processes cannot be started.
    """

    def __init__(self, count: int, environment: dict[str, str]) -> None:
        security = Security.temporary()
        common = {"host": _HOST, "protocol": "tls://", "security": security}
        worker = {
            "cls": Nanny,
            "options": {
                **common,
                "nthreads": 1,
                "memory_limit": parse_memory_limit("auto", 1, count, logger=logging.getLogger("distributed")),
                "worker_class": QuietWorker,
                "env": environment,
                "silence_logs": 50,
            },
        }
        self._safe_path = os.environ.get(_SAFE_PATH)
        os.environ[_SAFE_PATH] = "1"  # worker processes start with `python -c`, which imports from the current folder
        try:
            self.cluster: Any = SpecCluster(
                scheduler={"cls": QuietScheduler, "options": {**common, "dashboard": False}},
                workers=dict.fromkeys(range(count), worker),
                security=security,
                silence_logs=50,
            )
        except BaseException:
            self._restore_path()
            raise

    def close(self) -> None:
        """End all workers."""
        self.cluster.close()
        self._restore_path()

    def _restore_path(self) -> None:
        if self._safe_path is None:
            os.environ.pop(_SAFE_PATH, None)
        else:
            os.environ[_SAFE_PATH] = self._safe_path
