"""Serve the review of one class until Ctrl-C, and publish what is judged meanwhile."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from grader.assignment.records import Assignment
from grader.cohort.store import Store
from grader.errors import UsageError
from grader.review.app import make_app
from grader.review.publishing import publish, publish_while_parent_lives
from grader.review.security import LOCAL_HOSTS


def serve(
    store: Store, assignment: Assignment, output: Path, *, host: str, port: int, public_url: str
) -> None:
    """Serve until Ctrl-C; then every result is up to date with the judgements.

    Args:
        store: of the class, opened in this thread.
        assignment: that the class was graded by.
        output: where the class's reports lie.
        host: the address to listen on.
        port: the port to listen on.
        public_url: of a reverse proxy, or empty.

    Raises:
        UsageError: others could reach the server without TLS, or the port is taken.
    """
    if host not in LOCAL_HOSTS and not public_url:
        raise UsageError(
            f"{host} can be reached by others, who would send their links and answers unencrypted",
            next_step="leave out --host and put a reverse proxy with TLS before 127.0.0.1, or name "
            "the proxy's address by --public-url",
        )
    config = uvicorn.Config(
        make_app(store, assignment, output, public_url),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        # No header of a request is believed: links and hosts come from `public_url`.
        proxy_headers=False,
    )
    # uvicorn raises the signal that ended it once more.
    with _publisher(output, assignment), suppress(KeyboardInterrupt):
        try:
            uvicorn.Server(config).run()
        except SystemExit:
            raise UsageError(
                f"port {port} of {host} cannot be listened on",
                next_step="end what uses it, or choose another --port",
            ) from None
    publish(store, assignment, output)


@contextmanager
def _publisher(output: Path, assignment: Assignment) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=publish_while_parent_lives, args=(output, assignment))
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()
