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
from grader.report.files import write_reports
from grader.report.html import anchor, picture_uri, render_html, shade
from grader.report.markdown import LONGEST_PARSED, render_markdown
from grader.report.mathematics import ELEMENTS
from grader.report.wording import interval_sentence, verdict_label
from grader.results import EpochResult, Outcome
from grader.text import is_hidden, make_visible
from tests.support.golden import assert_golden, stable_html
from tests.support.result_sample_items import BROKEN, REAL_TRAINING, run, training
from tests.support.result_samples import (
    ALL_SAMPLES,
    HOSTILE_STRINGS,
    broken_result,
    change_item,
    hostile_results,
    map_strings,
    practice_result,
)

STYLE = (Path(grader.report.__file__).parent / "templates" / "style.css").read_text("utf-8")

UNOFFICIAL = "not the assignment\N{RIGHT SINGLE QUOTATION MARK}s own"
MISCLASSIFIED = REAL_TRAINING.runs[0].misclassified

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


@pytest.mark.parametrize("name", ["broken", "practice", "recorded", "unfinished"])
def test_whole_page(name, sources):
    """The whole page is the golden file."""
    assert_golden(stable_html(sources[name]), f"report_{name}.html")


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_nothing_is_left_out(name, pages):
    """Every part and item is there, with all that is known of it and of the grading."""
    result, text = ALL_SAMPLES[name](), squeezed(pages[name].text)
    parts = [part for problem in result.problems for part in problem.parts]
    assert len(pages[name].of_class("part")) == len(parts)
    assert len(pages[name].of_class("item")) == len(result.items())
    assert all(pages[name].all("section", "id", anchor(part.id, "part")) for part in parts)
    facts = [verdict_label(item) for item in result.items()]
    for item in result.items():
        for check in item.checks:
            facts += [check.title, check.observed, check.expected, check.details]
            if check.outcome is Outcome.FAILED:
                facts += [check.next_step, check.location]
        for hint in item.hints:
            facts += ["Hint, costs no points.", hint.message, hint.reason]
    facts += [fact for note in result.intake for fact in (note.file, note.message)]
    for value in dataclasses.asdict(result.provenance).values():
        facts += [
            one
            for one in (value if isinstance(value, tuple) else [value])
            if one and isinstance(one, str)
        ]
    assert [fact for fact in facts if squeezed(fact).strip() not in text] == []


def test_stamps(pages):
    """Practice, own and incomplete results say so; others never do."""
    assert pages["practice"].text.count("PRACTICE") == 2
    assert pages["practice"].of_class("practice") == ["body"]
    assert ".practice::before" in STYLE
    assert "not a grade" in pages["practice"].text
    assert "OWN WORK" in pages["unfinished"].text
    assert pages["unfinished"].of_class("incomplete-banner")
    assert UNOFFICIAL in pages["unfinished"].text
    good = pages["good"]
    assert not good.of_class("practice") + good.of_class("incomplete-banner")
    assert not any(stamp in good.text for stamp in ("PRACTICE", "OWN WORK", UNOFFICIAL))


def test_failures_come_first_and_open(sources):
    """The list of failures comes before the parts; failed items are open, passed ones folded."""
    source = sources["broken"]
    assert source.index("10 items fell short") < source.index("All parts")
    failed = source[source.index('id="part-2C"') : source.index('id="part-2D"')]
    assert re.search(r"<details open>\s*<summary>Training", failed)
    passed = source[source.index('id="item-3G.model"') : source.index('id="item-3G.sweep"')]
    assert re.search(r"<details>\s*<summary>Details", passed)
    assert passed.index("<summary>Details") < passed.index("<summary>Training")


def test_nothing_finite():
    """A run without an epoch, or with an infinite loss, is reported and breaks nothing."""
    empty = dataclasses.replace(run(0, 0.5), epochs=(), diverged=True, confusion=())
    losses = (float("inf"), float("nan"))
    epochs = tuple(EpochResult(train_loss=loss, test_accuracy=0.1) for loss in losses)
    infinite = dataclasses.replace(empty, epochs=epochs)
    for runs in ((empty,), (infinite,), (empty, infinite)):
        changed = change_item(broken_result(), "2C", training=training(runs, 0.9))
        assert "diverged after epoch" in squeezed(assert_inert(render_html(changed)).text)
    nothing = dataclasses.replace(BROKEN["2C"]["training"], runs=())
    assert_inert(render_html(change_item(broken_result(), "2C", training=nothing)))


def test_written_file(tmp_path):
    """The file holds exactly the rendered page, which has no clock and no chance in it."""
    result = map_strings(practice_result(), lambda text: f"{text} 数")
    assert write_reports(result, tmp_path).read_bytes().decode("utf-8") == render_html(result)


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_inert(name, sources):
    """No sample's report has a script, a style attribute, or anything to fetch."""
    assert_inert(sources[name])


def test_hostile_strings_are_inert(hostile_pages):
    """Markup, bad links and broken quotes in any field stay text."""
    for _, source in hostile_pages:
        page = assert_inert(source)
        assert '<script>document.title = "owned"</script>' in page.text
        assert "{{ 7 * 7 }}" in page.text
        assert len(page.all("title")) == 1 + len(page.of_class("chart"))


def test_no_control_characters(hostile_pages):
    """Control, reordering and zero-width characters and lone surrogates become visible escapes."""
    for _, source in hostile_pages:
        assert make_visible(source) == source
        source.encode("utf-8")
        assert "\\x1b" in source
        assert "\\u202e" in source
        assert "\\x00" in source


def test_policy(hostile_pages):
    """Whatever the strings, there is one policy, and its hash is that of the page's styles."""
    for _, source in hostile_pages:
        page = Page(source)
        digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
        policies = page.all("meta", "http-equiv", "Content-Security-Policy")
        allowed = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
        forbidden = "base-uri 'none'; form-action 'none'"
        assert [policy["content"] for policy in policies] == [f"{allowed}; {forbidden}"]


@pytest.mark.parametrize("name", ALL_SAMPLES)
def test_ids_and_links(name, pages):
    """Every id occurs once, and every link and reference that starts with # has a target."""
    ids = [attributes["id"] for _, attributes in pages[name].elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in pages[name].elements:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids
        for label in attributes.get("aria-labelledby", "").split():
            assert label in ids


def test_shades():
    """A cell is darker the larger its share of the row, and only an empty one is blank."""
    shades = [shade(cell, (cell, 1000 - cell)) for cell in (0, 1, 3, 10, 50, 900)]
    assert shades == [0, 1, 2, 3, 4, 5]
    assert shade(0, (0, 0)) == 0


@pytest.mark.parametrize(
    ("accuracies", "threshold", "verdict"),
    [
        ([0.9780], 0.975, r"to 9\d\.\d\d%\.$"),
        ([0.9755], 0.976, "the threshold of 97.60% lies inside it: chance may have decided"),
        ([0.9755], 0.99, r"the threshold of 99.00% lies above it\.$"),
        ([0.9700, 0.9780], 0.975, "Only 1 of 2 seeds met the threshold. A person should look"),
    ],
)
def test_interval_sentence(accuracies, threshold, verdict):
    """The sentence gives the interval, and no more on the verdict than was computed."""
    runs = tuple(run(seed, accuracy) for seed, accuracy in enumerate(accuracies))
    sentence = interval_sentence(training(runs, threshold))
    assert re.search(r"10,000 test examples, .* from 97\.\d\d% to 9\d\.\d\d%", sentence)
    assert re.search(verdict, sentence)


def decode_picture(example):
    encoded = picture_uri(example).removeprefix("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


def test_picture():
    """The image in the page decodes to exactly the pixels of the result."""
    example = MISCLASSIFIED[3]
    image = decode_picture(example)
    assert image.size == (28, 28)
    assert image.tobytes() == base64.b64decode(example.pixels_base64)


def test_picture_in_colour():
    """Channels come one after another in the result, and side by side in the image."""
    pixels = bytes([255] * 6 + [128] * 6 + [0] * 6)
    encoded = base64.b64encode(pixels).decode()
    image = decode_picture(
        dataclasses.replace(MISCLASSIFIED[0], pixels_base64=encoded, pixels_shape=(3, 2, 3))
    )
    assert image.size == (3, 2)
    assert image.mode == "RGB"
    assert image.getpixel((2, 1)) == (255, 128, 0)


@pytest.mark.parametrize("shape", [(), (1, 28, 28), (2, 1, 1), (0, 0, 0)])
@pytest.mark.parametrize("pixels", ["", "AAA=", "no base64 <img>", "ÿ"])
def test_picture_without_pixels(pixels, shape):
    """Pixels that are missing or of the wrong number give no image, and no error."""
    example = dataclasses.replace(MISCLASSIFIED[0], pixels_base64=pixels, pixels_shape=shape)
    assert picture_uri(example) == ""


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
def test_markdown(source, expected):
    """Raw HTML is text, only web and mail links are links, and images are named, not fetched."""
    assert render_markdown(source).strip() == expected


@pytest.mark.parametrize("source", HOSTILE_STRINGS)
def test_markdown_cleaner_alone(source, monkeypatch):
    """With a parser that lets raw HTML and any link through, the cleaner still leaves nothing."""
    lax = MarkdownIt("commonmark", {"html": True})
    lax.validateLink = lambda _: True
    monkeypatch.setattr(markdown, "_parser", lambda: lax)
    page = Page(render_markdown(f"x {source}"))
    for tag, attributes in page.elements:
        assert tag in {"p", "a", "pre", "code"}
        assert attributes.keys() <= {"href", "rel"}
        assert attributes.get("href", "https://").startswith("https://")


@pytest.mark.parametrize(
    "source",
    [
        "a&#x202e;b &rlm; &shy; &#8203; &#x2028;",
        r"$\unicode{x202e}$ and $$\text{&#x202e;}$$",
        "[a&#x202e;b](https://example.org/&#x202e;)",
        "![a&#x202e;b](https://example.org/)",
        "| a&#x202e;b |\n|---|\n| &lrm; |",
    ],
)
def test_hidden_characters_of_entities(source):
    """A character that only Markdown, TeX or HTML decodes is shown as an escape."""
    shown = str(markdown.render_markdown(source))
    assert not any(is_hidden(character) for character in shown.replace("\n", ""))


def test_markdown_table():
    """Column alignment becomes a class, because the page's policy forbids style attributes."""
    rendered = render_markdown("|a|b|\n|-:|:-:|\n|1|2|")
    assert '<td class="align-right">1</td>' in rendered
    assert '<td class="align-center">2</td>' in rendered
    assert "style" not in rendered


def test_endless_markdown():
    """Beyond the length of an honest answer the text is shown as it is, escaped."""
    rendered = render_markdown("![" * LONGEST_PARSED)
    assert rendered.startswith("<pre>![![")
    assert render_markdown("<i>" * LONGEST_PARSED).startswith("<pre>&lt;i&gt;")


def test_anchors():
    """Identifiers that look alike once cleaned still get ids of their own."""
    assert anchor("2C", "part") == "part-2C"
    odd = {anchor(text, "part") for text in ("a b", "a<b", "a-b", "a" * 50, "a" * 51, "\ud800")}
    assert len(odd) == 6
    assert all(re.fullmatch(r"part-[A-Za-z0-9.-]+", text) for text in odd)


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
def test_contrast(mode):
    """Text has 4.5:1 and graphics 3:1 in both modes (WCAG 2.2 AA, 1.4.3 and 1.4.11)."""
    assert mode.keys() == LIGHT.keys()
    for text, ground in TEXT_PAIRS:
        assert contrast(mode[text], mode[ground]) >= 4.5, (text, ground)
    for graphic, ground in GRAPHIC_PAIRS:
        assert contrast(mode[graphic], mode[ground]) >= 3, (graphic, ground)
