"""LaTeX as MathML: what is drawn, what is not, and that nothing in it can act."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.report.mathematics import ATTRIBUTES, ELEMENTS, LONGEST_FORMULA, mathml

PIECES = st.sampled_from(
    [
        *(
            r"\text{",
            r"\href{",
            r"\style{",
            r"\class{",
            r"\color{",
            r"\frac",
            r"\left(",
            r"\right)",
        ),
        *(
            r"\begin{matrix}",
            r"\end{matrix}",
            r"\unicode{x3c}",
            "javascript:x",
            "<script>",
            "</math>",
        ),
        *(
            "{",
            "}",
            "[",
            "]",
            "^",
            "_",
            "&",
            "\\\\",
            "x",
            "1",
            '"',
            "'",
            "<",
            ">",
            "\x00",
            "\ud800",
        ),
    ]
)


def test_drawn():
    """Fractions, indices, Greek letters, relations, sums and matrices."""
    formula = r"\frac{\partial L}{\partial W_1} = \sum_{i=1}^n \delta_i h^T \ge 0"
    drawn = mathml(formula, display=True)
    assert drawn.startswith('<math display="block">')
    kinds = {element.tag for element in ET.fromstring(drawn).iter()}
    assert kinds >= {"mfrac", "munderover", "msub", "msup", "mi", "mo"}
    assert "mtable" in mathml(r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", display=False)


@pytest.mark.parametrize(
    "formula",
    [
        r"\frac{",
        "{" * 500 + "}" * 500,
        r"\sqrt{" * 70 + "}" * 70,
        r"\begin{aligned} a &= b \end{aligned}",
        "x" * (LONGEST_FORMULA + 1),
    ],
    ids=["broken", "braces", "deep", "unknown environment", "long"],
)
def test_not_drawn(formula):
    """None says so; nothing is raised."""
    assert mathml(formula, display=False) is None


@given(st.lists(PIECES, max_size=25).map("".join))
def test_only_listed_elements(formula):
    """Whatever is put in: no link, style, script or markup of the student's."""
    drawn = mathml(formula, display=False)
    if drawn is None:
        return
    root = ET.fromstring(drawn.replace("\x00", "").encode("utf-8", "replace"))
    for element in root.iter():
        assert element.tag in ELEMENTS
        for name, value in element.attrib.items():
            assert value in ATTRIBUTES[name]
