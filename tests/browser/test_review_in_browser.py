"""The review page as Chromium shows it: by keyboard alone, by two at once, under attack."""

import re
import shutil
import time

import pytest

from grader.cohort.store import STORE_NAME
from grader.review.ledger import reopen
from grader.review.store import ReviewStore
from tests.browser.conftest import assert_policy_blocks, wait_until
from tests.support.result_files import read_json
from tests.support.review_class import HOSTILE, SET4, WRITTEN, all_positive, hand_in, make_class
from tests.support.review_server import ReviewServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STUDENTS = [f"student-{number:02}" for number in range(1, 13)]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A class of twelve: two hand in the reference, ten say less about pixels, each in its way."""
    ten = {name: {"2B": f"A brightness, says {name}."} for name in STUDENTS[2:]}
    return make_class(
        tmp_path_factory.mktemp("class"), {STUDENTS[0]: {}, STUDENTS[1]: {"1A": HOSTILE}, **ten}
    )


@pytest.fixture
def output(graded, tmp_path):
    shutil.copytree(graded, tmp_path / "class")
    return tmp_path / "class"


@pytest.fixture
def server(output):
    with ReviewServer(output) as running:
        yield running


@pytest.fixture
def sign_in(open_page):
    """Opens a browser of one grader's own, signed in by a link."""

    def signed_in(link, **options: object):
        page = open_page(link, **options)
        # The focus that the page asks for takes a frame.
        wait_until(page, "document.activeElement.matches('button')")
        press(page, "Enter")
        return page

    return signed_in


def press(page, key):
    """Press a key that leads to another page, and wait for that and for its focus."""
    with page.expect_navigation():
        page.keyboard.press(key)
    # Chromium gives the focus after the page is loaded, and keys before that go nowhere.
    focus = "document.activeElement.matches('[autofocus]')"
    wait_until(page, f"!document.querySelector('[autofocus]') || {focus}")


def wait_for(condition, seconds=60):
    """Wait until the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition never became true"
        time.sleep(0.1)


def test_keyboard_alone(server, output, sign_in):
    """Every answer judged, and reports and rows follow; one rubric item's points changed."""
    page = sign_in(server.link)
    press(page, "n")
    while page.locator("form.judge").count():
        item_id = page.locator("h1 .number").inner_text()
        for key in range(1, len(all_positive(SET4, item_id)) + 1):
            page.keyboard.press(str(key))
        if "Answer 1 of" in page.locator("header").inner_text():
            page.keyboard.press("c")
            page.keyboard.type("Well put. 1 2 3")
            page.keyboard.press("Escape")
        press(page, "Enter")
        while page.locator("a[autofocus]").count() and page.url != f"{server.address}/":
            press(page, "Enter")
    assert "Every answer is graded." in page.locator("main").inner_text()
    wait_for(lambda: earned_in_class(output) == {39})
    assert {read_score(output, name).earned for name in STUDENTS} == {39}
    assert {read_score(output, name).pending for name in STUDENTS} == {0}
    assert "Well put. 1 2 3" in (output / STUDENTS[0] / "report.html").read_text()

    assert page.complaints == []

    for points, says in (("0.5", "Nobody could earn all 1 points"), ("1.5", "Saved.")):
        page.goto(f"{server.address}/items/2B.text/next?show=all")
        press(page, "e")
        page.keyboard.press("Control+A")
        page.keyboard.type(points)
        press(page, "Enter")
        assert says in page.locator("body").inner_text()
    assert earned_in_class(output) == {39}


def test_collision(server, output, sign_in):
    """The later grader learns of the first, keeps the typed text, and decides."""
    grace = sign_in(server.link)
    hal = sign_in(server.invite("hal"))
    grace.goto(f"{server.address}/items/1B/next")
    hal.goto(grace.url)  # `next` would give another answer
    assert "has this answer open" in hal.inner_text("main")
    for page in (grace, hal):
        page.keyboard.press("c")
    grace.keyboard.type("From grace.")
    press(grace, "Control+Enter")
    hal.keyboard.type("From hal.")
    hal.keyboard.press("Escape")
    hal.keyboard.press("2")
    press(hal, "Enter")
    assert "Not saved: grace judged this answer" in hal.locator("[role=alert]").inner_text()
    assert hal.locator("#comment").input_value() == "From hal."
    assert hal.locator("[data-key='2']").is_checked()
    assert comments(output, "1B") == {"From grace."}
    press(hal, "Enter")
    assert comments(output, "1B") == {"From hal."}
    press(hal, "u")
    assert comments(output, "1B") == {"From grace."}


def test_back_button(server, output, sign_in):
    """Whoever goes back, types and saves again has the later text saved, or is asked first."""
    page = sign_in(server.link)
    page.goto(f"{server.address}/items/1B/next")
    for text in ("First.", "Second."):
        page.locator("#comment").fill(text)
        press(page, "Control+Enter")
        if page.locator("[role=alert]").count():
            assert "you judged this answer already" in page.locator("[role=alert]").inner_text()
            assert page.locator("#comment").input_value() == text
            press(page, "Control+Enter")
        assert comments(output, "1B") == {text}
        page.go_back()


def test_session_ended(server, output, sign_in):
    """What was typed after the session had ended is shown again, to be copied."""
    page = sign_in(server.link)
    page.goto(f"{server.address}/items/1B/next")
    page.locator("#comment").fill("A long text.")
    page.context.clear_cookies()
    press(page, "Control+Enter")
    assert page.get_by_label("Copy what you typed").input_value() == "A long text."
    assert comments(output, "1B") == set()


def test_hostile_answer(server, output, sign_in):
    """A hostile answer neither runs, hides nor loads anything, and the policy would stop it."""
    page = sign_in(server.link)
    with ReviewStore(output / STORE_NAME) as store:
        entry = next(e for e in store.entries("1A") if e.student_id == STUDENTS[1])
    page.goto(f"{server.address}/items/1A/answers/{entry.answer_sha256}")
    assert page.title() != "owned"
    assert page.locator(".answer").is_visible()
    assert page.locator(".answer :is(script, style, iframe, img, [style], [onerror])").count() == 0
    assert page.locator(".answer .written a").count() == 0
    assert page.locator(".answer .written").bounding_box()["height"] < 900
    assert all(url.startswith((server.address, "data:")) for url in page.requested)
    assert page.complaints == []
    assert_policy_blocks(
        page,
        '<p style="color: red">x</p><img src="https://evil.example/x.png">'
        '<iframe src="https://evil.example/"></iframe>'
        '<img src="/nothing.png" onerror="window.owned = true">',
        {"style-src-attr", "img-src", "frame-src", "script-src-elem", "script-src-attr"},
    )


def test_killed_server(output, sign_in):
    """After SIGKILL the next server knows the saved judgement and publishes it."""
    with ReviewServer(output) as server:
        page = sign_in(server.link)
        page.goto(f"{server.address}/items/2B.text/next")
        page.keyboard.press("c")
        page.keyboard.type("Saved just before.")
        press(page, "Control+Enter")
        page.keyboard.press("1")
        server.kill()
    assert comments(output, "2B.text") == {"Saved just before."}
    with ReviewServer(output) as again:
        page = sign_in(again.link)
        # Two of the twelve say the same, and chance decides which answer comes first.
        assert re.search(r"\b[12] of 12", page.locator("main").inner_text())
    comment = "Saved just before."
    assert any(comment in (output / name / "report.html").read_text() for name in STUDENTS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe(scheme, server, output, sign_in):
    """On every kind of page, with judged, flagged and changed answers, snippets and pictures."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    with ReviewStore(output / STORE_NAME) as store:
        hand_in(store, output, STUDENTS[3], {"1E": "Look at the drawing."}, picture="1E.png")
    page = sign_in(server.link, scheme=scheme)
    page.goto(f"{server.address}/items/1A/next?show=all")
    for key in ("1", "f", "k", "c"):
        page.keyboard.press(key)
    page.keyboard.type("Say why.")
    press(page, "Control+Enter")
    judged = f"{server.address}/items/1A/next?show=flagged"
    with ReviewStore(output / STORE_NAME) as store:
        entry = next(entry for entry in store.entries("1A") if entry.current)
        reopen(store, entry.student_id, ["1A"], "page 2 was not read", grader="ina")
    for address in (
        *("/", "/history", "/agreement", "/items/1E.text/next?show=all", "/items/1A/rubric"),
        *("/items/1A/next?show=second", "/items/9/next", judged.removeprefix(server.address)),
    ):
        page.goto(server.address + address)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        results = axe.Axe().run(page, options=RULES).response
        serious = [
            (violation["id"], [node["target"] for node in violation["nodes"]][:3])
            for violation in results["violations"]
            if violation["impact"] in SERIOUS
        ]
        assert (address, serious) == (address, [])


@pytest.mark.parametrize("item_id", [WRITTEN[0], WRITTEN[3]])
def test_phone(item_id, server, sign_in):
    """At 390 px the columns stand below each other, without sideways scrolling."""
    page = sign_in(server.link, width=390)
    page.goto(f"{server.address}/items/{item_id}/next?show=all")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def read_score(output, student_id):
    """Return the score in a student's result.json."""
    return read_json(output / student_id / "result.json").score


def earned_in_class(output):
    """Return all points in the rows of the class, before and after the late policy."""
    with ReviewStore(output / STORE_NAME) as store:
        return {
            points for row in store.summaries() for points in (row.score.earned, row.final_points)
        }


def comments(output, item_id):
    """The comments on an item's answers."""
    with ReviewStore(output / STORE_NAME) as store:
        entries = store.entries(item_id)
    return {entry.current.comment for entry in entries if entry.current}
