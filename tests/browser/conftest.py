"""Headless Chromium for tests, by Playwright; the machine's own browser, never a download.

Where there is no browser these tests skip, unless GRADER_REQUIRE_BROWSER is set, as it is in CI.
"""

import os
import shutil
import time

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install axe-playwright-python"
)

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
DESKTOP = 1280
SERIOUS = {"serious", "critical"}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
QUIET = (
    "--no-sandbox",  # the tests run as root in CI, and the pages are our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def wait_until(page, expression, seconds=30.0):
    """Wait until it is true. `wait_for_function` evaluates a text, which our pages forbid."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never true: {expression}"
        time.sleep(0.02)


def assert_policy_blocks(page, markup, directives):
    """Put markup and a script into a page whose policy must block them, by these directives."""
    page.evaluate(
        """markup => {
            window.violations = [];
            document.addEventListener('securitypolicyviolation',
                event => window.violations.push(event.effectiveDirective));
            document.body.insertAdjacentHTML('beforeend', markup);
            const script = document.createElement('script');
            script.textContent = 'window.owned = true';
            document.body.append(script);
        }""",
        markup,
    )
    # One may be reported twice before another is.
    wait_until(page, f"new Set(window.violations).size >= {len(directives)}")
    assert set(page.evaluate("window.violations")) == directives
    assert page.evaluate("window.owned") is None


@pytest.fixture(scope="package")
def chromium():
    """A running browser; with it ends its event loop, which other tests must not find running."""
    if not CHROMIUM:
        give_up = pytest.fail if os.environ.get("GRADER_REQUIRE_BROWSER") else pytest.skip
        give_up("Chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens a page of a given width and colour scheme; what it complains about is collected."""
    contexts = []

    def opened(address, *, width=DESKTOP, scheme="light", scripts=True):
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.requested = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def serious_violations():
    """Finds a page's serious and critical violations of WCAG 2.2 AA, with axe-core."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")

    def found(page):
        results = axe.Axe().run(page, options=RULES).response
        assert results["passes"]
        return [
            (violation["id"], [node["target"] for node in violation["nodes"]][:3])
            for violation in results["violations"]
            if violation["impact"] in SERIOUS
        ]

    return found
