"""Answers are compared by value, and a difference is explained."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from grader.grading.items.comparison import Mismatch, compare, format_value, shape_of
from grader.models.questions import PlainMapping, PlainValue

# A busy machine is no reason to fail, so no example has a deadline.

numbers = st.integers(-(10**6), 10**6) | st.floats(-1e6, 1e6)
scalars = st.none() | st.booleans() | numbers | st.text(max_size=8)
plain_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(
            lambda pairs: PlainMapping(pairs=tuple(pairs.items()))
        )
    ),
    max_leaves=12,
)
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


def fill(shape: tuple[int, ...], values: list[float]) -> PlainValue:
    """Nest values by a shape, first axis outermost."""
    if not shape:
        return values[0]
    step = len(values) // shape[0]
    return tuple(fill(shape[1:], values[i * step : (i + 1) * step]) for i in range(shape[0]))


@st.composite
def arrays(draw):
    shape = draw(shapes)
    count = math.prod(shape)
    return shape, draw(st.lists(st.floats(-1e3, 1e3), min_size=count, max_size=count))


def differ(observed: PlainValue, *accepted: PlainValue, tolerance: float = 0.0) -> Mismatch:
    mismatch = compare(observed, accepted, tolerance=tolerance)
    assert mismatch is not None
    assert mismatch.message
    assert mismatch.next_step
    return mismatch


def equals(observed: PlainValue, *accepted: PlainValue, tolerance: float = 0.0) -> bool:
    return compare(observed, accepted, tolerance=tolerance) is None


@given(plain_values)
def test_value_equals_itself(value):
    """Comparison is reflexive, for any nesting."""
    assert equals(value, value)


@given(plain_values, plain_values)
def test_any_two_values(observed, wanted):
    """Unequal values of any structure give a message and a next step, never an exception."""
    mismatch = compare(observed, (wanted,), tolerance=1e-6)
    assert mismatch is None or (mismatch.message and mismatch.next_step)


@given(arrays(), st.data())
def test_changed_entries_are_counted(array, data):
    """The message counts the entries that differ and names the first one."""
    shape, values = array
    changed = sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1)))
    observed = [value + (i in changed) for i, value in enumerate(values)]
    comparison = differ(fill(shape, observed), fill(shape, values), tolerance=0.5)
    noun = "1 entry" if len(values) == 1 else f"{len(values)} entries"
    assert comparison.message.startswith(f"{len(changed)} of {noun} differ")
    first = []
    for size in reversed(shape):
        changed[0], remainder = divmod(changed[0], size)
        first.insert(0, str(remainder))
    assert f"the first at [{', '.join(first)}]" in comparison.message


@given(arrays(), st.floats(1e-6, 10), st.floats(-0.99, 0.99))
def test_within_tolerance(array, tolerance, share):
    """A deviation smaller than the tolerance does not matter, in either direction."""
    shape, values = array
    moved = [value + share * tolerance for value in values]
    assert equals(fill(shape, moved), fill(shape, values), tolerance=tolerance)


@given(arrays())
def test_side_by_side(array):
    """At most 12 rows, a header and a count of the rest; one column begins each array."""
    shape, values = array
    comparison = differ(fill(shape, [value + 1 for value in values]), fill(shape, values))
    lines = comparison.details.splitlines()
    column = lines[0].index("expected")
    rows = [line for line in lines[1:] if not line.startswith("  …")]
    assert 1 <= len(rows) <= 12
    assert len(lines) <= 14
    assert all(line[column - 1] == " " for line in rows)
    assert all(line.startswith(">") for line in rows)


@given(arrays())
def test_shape_is_nesting(array):
    """Nested tuples have the shape they were nested by."""
    shape, values = array
    assert shape_of(fill(shape, values)) == shape


@given(plain_values, st.integers(2, 60))
def test_limit_of_text(value, limit):
    """The text is cut with an ellipsis, and is whole if it is short enough."""
    text = format_value(value, limit)
    assert len(text) <= limit
    assume(not text.endswith("…"))
    assert text == format_value(value, 10_000)


def test_integer_is_exact():
    """608 and 608.0 are 608; 608.5 and 609 are not, within any tolerance."""
    assert equals(608, 608)
    assert equals(608.0, 608)
    assert (
        differ(608.5, 608).message
        == "your function returned 608.5, where the integer 608 is expected"
    )
    assert not equals(609, 608, tolerance=5.0)


def test_float_tolerance():
    """An accepted float takes numbers within the tolerance, integers too, and no others."""
    assert equals(0.9999999, 1.0, tolerance=1e-6)
    assert equals(1, 1.0, tolerance=1e-6)
    comparison = differ(0.99, 1.0, tolerance=1e-6)
    assert comparison.message == (
        "your function returned 0.99, where 1.0 (within 1e-06) is expected"
    )


@pytest.mark.parametrize(
    ("observed", "next_step"),
    [
        ("608", "return the number 608 without quotes"),
        (" 608.0 ", "return the number 608.0 without quotes"),
        ("608 parameters", "return the number alone, without 'parameters'"),
        ("six hundred", "return a number"),
    ],
)
def test_number_as_text(observed, next_step):
    """The next step tells quotes, units and words apart."""
    comparison = differ(observed, 608)
    assert comparison.message == f"your function returned the text {observed!r}"
    assert comparison.next_step == next_step


def test_truth_value():
    """True is not 1, and 1 is not True."""
    assert "a truth value and not a number" in differ(True, 1).message
    assert differ(1, True).next_step == "return True or False"
    assert equals(True, True)


def test_nan():
    """NaN is wrong even where NaN itself was accepted, and within any tolerance."""
    comparison = differ(math.nan, math.nan, 1.0, tolerance=math.inf)
    assert "NaN, which equals no number" in comparison.message


def test_infinity():
    """An infinite answer is right only where infinity is accepted."""
    assert equals(math.inf, math.inf)
    assert not equals(math.inf, 1.0, tolerance=1e9)
    assert not equals(-math.inf, math.inf, tolerance=1e9)


def test_nothing_in_a_list():
    """None within a list is a wrong entry."""
    assert "[1]: None, not a number" in differ((1, None), (1, 2)).message


def test_huge_integers():
    """A huge integer neither overflows nor is written out."""
    assert "an integer of 16610 bits" in differ(10**5000, 1.5, tolerance=1e-6).message
    assert equals(10**400, 10**400)


def test_text_is_stripped():
    """White space around an answer in words does not matter; another word does."""
    assert equals(" relu\n", "relu")
    assert (
        differ("tanh", "relu").message == "your function returned 'tanh', where 'relu' is expected"
    )
    assert differ(3, "relu").next_step == "return text"


@pytest.mark.parametrize(
    ("observed", "wanted", "message", "next_step"),
    [
        (
            (28, 28),
            (28, 28, 8),
            "your function returned values of shape (2,), where values of shape (3,) are expected",
            "return values of shape (3,)",
        ),
        (
            (608,),
            608,
            "your function returned values of shape (1,), where a single value is expected",
            "return the value itself, not a list that holds it",
        ),
        (
            (608, 609),
            608,
            "your function returned values of shape (2,), where a single value is expected",
            "return one value",
        ),
        (
            608,
            (608, 1),
            "your function returned the single value 608, where values of shape (2,) are expected",
            "return a tuple, list or array",
        ),
        (
            "28x28",
            (28, 28),
            (
                "your function returned the single value '28x28', "
                "where values of shape (2,) are expected"
            ),
            "return a tuple, list or array and not text",
        ),
        (
            (((1.0, 2.0),),),
            ((1.0, 2.0),),
            (
                "your function returned values of shape (1, 1, 2), "
                "where values of shape (1, 2) are expected"
            ),
            "change only the dimensions of size 1: reshape to (1, 2)",
        ),
        (
            (1.0, 2.0, 3.0, 4.0),
            ((1.0, 2.0), (3.0, 4.0)),
            (
                "your function returned values of shape (4,), "
                "where values of shape (2, 2) are expected"
            ),
            "nest the same number of values as (2, 2)",
        ),
        (
            ((1.0, 2.0), (3.0,)),
            ((1.0, 2.0), (3.0, 4.0)),
            "the entry at [1] has 1 entry, where 2 are expected",
            "give the entry at [1] 2 entries",
        ),
        (
            ((1.0, 2.0), 3.0),
            ((1.0, 2.0), (3.0, 4.0)),
            "the entry at [1] is a single value, where a sequence is expected",
            "make the entry at [1] a sequence",
        ),
        (
            PlainMapping(pairs=((1, 2),)),
            (1, 2),
            "the answer is a dict, where a sequence is expected",
            "make the answer a sequence",
        ),
        (
            PlainMapping(pairs=(("a", 1), ("c", 1))),
            PlainMapping(pairs=(("a", 1), ("b", 2))),
            "the answer lacks the key 'b' and has the surplus key 'c'",
            "use the keys ('a', 'b')",
        ),
    ],
)
def test_structure_first(observed, wanted, message, next_step):
    """Both shapes are told, or the place at which the nesting differs."""
    comparison = differ(observed, wanted)
    assert (comparison.message, comparison.next_step) == (message, next_step)


def test_order_of_a_dict():
    """Two dicts are equal by their keys and values."""
    ab = PlainMapping(pairs=(("a", 1), ("b", 2)))
    ba = PlainMapping(pairs=(("b", 2), ("a", 1)))
    assert equals(ab, ba)
    wrong = PlainMapping(pairs=(("b", 3), ("a", 1)))
    assert "the first at ['b']: 3, where 2 is expected" in differ(wrong, ab).message


def test_wrong_matrix():
    """Whole rows stand side by side, aligned, and those that differ are marked."""
    observed = (((1.0, 0.5), (0.25, 0.26)), ((0.0, 0.0), (0.0, -10.0)))
    wanted = (((1.0, 0.5), (0.25, 0.25)), ((0.0, 0.0), (0.0, 0.0)))
    comparison = differ(observed, wanted, tolerance=1e-6)
    assert comparison.message == (
        "2 of 8 entries differ, the first at [0, 1, 1]: 0.26, where 0.25 (within 1e-06) is expected"
    )
    assert comparison.details == (
        "          yours         expected\n"
        "  [0, 0]    1.0   0.5     1.0   0.5\n"
        "> [0, 1]   0.25  0.26    0.25  0.25\n"
        "  [1, 0]    0.0   0.0     0.0   0.0\n"
        "> [1, 1]    0.0 -10.0     0.0   0.0"
    )


def test_long_array():
    """Twelve rows are enough; the table begins a little before the first difference."""
    wanted = tuple(float(i) for i in range(40))
    observed = tuple(float(i) if i < 20 else -1.0 for i in range(40))
    lines = differ(observed, wanted).details.splitlines()
    assert lines[1].split() == ["[18]", "18.0", "18.0"]
    assert lines[3].split() == [">", "[20]", "-1.0", "20.0"]
    assert lines[-1] == "  … 28 more rows are not shown"
    assert len(lines) == 14


def test_floats_that_look_alike():
    """The texts differ wherever the values do."""
    message = differ(0.1 + 1e-9, 0.1).message
    assert message == "your function returned 0.100000001, where 0.1 is expected"


def test_float_in_place_of_an_integer():
    """A rounding error is shown with enough digits, and the type is named."""
    near = differ(1.999999999, 2)
    assert near.message == "your function returned 1.999999999, where the integer 2 is expected"
    assert near.next_step == "return an integer: round() removes the rounding error"
    assert differ(2.5, 2).next_step == "work it out again"


def test_closest_accepted_value():
    """The difference is that to the nearest accepted value."""
    comparison = differ((8, 28, 27), (28, 28, 8), (8, 28, 28))
    assert (
        comparison.message == "1 of 3 entries differs, the first at [2]: 27, where 28 is expected"
    )
    assert differ(9, 100, 10, 3).message == "your function returned 9, where 10 is expected"
    assert differ((1,), 5, (2,)).message.endswith("1, where 2 is expected")


def test_any_accepted_value():
    """The second alternative counts as much as the first."""
    assert equals((8, 28, 28), (28, 28, 8), (8, 28, 28))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((), "()"),
        ((608,), "(608,)"),
        (((1, 2.0), None), "((1, 2.0), None)"),
        (PlainMapping(pairs=((0.5, "a"), (1, True))), "{0.5: 'a', 1: True}"),
        (0.10000000149011612, "0.1"),
        (1e30, "1e+30"),
        (-3.0, "-3.0"),
        (math.nan, "nan"),
        ("a\x1b[31m", r"'a\x1b[31m'"),
    ],
)
def test_format_value(value, text):
    """Floats keep what float32 carries, and control characters are escaped."""
    assert format_value(value) == text


def test_large_value():
    """A million entries give 20 characters."""
    assert format_value((0,) * 1_000_000, 20) == "(0, 0, 0, 0, 0, 0, …"
