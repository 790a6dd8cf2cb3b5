"""The HTML report as Chromium shows it: widths, dark mode, policy, accessibility, print."""

import itertools

import pytest

from grader.report.html import render_html
from tests.browser.conftest import assert_policy_blocks
from tests.support.result_samples import ALL_SAMPLES, hostile_results

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE = 390
OPEN_ALL = "document.querySelectorAll('details').forEach(element => element.open = true)"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The files of every sample, and of two hostile ones."""
    folder = tmp_path_factory.mktemp("reports")
    hostile = itertools.islice(hostile_results(), 2)
    results = {name: build() for name, build in ALL_SAMPLES.items()}
    results |= {f"hostile-{number}": result for number, result in enumerate(hostile)}
    for name, result in results.items():
        (folder / f"{name}.html").write_text(render_html(result), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in results}


NAMES = [*ALL_SAMPLES, "hostile-0", "hostile-1"]


@pytest.mark.parametrize("name", NAMES)
def test_phone(name, reports, open_page):
    """At 390 px nothing sticks out of the page, with everything folded and unfolded."""
    page = open_page(reports[name], width=PHONE)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE
        sticking_out = page.evaluate(
            """width => [...document.querySelectorAll('body *')].filter(element => {
                const box = element.getBoundingClientRect();
                return box.width && box.right > width + 1
                    && !element.closest('.scroll, pre, svg');
            }).map(element => element.outerHTML.slice(0, 80))""",
            PHONE,
        )
        assert sticking_out == []
        page.evaluate(OPEN_ALL)


@pytest.mark.parametrize("name", NAMES)
def test_policy_blocks_nothing(name, reports, open_page):
    """No console message, no request but the file and its embedded images, no script run."""
    page = open_page(reports[name])
    assert page.complaints == []
    assert page.requested[0] == reports[name]
    assert all(url.startswith("data:") for url in page.requested[1:])
    assert page.evaluate("getComputedStyle(document.body).maxWidth") != "none"
    assert page.title() != "owned"


def test_the_policy_is_in_force(reports, open_page):
    """The policy blocks markup that a student could never write into the page anyway."""
    page = open_page(reports["good"])
    assert_policy_blocks(
        page,
        '<p style="color: red">x</p><img src="https://evil.example/x.png">',
        {"style-src-attr", "img-src", "script-src-elem"},
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["broken", "unfinished", "practice"])
def test_axe_finds_nothing_serious(name, scheme, reports, open_page, serious_violations):
    """No serious or critical violation of WCAG 2.2 AA, with everything unfolded."""
    page = open_page(reports[name], scheme=scheme)
    page.evaluate(OPEN_ALL)
    assert serious_violations(page) == []


def test_dark_mode_changes_page_and_charts(reports, open_page):
    """The system's dark scheme gives a dark page, light text and other chart colours."""
    colors = {}
    for scheme in ("light", "dark"):
        page = open_page(reports["broken"], scheme=scheme)
        colors[scheme] = page.evaluate(
            """() => ['html', '.chart .line', '.chart text'].map(selector => {
                const style = getComputedStyle(document.querySelector(selector));
                return [style.backgroundColor, style.color, style.stroke, style.fill].join();
            })"""
        )
    assert all(light != dark for light, dark in zip(colors["light"], colors["dark"], strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_print_unfolds_what_fell_short_on_white(scheme, reports, open_page):
    """On paper what is folded of a part that fell short is there, and of a passed one is not."""
    page = open_page(reports["broken"], scheme=scheme)
    folded = ".part:not(.outcome-passed) .item > details:not([open], .quiet) .block"
    folded = f"document.querySelector('{folded}')"
    assert page.evaluate(f"{folded}.checkVisibility({{contentVisibilityAuto: true}})") is False
    page.emulate_media(media="print", color_scheme=scheme)
    assert page.evaluate(f"{folded}.getBoundingClientRect().height") > 50
    passed = "document.querySelector('.part.outcome-passed details').getBoundingClientRect().height"
    assert page.evaluate(passed) == 0
    # A dark scheme does not print black.
    assert page.evaluate("getComputedStyle(document.documentElement).color") == "rgb(28, 33, 38)"


@pytest.mark.parametrize("name", ["broken", "practice", "hostile-0"])
def test_a_pdf_can_be_printed(name, reports, open_page):
    """Printing gives a PDF of several pages."""
    printed = open_page(reports[name]).pdf(format="A4", print_background=True)
    assert printed.startswith(b"%PDF-")
    assert printed.count(b"/Type /Page\n") > 3


def test_practice_is_written_over_the_page(reports, open_page):
    """The watermark lies over a practice report, stays when it scrolls, and takes no clicks."""
    style = "(() => { const s = getComputedStyle(document.body, '::before');"
    style += " return [s.content.includes('PRACTICE'), s.position, s.pointerEvents]; })()"
    assert open_page(reports["practice"]).evaluate(style) == [True, "fixed", "none"]
    assert open_page(reports["good"]).evaluate(style)[0] is False


def test_links_within_the_page(reports, open_page):
    """A click on a failed item in the list brings that item into view."""
    page = open_page(reports["broken"])
    page.click(".short-list >> text='3G.sweep'")
    top = page.evaluate("document.getElementById('item-3G.sweep').getBoundingClientRect().top")
    assert -1 <= top < 900


def test_folds_open_by_keyboard(reports, open_page):
    """Enter on a summary opens it: no mouse and no script is needed."""
    page = open_page(reports["good"])
    summary = page.locator("#part-2C summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('#part-2C details').open")
