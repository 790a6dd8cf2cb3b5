"""The review's web application, asked as a browser or an attacker would."""

import asyncio
import re
import socket
from html import unescape
from itertools import chain

import httpx
import pytest

from grader.errors import UsageError
from grader.review import accounts, holds
from grader.review.accounts import invite, revoke
from grader.review.answers import collect_answers
from grader.review.app import make_app
from grader.review.ledger import reopen
from grader.review.queue import Group, Share, in_share
from grader.review.security import MAXIMUM_FORM_BYTES, POLICY
from grader.review.server import serve
from grader.review.store import Entry
from tests.support.review_class import HOSTILE, SET4, give, hand_in, make_class

LOCAL = "http://127.0.0.1:8765"
NAMES = ("ada", "bob", "cyd", "dan")
PAGES = ("/", "/items/1A/next", "/items/1A/rubric", "/history", "/agreement")


class Browser:
    """One person's browser, with its cookies."""

    def __init__(self, app, address=LOCAL) -> None:
        self.app = app
        self.address = address
        self.cookies = httpx.Cookies()
        self.csrf = ""

    def send(self, method, path, **options: object):
        """One request; redirects are not followed, cookies are kept."""

        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url=self.address, cookies=self.cookies
            ) as client:
                response = await client.request(method, path, **options)
                self.cookies = client.cookies
                return response

        return asyncio.run(ask())

    def open(self, path):
        """A page, at the end of its redirects; its forms' token is remembered."""
        response = self.send("GET", path)
        while response.is_redirect:
            path = response.headers["location"]
            response = self.send("GET", path)
        found = re.search(r'name="csrf" value="([^"]+)"', response.text)
        self.csrf = found[1] if found else self.csrf
        response.path = path
        return response

    def submit(self, path, **fields: object):
        """A form, with the token that the last page had."""
        return self.send("POST", path, data={"csrf": self.csrf, **fields})

    def join(self, token):
        """Accept an invitation."""
        self.open(f"/join?token={token}")
        return self.submit("/join", token=token)

    def judge(self, page, **fields: object):
        """Judge the answer on a page."""
        seen = re.search(r'name="seen" value="([^"]+)"', page.text)[1]
        return self.submit(page.path, seen=seen, **fields)


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Four students, of whom two give the same answer to everything."""
    return make_class(
        tmp_path_factory.mktemp("class"),
        {"ada": {}, "bob": {}, "cyd": {"1A": "It stays."}, "dan": {"1A": HOSTILE}},
    )


@pytest.fixture
def app(store, output):
    return make_app(store, SET4, output, "")


@pytest.fixture
def grace(app, store):
    browser = Browser(app)
    browser.join(invite(store, "grace", by="grace"))
    return browser


@pytest.fixture
def hal(app, store):
    browser = Browser(app)
    browser.join(invite(store, "hal", by="grace"))
    return browser


@pytest.mark.parametrize("path", PAGES)
def test_without_invitation(path, app):
    """Every page refuses a person without an invitation, and names no student."""
    response = Browser(app).send("GET", path)
    assert response.status_code == 401
    assert "you need an invitation".capitalize() in response.text


def test_network_without_tls(store, output):
    """Only behind a reverse proxy, which `--public-url` names, may others reach the page."""
    with pytest.raises(UsageError, match=r"others can reach 0\.0\.0\.0"):
        serve(store, SET4, output, host="0.0.0.0", port=8765, public_url="")


def test_port_in_use(store, output):
    """A port in use is named, with the next step and without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot use port {port} of 127.0.0.1"):
            serve(store, SET4, output, host="127.0.0.1", port=port, public_url="")


def test_link_alone(app, store):
    """Programs that follow links in mails do not use up an invitation or accept it."""
    browser = Browser(app)
    token = invite(store, "grace", by="grace")
    assert "Welcome, grace" in browser.open(f"/join?token={token}").text
    assert browser.send("GET", "/").status_code == 401
    browser.submit("/join", token=token)
    assert browser.send("GET", "/").status_code == 200


def test_refused_invitations(app, store, monkeypatch):
    """Forged, old and revoked invitations are refused, each with its reason."""
    token = invite(store, "grace", by="grace")
    browser = Browser(app)
    assert "not an invitation to this class" in browser.open(f"/join?token={token}x").text
    assert "not an invitation to this class" in browser.open("/join").text
    monkeypatch.setattr(accounts, "INVITATION_DAYS", -1)
    assert "is older than" in browser.open(f"/join?token={token}").text
    monkeypatch.undo()
    revoke(store, "grace", by="grace")
    assert "was revoked" in browser.open(f"/join?token={token}").text


def test_revocation(grace, store):
    """A revocation ends the session at the next page, and judgements stay."""
    give(store, "1A", "cyd", "forward")
    assert grace.send("GET", "/").status_code == 200
    revoke(store, "grace", by="hal")
    assert grace.send("GET", "/").status_code == 401
    assert any(entry.current for entry in store.entries("1A"))


@pytest.mark.parametrize(
    ("public_url", "address", "secure"),
    [("", LOCAL, False), ("https://grading.example.edu", "https://grading.example.edu", True)],
)
def test_session_cookie(public_url, address, secure, store, output):
    """The cookie is HttpOnly and SameSite, and Secure behind a proxy with TLS."""
    browser = Browser(make_app(store, SET4, output, public_url), address)
    response = browser.join(invite(store, "grace", by="grace"))
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert ("; secure" in cookie) == secure


@pytest.mark.parametrize("path", [*PAGES, "/static/review.js", "/static/nothing", "/nothing"])
def test_policy_header(path, grace):
    """Pages, files and errors carry the security policy."""
    headers = grace.send("GET", path).headers
    assert headers["content-security-policy"] == POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in POLICY


def test_other_hosts(app, store):
    """A foreign site that gives its name this machine's address gets no page."""
    token = invite(store, "grace", by="grace")
    for address in ("http://evil.example", "http://127.0.0.1.evil.example"):
        assert Browser(app, address).send("GET", f"/join?token={token}").status_code == 400


@pytest.mark.parametrize("path", ["/undo", "/items/1A/rubric", "ANSWER"])
def test_foreign_forms(path, grace, store):
    """Without the session's own token a form changes nothing."""
    address = grace.open("/items/1A/next").path if path == "ANSWER" else path
    for token in ("", "x", "\u00e4"):
        assert grace.send("POST", address, data={"csrf": token}).status_code == 403
    assert {change.kind for change in store.newest_changes(9)} == {"invitation"}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2freport%2fhtml.py",
        "/static//etc/passwd",
        "/items/..%2f..%2fetc%2fpasswd/next",
        "/items/2C/next",
        "/items/1A/answers/..%2f..%2fclass.sqlite",
        "/items/1A/answers/0/pictures/0",
        "/items/1A/answers/0/related",
    ],
)
def test_no_path_leads_out(path, grace):
    """No part of an address becomes a path."""
    assert grace.send("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"csrf=" + b"x" * MAXIMUM_FORM_BYTES, "application/x-www-form-urlencoded", 413),
        (b"x" * 10, "multipart/form-data; boundary=x", 415),
        (b"a=1&" * 5000, "application/x-www-form-urlencoded", 400),
        (b"csrf=\xff", "application/x-www-form-urlencoded", 400),
    ],
)
def test_odd_uploads(content, kind, status, grace):
    """Oversized and odd uploads are refused before they are parsed."""
    headers = {"content-type": kind}
    assert grace.send("POST", "/undo", content=content, headers=headers).status_code == status


def test_anonymity(grace):
    """Neither names and ids nor the order give a student away."""
    page = grace.open("/items/1A/next?show=all")
    assert page.status_code == 200
    for name in NAMES:
        assert not re.search(rf"\b{name}\b", page.text)
        assert name not in page.path


def test_judge(grace, store):
    """A judgement is saved, leads to the next answer, and shows its grader and time."""
    page = grace.open("/items/1A/next")
    assert "4 left" in page.text
    response = grace.judge(page, found=["forward", "for-ever"], comment="Good.", adjustment="0,5")
    assert response.status_code == 303
    following = grace.open(response.headers["location"])
    assert following.path != page.path
    again = grace.open(page.path)
    assert "Graded by grace" in again.text
    assert "2.5 of 5 points" in again.text
    assert ">Good.</textarea>" in again.text
    kept = [entry.current for entry in store.entries("1A") if entry.current]
    assert {judgement.comment for judgement in kept} == {"Good."}


def test_next_part(grace):
    """After the last answer to 1A the page offers 1B."""
    response = grace.open("/items/1A/next")
    while "Save and go on" in response.text:
        response = grace.open(grace.judge(response, found="forward").headers["location"])
    assert "Every answer to this part is graded." in response.text
    assert "/items/1B/next" in response.text


def test_collision(grace, hal, store):
    """The second grader learns of the first and keeps the typed text; saving again replaces."""
    page = grace.open("/items/1A/next")
    same = hal.open(page.path)
    grace.judge(page, found="forward", comment="By grace.")
    refused = hal.judge(same, found="for-ever", comment="By hal.")
    text = unescape(refused.text)
    assert refused.status_code == 409
    assert "grace judged this answer while you had it open" in text
    assert "“By grace.”" in text
    assert ">By hal.</textarea>" in text
    assert re.search(r'value="for-ever"[^>]*checked', text)
    assert not re.search(r'value="forward"[^>]*checked', text)
    assert {e.current.grader for e in store.entries("1A") if e.current} == {"grace"}
    refused.path = page.path
    assert hal.judge(refused, found="for-ever", comment="By hal.").status_code == 303
    changed = store.newest_changes(1)[0]
    assert changed.before[0]["judgement"]["comment"] == "By grace."


def test_undo(grace, store):
    """The judgement is gone, and its answer is on the page again."""
    page = grace.open("/items/1A/next")
    grace.judge(page, found="forward")
    undone = grace.submit("/undo")
    assert undone.headers["location"] == page.path
    assert not any(entry.current for entry in store.entries("1A"))
    assert "no judgement that can be undone" in grace.submit("/undo").text


def test_rubric_form(grace, store):
    """One form changes points and texts and adds an item; the history lists the changes."""
    page = grace.open("/items/2B.text/rubric")
    fields = {
        name: [unescape(value) for value in values]
        for name, values in {
            "id": re.findall(r'name="id" value="([^"]*)"', page.text),
            "points": re.findall(r'name="points"[^>]* value="([^"]*)"', page.text),
            "text": re.findall(r"<textarea[^>]*>([^<]*)</textarea>", page.text),
        }.items()
    }
    fields["points"][0] = "0.75"
    fields["points"][-1], fields["text"][-1] = "0.25", "Names MNIST's format"
    seen = re.search(r'name="seen" value="([^"]+)"', page.text)[1]
    assert grace.submit("/items/2B.text/rubric", seen=seen, **fields).status_code == 303
    history = unescape(grace.open("/history").text)
    assert "+0.75: A brightness" in history
    assert "+0.25: Names MNIST's format" in history
    assert grace.submit("/items/2B.text/rubric", seen=seen, **fields).status_code == 409


@pytest.mark.parametrize("points", ["many", "nan", "1e999"])
def test_points_must_be_numbers(points, grace):
    """Other points are refused with the field's name."""
    page = grace.open("/items/1A/next")
    response = grace.judge(page, adjustment=points)
    assert response.status_code == 400
    assert "adjustment is not a number".capitalize() in response.text


def test_kept_comment(grace, hal):
    """Everybody who grades the part finds a kept comment, with a key."""
    grace.judge(grace.open("/items/1A/next"), comment="Say why.", keep="yes")
    page = hal.open("/items/1A/next")
    assert 'data-snippet="Say why." data-key="Shift+1"' in page.text
    assert "Say why." not in hal.open("/items/1B/next").text


def test_second_reading(grace, hal, store):
    """The second reader sees neither points nor comment; the first reader is not asked."""
    store.set_double_share(1.0, by="grace")
    grace.judge(grace.open("/items/1A/next"), found="forward", comment="Secret.")
    page = hal.open("/items/1A/next?show=second")
    assert "second reading measures agreement" in page.text
    assert "Secret." not in page.text
    assert "checked" not in page.text
    hal.judge(page, found="for-ever")
    assert "No answer is left under" in hal.open("/items/1A/next?show=second").text
    assert "No answer is left under" in grace.open("/items/1A/next?show=second").text
    table = grace.open("/agreement").text
    assert re.search(r'>1A</th>\s*<td class="number">1</td>\s*<td class="number">1</td>', table)


def test_pictures(grace, store, output):
    """A drawing for 1E is on the page of that answer, as PNG, under its number only."""
    hand_in(store, output, "ada", {"1E": "See the drawing."}, picture="1e.png")
    collect_answers(store, output)
    entry = next(e for e in store.entries("1E.text") if e.student_id == "ada")
    page = grace.open(f"/items/1E.text/answers/{entry.answer_sha256}")
    (source,) = re.findall(r'<img src="([^"]+)"', page.text)
    picture = grace.send("GET", source)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    assert grace.send("GET", source[:-1] + "1").status_code == 404


def test_related_results(grace):
    """The automatic items of the problem come part by part, for each student with the answer."""
    page = grace.open("/items/1E.text/next?show=all")
    related = grace.open(re.search(r'href="([^"]+/related)', page.text)[1])
    assert related.text.index("part-1E") < related.text.index("part-1D")
    assert "item-1A" not in related.text
    assert "member=3" in related.text
    assert grace.send("GET", related.path + "?member=4").status_code == 404


def test_changed_answer(grace, store, output):
    """The earlier judgement is filled in, and gives nothing until it is saved."""
    give(store, "1A", "cyd", "forward", comment="Fine.", grader="hal")
    hand_in(store, output, "cyd", {"1A": "It stays where it is."})
    grace.open("/")
    entry = next(e for e in store.entries("1A") if e.student_id == "cyd")
    page = grace.open(f"/items/1A/answers/{entry.answer_sha256}?show=ungraded")
    assert "submitted another answer after hal" in re.sub(r"\s+", " ", page.text)
    assert ">Fine.</textarea>" in page.text
    assert "1 flagged" in grace.open("/").text


def test_hostile_answer(grace, store):
    """No element or address of a hostile answer survives; the browser tests check it too."""
    entry = next(e for e in store.entries("1A") if e.student_id == "dan")
    page = grace.open(f"/items/1A/answers/{entry.answer_sha256}").text
    assert "&lt;script&gt;" in page
    assert page.count("<script") == 1
    assert not re.search("<(iframe|style|img)", page)
    assert not re.search(r"<[^>]+(javascript:|evil\.example)", page)


def test_everybody_gets_another_answer(grace, hal, app):
    """What one grader has open is not given to another; a grader holds one answer at a time."""
    first = grace.open("/items/1A/next")
    second = hal.open("/items/1A/next")
    assert first.path != second.path
    saved = grace.judge(first)
    following = grace.open(saved.headers["location"])
    assert following.path not in {first.path, second.path}
    assert "open with other graders" in Browser.open(_third(app, "ian"), "/items/1A/next").text
    saved = hal.judge(second)
    assert hal.open(saved.headers["location"]).path != following.path
    told = hal.open(following.path).text
    assert "grace has this answer open." in told


def test_left_answer_comes_back(grace, hal, monkeypatch):
    """An answer whose page was left open is given to others after five minutes."""
    clock = [0.0]
    monkeypatch.setattr(holds.time, "monotonic", lambda: clock[0])
    first = grace.open("/items/1A/next")
    assert hal.open("/items/1A/next").path != first.path
    clock[0] += holds.HOLD_SECONDS + 1
    assert hal.open("/items/1A/next").path == first.path


def test_request_to_grade_again(grace, hal, store):
    """It comes up first, with its reason and the points so far, until somebody judges again."""
    page = grace.open("/items/1A/next?show=all")
    grace.judge(page, found="forward")
    judged = next(entry for entry in store.entries("1A") if entry.current)
    reopen(store, judged.student_id, ["1A"], "page 2 was not read", grader="ina")
    assert "1 asked for by a student" in hal.open("/").text
    shown = hal.open("/items/1A/next")
    assert shown.path.partition("?")[0] == page.path.partition("?")[0]
    assert "“page 2 was not read”" in shown.text
    assert "grace" in shown.text
    assert judged.student_id not in shown.text.replace("data", "")
    assert {entry.current.grader for entry in store.entries("1A") if entry.current} == {"grace"}
    hal.judge(shown, found=["forward", "for-ever"])
    assert "asked for by a student" not in hal.open("/").text
    kept = [entry.current for entry in store.entries("1A") if entry.current]
    assert {(each.grader, each.request) for each in kept} == {("hal", "")}
    told = unescape(hal.open("/history").text)
    assert "request to grade again" in told
    assert "1 points, asked for: “page 2 was not read”" in told
    assert "1 → 2 points, asked for: “page 2 was not read”" in told
    assert judged.student_id not in told.replace("data", "")
    hal.submit("/undo")
    assert "“page 2 was not read”" in hal.open("/items/1A/next").text


def test_asked_while_open(grace, hal, store):
    """Who has the answer open learns of the request before anything is saved."""
    page = grace.open("/items/1A/next")
    grace.judge(page, found="forward")
    page = hal.open(page.path)
    judged = next(entry for entry in store.entries("1A") if entry.current)
    reopen(store, judged.student_id, ["1A"], "page 2 was not read", grader="ina")
    refused = hal.judge(page, found="for-ever")
    assert refused.status_code == 409
    assert "a student asked to have this graded again while" in refused.text
    assert "“page 2 was not read”" in refused.text
    assert "cannot be undone: a student asked" in grace.submit("/undo").text


def test_shares(grace, hal, store):
    """Each answer is in one share; whose share is done learns that others' answers are left."""
    store.set_share("grace", "1/2", by="ina")
    store.set_share("hal", "2/2", by="ina")
    given = {}
    for browser in (grace, hal):
        assert 'value="1/2"' in grace.open("/").text
        page = browser.open("/items/1A/next")
        answers = given[browser.csrf] = set()
        while "Save and go on" in page.text:
            answers.add(page.path)
            page = browser.open(browser.judge(page, found="forward").headers["location"])
        if browser is grace:
            assert "Your share of this part is done." in page.text
    first, second = given.values()
    assert first.isdisjoint(second)
    assert abs(len(first) - len(second)) <= 1
    assert all(entry.current for entry in store.entries("1A"))
    assert hal.submit("/share", share="1/1").status_code == 303
    assert store.shares() == {"grace": "1/2"}
    assert hal.submit("/share", share="2/6").status_code == 303
    assert store.shares()["hal"] == "2/6"
    for wrong in ("3/2", "0/2", "1/\u0663", "two"):
        refused = hal.submit("/share", share=wrong)
        assert refused.status_code == 400
        assert "not a share" in refused.text
    assert "no section" in hal.submit("/share", share="1/1", section="Z").text


def test_shares_are_equal_and_stable(store):
    """Sixty answers to six graders; a new student moves at most one answer over each cut."""

    def groups(students):
        texts = {student: "same" if student % 10 == 0 else student for student in students}
        return [
            Group(
                number=number,
                sha256=f"{text}",
                entries=tuple(
                    Entry(student_id=f"{one}", item_id="1A", reading=1, change=0, judgement=None)
                    for one in students
                    if texts[one] == text
                ),
            )
            for number, text in enumerate(dict.fromkeys(texts.values()))
        ]

    def split(students):
        shares = (in_share(store, groups(students), Share(k, 6)) for k in range(1, 7))
        return [[group.sha256 for group in share] for share in shares]

    before, after = split(range(60)), split([*range(60), 61])
    assert sorted(chain(*before)) == sorted(group.sha256 for group in groups(range(60)))
    assert {len(share) for share in before} == {9, 10}  # of 55: six students say the same
    moved = sum(len({*old} - {*new}) for old, new in zip(before, after, strict=True))
    assert moved <= 5


def test_second_reading_of_another_share(grace, hal, store):
    """Whoever has another share reads for the second time."""
    store.set_double_share(1.0, by="grace")
    store.set_share("grace", "1/2", by="ina")
    store.set_share("hal", "2/2", by="ina")
    grace.judge(grace.open("/items/1A/next"), found="forward")
    page = hal.open("/items/1A/next?show=second")
    assert "second reading measures agreement" in page.text


def test_same_person_in_two_windows(grace, store):
    """The second window, or a page that the back button brought, says that it is old."""
    page = grace.open("/items/1A/next")
    grace.judge(page, found="forward", comment="First.")
    refused = grace.judge(page, found="for-ever", comment="Second.")
    assert refused.status_code == 409
    assert "you judged this answer already, in another window" in refused.text
    assert ">Second.</textarea>" in refused.text
    refused.path = page.path
    assert grace.judge(refused, comment="Second.").status_code == 303
    assert {e.current.comment for e in store.entries("1A") if e.current} == {"Second."}


@pytest.mark.parametrize(("lost", "status"), [("session", 401), ("token", 403)])
def test_typed_text_comes_back(lost, status, grace, store):
    """Who types until the session ends gets the text back, escaped; nothing is saved."""
    page = grace.open("/items/1A/next")
    if lost == "session":
        grace.cookies.clear()
    else:
        grace.csrf = "of an earlier session"
    refused = grace.judge(page, comment="Long </textarea><b>text</b>.", found="forward")
    assert refused.status_code == status
    assert ">Long &lt;/textarea&gt;&lt;b&gt;text&lt;/b&gt;.</textarea>" in refused.text
    assert not any(entry.current for entry in store.entries("1A"))


def _third(app, name):
    browser = Browser(app)
    browser.join(invite(app.state.review.store, name, by="grace"))
    return browser
