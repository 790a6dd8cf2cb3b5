r"""The key of `set4`, for its graders only: accepted values, and rubrics for 39 written points.

Neither the wheel nor what students get holds this file. A model answer is one short version of the
right answer. Deductions are for a mistake beside a right argument; a missing argument is a point
that is not given.
"""

from grader.assignment.records import Key, Rubric, RubricItem


def _rubric(model_answer: str, notes: str, **items: tuple[float, str]) -> Rubric:
    """Return a rubric; `items` are points and texts by their ids, underscores for hyphens."""
    return Rubric(
        items=tuple(
            RubricItem(id=name.replace("_", "-"), text=text, points=points)
            for name, (points, text) in items.items()
        ),
        model_answer=model_answer,
        notes=notes,
    )


_1A = _rubric(
    r"""
With $h_l = \mathrm{relu}(W_l h_{l-1} + b_l)$ and all $W_l = 0$, $b_l = 0$, every hidden $h_l$ is
0 for every input.

Backwards, $\delta_l = (W_{l+1}^T \delta_{l+1}) \odot \mathrm{relu}'(z_l)$ is 0 in all hidden
layers, since $W_{l+1} = 0$. So $\partial L / \partial W_l = \delta_l h_{l-1}^T = 0$ there, and
$\partial L / \partial W_L = \delta_L h_{L-1}^T = 0$ in the output layer, since $h_{L-1} = 0$.
Only the output bias has a gradient.

After a step all of this holds again, so by induction it holds for ever: the network can only learn
the best constant. Small random weights make $h$ and $W$ different from 0, and the units different
from each other, so that every layer gets a gradient.
""",
    "That PyTorch sets relu'(0) = 0 is right, but the argument must not rest on it alone: with "
    "any other value the zero weights still stop the errors. One hidden layer is general enough.",
    forward=(1, "Forward pass: every hidden unit gives 0, whatever the input"),
    output_weights=(1, "The output weights have gradient 0, because the last hidden layer is 0"),
    hidden_layers=(
        1,
        "The hidden layers have gradient 0, because errors pass through zero weights",
    ),
    for_ever=(1, "So nothing but the output bias ever moves: a constant is learned"),
    random_start=(1, "Compares with small random weights, where both causes are gone"),
    only_convention=(-1, "Rests on relu'(0) = 0 alone"),
    symmetry_only=(-1, "Gives symmetry between units as the reason that nothing moves"),
)

_1B = _rubric(
    r"""
$\sigma(0) = 1/2$ and $\sigma'(0) = 1/4$, so neither the hidden outputs nor the derivatives are 0.

**Zero weights.** The output weights have gradient $\delta / 2$ and move in the first step; from
the second step on they pass errors back, and the hidden weights move too. But all units of a layer
get the same gradient and stay equal for ever. The layer is worth one unit, and the boundary is a
straight line. It is learned slowly: errors shrink by $\sigma' \le 1/4$ and by weights near 0.

**Random weights.** The symmetry is broken, so a curved boundary is learned, yet more slowly than
by the ReLU network: an active ReLU passes an error on unchanged, each sigmoid layer takes at least
three quarters of it.
""",
    "An answer may describe what a simulation shows, but needs the reason from backpropagation.",
    not_zero=(1, "At 0 a sigmoid gives 1/2, not 0, so that the output weights have a gradient"),
    then_hidden=(1, "Once the output weights moved, the hidden layer learns as well"),
    symmetry=(1, "All units of a layer stay equal: it is worth one unit, the boundary is straight"),
    speed=(1, "Slow: each sigmoid layer shrinks errors, its derivative being at most 1/4"),
    random_start=(1, "Random weights break the symmetry, and learn more slowly than with ReLU"),
    nothing_learned=(-1, "Claims that the network with zero weights learns nothing at all"),
)

_1C = _rubric(
    r"""
Let $f = v \cdot \mathrm{relu}(Wx + b) + c$ and $\delta = \partial L / \partial f$.

**While only negatives come**, $\delta > 0$ in every step. The output must fall, so for each active
unit with $v_j > 0$ the step $-\eta \delta v_j x$ lowers $z_j$, and $b_j$ falls whatever the input.
No positive example pushes back. If $z_j$ ends below 0 on *all* of the data, the unit gives 0 and
$\mathrm{relu}'(z_j) = 0$: the gradients of $w_j$, $b_j$ and $v_j$ are all 0. It is dead.

**When the positives come**, dead units have gradient 0 for them too and cannot come back. What is
left are units with $v_j < 0$ and the output bias. In the worst case the network is a constant.

**Against it**: shuffle, or mix the classes in a batch, so that pushes cancel; a smaller learning
rate; leaky ReLU, which always has a gradient.
""",
    "Units with a negative output weight need not be discussed. Full marks for a network whose "
    "only output is itself a ReLU that dies, if the argument is complete.",
    pushed_down=(2, "The negative examples all push the output, and with it active units, down"),
    nothing_back=(2, "Says through which gradient weights and bias fall, and that none push back"),
    dead=(3, "A unit below 0 on all of the data gives 0 and has gradient 0: it is dead"),
    positives=(2, "The positive examples cannot revive it, and says what becomes of the network"),
    remedy=(1, "Names something that prevents it, with a reason"),
    vanishing=(-2, "Confuses a dead unit with gradients that shrink from layer to layer"),
    per_example=(-1, "Calls a unit dead that is merely inactive on some examples"),
)

_1E = _rubric(
    r"""
One layer computes $z = w_1 x_1 + w_2 x_2 + b$, perhaps with a ReLU after it.

- At least 1 on (0, 1) and (1, 0): $w_2 + b \ge 1$ and $w_1 + b \ge 1$, so
  $w_1 + w_2 + 2b \ge 2$.
- 0 on (0, 0) and (1, 1): $b \le 0$ and $w_1 + w_2 + b \le 0$, so $w_1 + w_2 + 2b \le 0$.

Both cannot hold. In the plane: the segments between the two high and the two low points cross,
and no line separates them. Several Linear layers without a ReLU between them are one affine map.
""",
    "A drawing with the four points and a sentence is an argument. The network itself is graded "
    "automatically.",
    one_map=(1, "One layer is a single affine map, with at most a ReLU after it"),
    not_separable=(1, "XOR is not linearly separable"),
    shown=(1, "Shows it: by inequalities, by the crossing segments, or by a drawing"),
)

_2B = _rubric(
    """
How bright the spot is, or how much ink covers it: an integer from 0, the background, to 255, full
ink; values in between are shades of grey at the edges of strokes. `ToTensor()` scales to 0 … 1.
""",
    "Either range will do, and either word for what 0 and the largest value stand for.",
    brightness=(
        1,
        "A brightness (or amount of ink), from background at one end to full at the other",
    ),
    no_range=(-0.5, "Leaves out the range, or what its ends stand for"),
    reversed_ends=(-0.5, "Has the ends the wrong way round"),
)

_3A = _rubric(
    """
**Benefit.** The output keeps the input's height and width, so that layers can be stacked freely
and border pixels lie in more than one window and count as much as others.

**Drawback.** The zeros are no data: where 0 is not the background they draw an artificial edge,
the responses at the border mix it with content, and shared filters must fit both. The larger
output also costs time and memory.
""",
    "One benefit and one drawback are asked for; further ones neither add nor take points, unless "
    "they are wrong.",
    benefit=(1, "Names a benefit: the size is kept, depth becomes possible, or the border counts"),
    benefit_reason=(1.5, "Gives the reason for it"),
    drawback=(1, "Names a drawback: artificial values or edges at the border, or greater cost"),
    drawback_reason=(1.5, "Gives the reason for it"),
    wrong_extra=(-0.5, "Adds a further claim that is wrong"),
)

_3F = _rubric(
    """
Pooling keeps that a feature is near a place and gives up where exactly.

**Shifts.** A feature that moves within its window leaves the maximum as it was: in 3E the four
shifted blocks give the same output. Averages change, but gently (1, 1/2, 1/4), as 3D shows.

**Missing pixels.** The neighbours in the window say much the same, so the maximum survives the
loss of one pixel, and the average loses a quarter of it.

So images of one class look more alike to the next layer, which need not learn every variant. A
shift across a window's edge does change the output.
""",
    "The results of 3D and 3E are a good example, but any example will do.",
    summary=(1, "A window is replaced by one summary, so the exact place is given up"),
    shifts=(1, "Small shifts change the output little or not at all, with an example"),
    missing=(1, "A missing pixel is made up for by others in its window"),
    consequence=(1, "What that gives the classifier: less variation to learn, or less overfitting"),
    any_shift=(-0.5, "Claims that the output never changes, however far the shift"),
)

_3G = _rubric(
    """
Names what was tried, what it changed in accuracy, and which regulariser (dropout, weight decay,
batch normalisation) helped most, by comparing runs that differ in that alone.

**What is wrong.** Hyperparameters are chosen on the test set, and the same accuracy is reported:
the best of many tries is partly luck, so the estimate is too high, and no independent data is left.
Besides, the sweep judges after one epoch, with one run for each value, and one hyperparameter
at a time.

**Better.** Choose on a validation set or by cross-validation, with several seeds and a joint
search, and use the test set once, at the end.
""",
    "What worked for one student need not have worked for another; judge whether what they say "
    "follows from what they measured. Their model and sweep are graded automatically: look there.",
    strategies=(1.5, "Says which strategies worked or did not, with figures or comparisons"),
    regulariser=(1.5, "Says which regulariser worked best, and how this is known"),
    test_set=(1.5, "Choosing on the test set makes the reported accuracy too good"),
    further_fault=(0.5, "Names one more fault: one epoch, one run, one hyperparameter at a time"),
    properly=(1, "Says how it is done properly: validation data or cross-validation"),
    contradicts=(-1, "Contradicts the student's own figures"),
)

KEY = Key(
    accepted=(
        ("1E.layers", (2,)),
        ("2B.image_size", ((28, 28),)),
        ("2B.dataset_sizes", ((60_000, 10_000),)),
        ("3B", (608,)),
        ("3C", ((28, 28, 8), (8, 28, 28))),
        (
            "3D",
            (
                (
                    ((1.0, 0.5), (0.5, 0.25)),
                    ((0.5, 1.0), (0.25, 0.5)),
                    ((0.25, 0.5), (0.5, 1.0)),
                    ((0.5, 0.25), (1.0, 0.5)),
                ),
            ),
        ),
        ("3E", ((((1.0, 1.0), (1.0, 1.0)),) * 4,)),
    ),
    rubrics=(
        ("1A", _1A),
        ("1B", _1B),
        ("1C", _1C),
        ("1E.text", _1E),
        ("2B.text", _2B),
        ("3A", _3A),
        ("3F", _3F),
        ("3G.text", _3G),
    ),
)
