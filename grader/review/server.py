"""Serve the review of one class until Ctrl-C, and publish judgements in the background."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from pathlib import Path

import uvicorn

from grader.assignment.records import Assignment
from grader.errors import UsageError
from grader.review.app import make_app
from grader.review.publishing import publish, publish_while_parent_lives
from grader.review.security import LOCAL_HOSTS
from grader.review.store import ReviewStore


def serve(
    store: ReviewStore,
    assignment: Assignment,
    output: Path,
    *,
    host: str,
    port: int,
    public_url: str,
) -> None:
    """Serve until Ctrl-C, then bring every result up to date with the judgements.

    The store must be opened in this thread. `public_url` is a reverse proxy's, or empty.

    Raises:
        UsageError: the server could be reached without TLS, or the port is in use.
    """
    if host not in LOCAL_HOSTS and not public_url:
        raise UsageError(
            f"others can reach {host}, and would send their links and answers unencrypted",
            next_step="leave out --host and put a reverse proxy with TLS before 127.0.0.1, or name "
            "the proxy's address with --public-url",
        )
    config = uvicorn.Config(
        make_app(store, assignment, output, public_url),
        host=host,
        port=port,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=1,
        # No header of a request is trusted: links and hosts come from `public_url`.
        proxy_headers=False,
    )
    publisher = multiprocessing.get_context("spawn").Process(
        target=publish_while_parent_lives, args=(output, assignment)
    )
    publisher.start()
    try:
        # uvicorn raises the signal that stopped it once more.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run()
    except SystemExit:
        raise UsageError(
            f"the page cannot use port {port} of {host}",
            next_step="stop the program that uses the port, or choose another --port",
        ) from None
    finally:
        publisher.terminate()
        publisher.join()
    publish(store, assignment, output)
