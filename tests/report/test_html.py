"""Tests of the HTML report: what it says, and that nothing in it can act."""

import base64
import dataclasses
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from PIL import Image

import grader.report
from grader.report import markdown
from grader.report.html import anchor, digit_uri, render_html, shade, write_html
from grader.report.markdown import LONGEST_PARSED, render_markdown
from grader.report.mathematics import ELEMENTS
from grader.report.wording import OUTCOME_LABELS, interval_sentence, percentage
from grader.results import EpochResult, Outcome
from grader.text import make_visible
from tests.support.result_sample_items import BROKEN, misclassified, run, training
from tests.support.result_samples import (
    ALL_SAMPLES,
    HOSTILE_STRINGS,
    broken_result,
    change_item,
    hostile_results,
    map_strings,
    practice_result,
    unfinished_result,
)

STYLE = (Path(grader.report.__file__).parent / "templates" / "style.css").read_text("utf-8")

HTML_TAGS = {
    *("html", "head", "meta", "link", "title", "style", "body", "header", "main", "footer", "nav"),
    *("section", "div", "span", "p", "a", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s"),
    *("code", "pre", "blockquote", "br", "hr", "ul", "ol", "li", "dl", "dt", "dd", "details"),
    *("summary", "table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "figure", "img"),
    "figcaption",
}
SVG_TAGS = {"svg", "path", "defs", "rect", "pattern", "text", "desc"}


class Page(HTMLParser):
    """A parsed report: its elements, and the text that a reader sees."""

    def __init__(self, source) -> None:
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.text = ""
        self.style = ""
        self._open = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        assert len(attributes) == len(dict(attributes)), "an attribute is given twice"
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if self._open and self._open[-1] == "style":
            self.style += data
        else:
            self.text += data

    def all(self, tag, name="", value=""):
        """The attributes of every `tag`, if `name` is given only where it is `value`."""
        return [
            attributes
            for own_tag, attributes in self.elements
            if own_tag == tag and (not name or attributes.get(name) == value)
        ]

    def of_class(self, name):
        return [
            tag for tag, attributes in self.elements if name in attributes.get("class", "").split()
        ]


def squeezed(text):
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def sources():
    return {name: render_html(build()) for name, build in ALL_SAMPLES.items()}


@pytest.fixture(scope="module")
def pages(sources):
    return {name: Page(source) for name, source in sources.items()}


@pytest.fixture(scope="module")
def hostile_pages():
    return [(result, render_html(result)) for result in hostile_results()]


def assert_inert(source):
    """No element, attribute or address in `source` can do anything."""
    page = Page(source)
    for tag, attributes in page.elements:
        assert tag in HTML_TAGS | SVG_TAGS | ELEMENTS, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in {"style", "srcset", "action", "formaction", "ping", "background"}
            if name == "src":
                assert value.startswith("data:image/png;base64,"), value
            if name == "href":
                allowed = r"#[\w.-]+|data:," if tag != "a" else r"#[\w.-]+|https?://.*|mailto:.*"
                assert re.fullmatch(allowed, value), (tag, value)
            if "url(" in (value or ""):
                assert re.fullmatch(r"url\(#[\w.-]+\)", value), (tag, name, value)
    assert page.style == STYLE
    assert len(page.all("style")) == 1
    return page


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_a_report_is_one_inert_file(name, sources):
    """No sample's report has a script, a style attribute, or anything to fetch."""
    assert_inert(sources[name])


def test_hostile_strings_in_every_field_come_out_inert(hostile_pages):
    """Markup, bad links and broken quotes in any field stay text."""
    for _, source in hostile_pages:
        page = assert_inert(source)
        assert '<script>document.title = "owned"</script>' in page.text
        assert "{{ 7 * 7 }}" in page.text
        assert len(page.all("title")) == 1 + len(page.of_class("chart"))


def test_no_control_character_reaches_the_page(hostile_pages):
    """Control, reordering and zero-width characters and lone surrogates become visible escapes."""
    for _, source in hostile_pages:
        assert make_visible(source) == source
        source.encode("utf-8")
        assert "\\x1b" in source
        assert "\\u202e" in source
        assert "\\x00" in source


def test_the_policy_allows_the_one_style_sheet_and_nothing_else(hostile_pages):
    """Whatever the strings, there is one policy, and its hash is that of the page's styles."""
    for _, source in hostile_pages:
        page = Page(source)
        digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
        policies = page.all("meta", "http-equiv", "Content-Security-Policy")
        allowed = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
        forbidden = "base-uri 'none'; form-action 'none'"
        assert [policy["content"] for policy in policies] == [f"{allowed}; {forbidden}"]


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_ids_are_unique_and_links_within_the_page_lead_somewhere(name, pages):
    """Every id occurs once, and every link and reference that starts with # has a target."""
    ids = [attributes["id"] for _, attributes in pages[name].elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in pages[name].elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        for label in attributes.get("aria-labelledby", "").split():
            assert label in ids


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_every_part_and_item_is_there(name, pages):
    """17 parts and 22 items, each with its outcome in words."""
    page = pages[name]
    result = ALL_SAMPLES[name]()
    assert len(page.of_class("part")) == 17
    assert len(page.of_class("item")) == 22
    for problem in result.problems:
        for part in problem.parts:
            assert page.all("section", "id", anchor(part.id, "part"))
    outcomes = {item.outcome for item in result.items()}
    for outcome, label in OUTCOME_LABELS.items():
        assert (label in page.text) == (outcome in outcomes or outcome_of_a_check(result, outcome))


def outcome_of_a_check(result, outcome):
    return any(check.outcome is outcome for item in result.items() for check in item.checks)


def test_the_score_bar_tells_four_kinds_of_points_apart(pages):
    """Each kind has a segment of its share, and its number in words."""
    page = pages["unfinished"]
    bar = page.all("svg", "class", "bar")[0]
    assert bar["aria-label"] == "33 earned, 39 for a person to give, 28 undecided"
    widths = {
        attributes["class"]: attributes["width"]
        for attributes in page.all("rect")
        if attributes.get("class", "").startswith("segment-")
        and attributes["class"] != "segment-gap"
    }
    assert widths == {
        "segment-earned": "33.0%",
        "segment-pending": "39.0%",
        "segment-undecided": "28.0%",
    }
    assert "51 lost" in pages["broken"].all("svg", "class", "bar")[0]["aria-label"]


def test_practice_is_written_over_everything(pages):
    """A practice report says so in its title, a banner and a watermark; others never do."""
    assert pages["practice"].text.count("PRACTICE") == 2
    assert pages["practice"].of_class("practice") == ["body"]
    assert ".practice::before" in STYLE
    assert "not a grade" in pages["practice"].text
    assert "PRACTICE" not in pages["good"].text
    assert not pages["good"].of_class("practice")


def test_an_unsafe_run_is_stamped(pages):
    """Without a sandbox the report says UNSAFE and that it is no grade."""
    assert "UNSAFE" in pages["unfinished"].text
    assert "UNSAFE" not in pages["good"].text


def test_an_incomplete_result_says_so(pages):
    """A result that was cut short is marked, and unofficial seeds are named."""
    assert pages["unfinished"].of_class("incomplete-banner")
    assert "not the assignment\N{RIGHT SINGLE QUOTATION MARK}s own" in pages["unfinished"].text
    assert not pages["good"].of_class("incomplete-banner")
    assert "not the assignment\N{RIGHT SINGLE QUOTATION MARK}s own" not in pages["good"].text


def test_what_fell_short_comes_first(pages):
    """The list of failed items stands before the parts, and only what failed is in it."""
    page = pages["broken"]
    assert page.text.index("10 items fell short") < page.text.index("All parts")
    failed = [item.id for item in broken_result().items() if item.outcome is Outcome.FAILED]
    assert len(failed) == 10
    start, end = page.text.index("10 items fell short"), page.text.index("A person grades")
    listed = page.text[start:end]
    assert all(item_id in listed for item_id in failed)
    assert "3G.model" not in listed
    assert "Nothing fell short" in pages["good"].text
    assert "1 item could not be graded" in pages["unfinished"].text


def test_a_failed_check_says_all_it_knows(pages):
    """Observed, expected, next step, place and details of every failed check are printed."""
    text = pages["broken"].text
    for item in broken_result().items():
        for check in item.checks:
            if check.outcome is Outcome.FAILED:
                for value in (check.observed, check.expected, check.next_step, check.location):
                    assert value in text
                assert check.details in text


def test_failed_items_are_open_and_passed_ones_are_folded(pages, sources):
    """A passed item hides its details in one closed element; a failed one's training is open."""
    source = sources["broken"]
    failed = source[source.index('id="part-2C"') : source.index('id="part-2D"')]
    assert re.search(r"<details open>\s*<summary>Training", failed)
    passed = source[source.index('id="item-3G.model"') : source.index('id="item-3G.sweep"')]
    assert re.search(r"<details>\s*<summary>Details", passed)
    assert passed.index("<summary>Details") < passed.index("<summary>Training")


def test_the_folded_checks_are_counted_by_their_outcome(pages):
    """The line that hides checks says how many there are of each outcome."""
    text = squeezed(pages["broken"].text)
    assert "Other checks 1 passed, 1 not graded" in text
    assert "Other checks 3 not graded" in text
    assert "0 passed" not in text


def test_hints_are_told_apart_from_faults(pages):
    """Every hint says that it costs no points, and why it matters."""
    page = pages["broken"]
    hints = [hint for item in broken_result().items() for hint in item.hints]
    assert page.text.count("Hint, costs no points.") == len(hints) == 3
    for hint in hints:
        assert hint.message in page.text
        assert hint.reason in page.text


def test_the_training_report_is_complete(pages):
    """Runs, interval, verdict, recipe and the student's own figure are there in words."""
    text = squeezed(pages["broken"].text)
    report = BROKEN["2C"]["training"]
    for number in (report.accuracy, *report.interval, report.threshold, report.reported_accuracy):
        assert squeezed(percentage(number)) in text
    assert "Borderline. On 10,000 test images" in text
    assert "lies inside it: chance may have decided" in text
    assert "further apart than chance explains" in text
    assert "StepLR(step_size=4, gamma=0.5)" in text
    assert "diverged after epoch 2" in text
    assert "stopped early after epoch 7" in squeezed(pages["good"].text)
    assert "lies outside it" in squeezed(pages["good"].text)


def test_the_architecture_table_shows_nested_names_only_where_there_are_any(pages, sources):
    """A flat model has no column of names; a nested one has, with shapes and totals."""
    source = sources["good"]
    flat = source[source.index('id="part-2C"') : source.index('id="part-2D"')]
    nested = source[source.index('id="item-3G.model"') : source.index('id="item-3G.sweep"')]
    assert '<th scope="col">Name</th>' not in flat
    assert '<th scope="col">Name</th>' in nested
    text = squeezed(Page(nested).text)
    assert "features.5" in text
    assert squeezed("64\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}14") in text  # noqa: RUF001
    assert "421,834" in text


def test_the_confusion_matrix_is_a_table_of_counts(pages, sources):
    """100 cells, with a heading for every row and column."""
    source = sources["good"]
    table = source[source.index('<table class="confusion">') :]
    page = Page(table[: table.index("</table>")])
    cells = [a for a in page.all("td") if a.get("class", "").startswith(("right-", "wrong-"))]
    assert len(cells) == 100
    assert len(page.all("th", "scope", "row")) == 10


def test_rare_mistakes_are_told_apart_by_shade():
    """A cell is darker the larger its share of the row, and only an empty one is blank."""
    shades = [shade(cell, (cell, 1000 - cell)) for cell in (0, 1, 3, 10, 50, 900)]
    assert shades == [0, 1, 2, 3, 4, 5]
    assert shade(0, (0, 0)) == 0


@pytest.mark.parametrize(
    ("threshold", "verdict"),
    [(0.975, "lies inside it: chance may have"), (0.96, "lies outside it: chance alone does not")],
)
def test_the_interval_is_put_in_words(threshold, verdict):
    """The sentence gives the interval, and whether the threshold lies in it."""
    sentence = interval_sentence(training((run(0, 0.9755),), threshold))
    assert re.search(r"10,000 test images, .* from 97\.\d\d% to 97\.\d\d%", sentence)
    assert verdict in sentence


def test_a_misclassified_digit_is_its_pixels():
    """The image in the page decodes to exactly the pixels of the result."""
    example = misclassified()[3]
    encoded = digit_uri(example).removeprefix("data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(encoded)))
    assert image.size == (28, 28)
    assert image.tobytes() == base64.b64decode(example.pixels_base64)


@pytest.mark.parametrize("pixels", ["", "AAAA", "no base64 <img>", "ÿ"])
def test_a_digit_without_pixels_has_no_image(pixels):
    """Pixels that are missing or of the wrong length give no image, and no error."""
    assert digit_uri(dataclasses.replace(misclassified()[0], pixels_base64=pixels)) == ""


def test_the_sweep_shows_both_figures_and_the_verdict(pages, sources):
    """Reported beside reproduced, with the tolerance, a verdict in words, and what is missing."""
    source = sources["broken"]
    text = squeezed(Page(source[source.index('id="item-3G.sweep"') :]).text)
    assert text.count("differs") == 5
    assert text.count("agrees") == 5
    assert "missing" in text
    assert "± 0.80%" in text
    assert "not judged" in pages["practice"].text


def test_captured_output_is_preformatted_and_its_loss_is_said(pages):
    """What was printed is in a folded element, with how much was dropped."""
    text = pages["broken"].text
    assert "retrying …\nretrying …" in text
    assert "18,422 bytes more" in text


def test_what_reproduces_the_result_is_all_there(pages):
    """Versions, digests, seeds, isolation and times stand at the end."""
    result = broken_result()
    end = squeezed(pages["broken"].text[pages["broken"].text.index("How to reproduce") :])
    for value in dataclasses.asdict(result.provenance).values():
        for single in value if isinstance(value, tuple) else (value,):
            if isinstance(single, str) and single != result.provenance.assignment_title:
                assert single in end
    assert "0, 1, 2" in end
    assert "60,000" in end
    assert result.timing.started_at in end


def test_intake_notes_are_listed(pages):
    """Each file that was handled in a special way is named with the reason."""
    for note in broken_result().intake:
        assert note.file in pages["broken"].text
        assert note.message in pages["broken"].text


def test_written_answers_are_rendered_and_await_a_person(pages):
    """Markdown becomes text, tables and code; maths is drawn; the points are said."""
    text = pages["good"].text
    assert "\\odot" not in text
    assert pages["good"].all("math", "display", "inline")
    assert "**zero**" not in text
    assert "A person gives up to 5 points for this." in squeezed(text)
    assert "A person gives up to 1 point for this." in squeezed(text)
    assert (
        pages["good"].all("a", "href", "https://pytorch.org/docs")[0]["rel"].startswith("noopener")
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<b onclick='x'>b</b>", "<p>&lt;b onclick='x'&gt;b&lt;/b&gt;</p>"),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"),
        ("[a](//evil.example)", "<p>[a](//evil.example)</p>"),
        ("<javascript:alert(1)>", "<p>&lt;javascript:alert(1)&gt;</p>"),
        (
            "[a](https://b.example/?c&d)",
            '<p><a href="https://b.example/?c&amp;d" rel="noopener noreferrer nofollow">a</a></p>',
        ),
        (
            '![a](https://b.example/i.png "t")',
            '<p><span class="inert-image">[image: a (https://b.example/i.png)]</span></p>',
        ),
        ("# a", "<h5>a</h5>"),
        (
            "$x^2$",
            '<p><math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math></p>',
        ),
        (
            r"$\text{<b>}$",
            '<p><math display="inline"><mrow><mtext>&lt;b&gt;</mtext></mrow></math></p>',
        ),
        (
            r"$\href{javascript:x}{\style{color:red}{z}}$",
            (
                '<p><math display="inline"><mrow><mrow><mrow><mrow><mi>z</mi></mrow></mrow></mrow>'
                "</mrow></math></p>"
            ),
        ),
        (r"$\left(<i>$", r'<p><span class="math">$\left(&lt;i&gt;$</span></p>'),
        ("a\x00\u202eb", "<p>a\\x00\\u202eb</p>"),
        ("```python\nx < 1\n```", "<pre><code>x &lt; 1\n</code></pre>"),
    ],
)
def test_markdown_is_inert(source, expected):
    """Raw HTML is text, only web and mail links are links, and images are named, not fetched."""
    assert render_markdown(source).strip() == expected


@pytest.mark.parametrize("source", HOSTILE_STRINGS)
def test_the_second_line_of_defence_holds_alone(source, monkeypatch):
    """With a parser that lets raw HTML and any link through, the cleaner still leaves nothing."""
    lax = MarkdownIt("commonmark", {"html": True})
    lax.validateLink = lambda _: True
    monkeypatch.setattr(markdown, "_parser", lambda: lax)
    page = Page(render_markdown(f"x {source}"))
    for tag, attributes in page.elements:
        assert tag in {"p", "a", "pre", "code"}
        assert attributes.keys() <= {"href", "rel"}
        assert attributes.get("href", "https://").startswith("https://")


def test_a_markdown_table_keeps_its_alignment_without_styles():
    """Column alignment becomes a class, because the page's policy forbids style attributes."""
    rendered = render_markdown("|a|b|\n|-:|:-:|\n|1|2|")
    assert '<td class="align-right">1</td>' in rendered
    assert '<td class="align-center">2</td>' in rendered
    assert "style" not in rendered


def test_an_endless_text_is_not_parsed():
    """Beyond the length of an honest answer the text is shown as it is, escaped."""
    rendered = render_markdown("![" * LONGEST_PARSED)
    assert rendered.startswith("<pre>![![")
    assert render_markdown("<i>" * LONGEST_PARSED).startswith("<pre>&lt;i&gt;")


def test_runs_with_nothing_or_nothing_finite_in_them_are_shown():
    """A run without an epoch, or with an infinite loss, is reported and breaks nothing."""
    empty = dataclasses.replace(run(0, 0.5), epochs=(), diverged=True, confusion=())
    infinite = dataclasses.replace(
        empty,
        epochs=(
            EpochResult(train_loss=float("inf"), test_accuracy=0.1),
            EpochResult(train_loss=float("nan"), test_accuracy=0.1),
        ),
    )
    broken = change_item(broken_result(), "2E", training=None)
    for runs in ((empty,), (infinite,), (empty, infinite)):
        changed = change_item(broken, "2C", training=training(runs, 0.9))
        assert "diverged after epoch" in squeezed(assert_inert(render_html(changed)).text)
    nothing = dataclasses.replace(BROKEN["2C"]["training"], runs=())
    assert_inert(render_html(change_item(broken, "2C", training=nothing)))


def test_different_identifiers_have_different_anchors():
    """Identifiers that look alike once cleaned still get ids of their own."""
    assert anchor("2C", "part") == "part-2C"
    odd = {anchor(text, "part") for text in ("a b", "a<b", "a-b", "a" * 50, "a" * 51, "\ud800")}
    assert len(odd) == 6
    assert all(re.fullmatch(r"part-[A-Za-z0-9.-]+", text) for text in odd)


def test_the_report_is_written_as_utf_8(tmp_path):
    """The file holds exactly the rendered page."""
    result = map_strings(practice_result(), lambda text: f"{text} 数")
    write_html(result, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes().decode("utf-8") == render_html(result)


def test_the_same_result_gives_the_same_page():
    """Rendering has no state, no clock and no chance in it."""
    assert render_html(unfinished_result()) == render_html(unfinished_result())


def colors_of(block):
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


LIGHT = colors_of(STYLE[: STYLE.index("@media screen")])
DARK = colors_of(STYLE[STYLE.index("@media screen") : STYLE.index("/* Outcomes")])
OUTCOMES = ("passed", "failed", "pending", "skipped", "error")
ON_PAPER = [(name, ground) for name in ("ink", "muted", "link") for ground in ("page", "paper")]
TEXT_PAIRS = [
    *ON_PAPER,
    *((outcome, f"{outcome}-tint") for outcome in OUTCOMES),
    *(("ink", f"{outcome}-tint") for outcome in OUTCOMES),
    *(("link", f"{outcome}-tint") for outcome in ("failed", "error")),
    *(("muted", f"{outcome}-tint") for outcome in ("failed", "error")),
    *(("paper", outcome) for outcome in ("failed", "error")),
    *(("ink", shade) for shade in LIGHT if shade.startswith(("right-", "wrong-"))),
    ("ink", "code"),
    ("muted", "code"),
]
GRAPHIC_PAIRS = [
    *((series, "paper") for series in ("first", "second", "third")),
    *((outcome, "page") for outcome in OUTCOMES),
]


def contrast(first, second):
    """The contrast ratio of WCAG 2.2."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(color):
    """The relative luminance of WCAG 2.2, from "#rrggbb"."""
    channels = (int(color[index : index + 2], 16) / 255 for index in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("mode", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_have_enough_contrast(mode):
    """Text has 4.5:1 and graphics 3:1 in both modes (WCAG 2.2 AA, 1.4.3 and 1.4.11)."""
    assert mode.keys() == LIGHT.keys()
    for text, ground in TEXT_PAIRS:
        assert contrast(mode[text], mode[ground]) >= 4.5, (text, ground)
    for graphic, ground in GRAPHIC_PAIRS:
        assert contrast(mode[graphic], mode[ground]) >= 3, (graphic, ground)
