"""Models and recipes that were recorded from a program, in the form that the checks take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from grader.assignment.records import ModelItem, Recipe
from grader.grading.attribution import describe_training
from grader.grading.items.recipe import LARGEST_STATISTIC, SMALLEST_STD
from grader.models.questions import ExtractedModel, Extraction, PlainMapping, PlainValue, Question
from grader.models.recording import Attribution, Doubt, RecordedTraining
from grader.models.spec import ModelSpec
from grader.results import Hint, ProgramFault, ProgramReport, SourceReport

_CROSS_ENTROPIES = frozenset({"CrossEntropyLoss", "cross_entropy"})
_LOG_LIKELIHOODS = frozenset({"NLLLoss", "nll_loss"})
_LISTED = 6


def extract_training(question: Question, item: ModelItem, attribution: Attribution) -> Extraction:
    """Return an attributed training as the answer to a model's question."""
    training = attribution.training
    if training.failure is not None:
        failure = training.failure
        if failure.kind in {"wrong-type", "wrong-value"}:
            return Extraction(question=question, failure=failure, attribution=attribution)
        doubt = Doubt(
            observed=f"the model at {training.statement} cannot be read: {failure.message}",
            next_step=failure.next_step,
            location=failure.location or str(training.statement),
        )
        return Extraction(question=question, doubt=doubt, attribution=attribution)
    location = str(training.statement)
    model = ExtractedModel(
        model=ModelSpec(layers=training.layers),
        location=location,
        optimizer=training.optimizer,
        scheduler=training.scheduler if training.scheduler_steps == "epoch" else None,
        training=_choices(training, item),
        failures=training.failures,
        class_name=training.class_name,
        own_initialisation=training.own_initialisation,
    )
    return Extraction(question=question, location=location, model=model, attribution=attribution)


def with_recorded_recipe(
    extraction: Extraction, item: ModelItem, trainings: Sequence[RecordedTraining]
) -> Extraction:
    """Add the recorded recipe of a function's model, if its functions declare none.

    Args:
        extraction: the function's answer.
        item: the item.
        trainings: of models with the same layers, in the program's order.
    """
    model = extraction.model
    if not trainings or model is None or model.optimizer or model.training or model.failures:
        return extraction
    reason = f"it trains the model of {item.model}()"
    attribution = Attribution(training=trainings[-1], reason=reason, others=tuple(trainings[:-1]))
    recorded = extract_training(extraction.question, item, attribution).model
    assert recorded is not None  # noqa: S101  # a training with these layers has no failure
    merged = replace(
        model,
        optimizer=recorded.optimizer,
        scheduler=recorded.scheduler,
        training=recorded.training,
        failures=recorded.failures,
    )
    return replace(extraction, model=merged, attribution=attribution)


def _choices(training: RecordedTraining, item: ModelItem) -> PlainMapping | None:
    """Return the recorded choices as a training function returns them, as far as they are free."""
    recipe = item.recipe
    pairs: list[tuple[PlainValue, PlainValue]] = []
    if not recipe.fixed:
        pairs += [
            ("epochs", max(1, training.epochs)),
            ("batch_size", _nearest_batch_size(training, recipe)),
        ]
    if _is_normalization_usable(training, item):
        pairs += [("mean", training.mean), ("std", training.std)]
    return PlainMapping(pairs=tuple(pairs)) if pairs else None


def _is_normalization_usable(training: RecordedTraining, item: ModelItem) -> bool:
    """Return True if the images can be normalised as in the program."""
    channels = {1, *(shape[0] for shape in item.accepted_shapes() if len(shape) == 3)}
    return (
        item.recipe.normalization
        and len(training.mean) == len(training.std)
        and (len(training.mean) in channels or len({*training.mean}) == len({*training.std}) == 1)
        and all(abs(mean) <= LARGEST_STATISTIC for mean in training.mean)
        and all(SMALLEST_STD <= std <= LARGEST_STATISTIC for std in training.std)
    )


def _nearest_batch_size(training: RecordedTraining, recipe: Recipe) -> int:
    size = training.batch_size or recipe.batch_size
    return min(max(size, recipe.minimum_batch_size), recipe.maximum_batch_size)


def report_source(attribution: Attribution, item: ModelItem) -> SourceReport:
    """Return which training was taken, which others there were, and how to choose another."""
    training = attribution.training
    others = [describe_training(other) for other in attribution.others[-_LISTED:]]
    if len(attribution.others) > _LISTED:
        others.insert(0, f"{len(attribution.others) - _LISTED} earlier ones")
    return SourceReport(
        location=str(training.statement),
        recipe=_describe_choices(training),
        reason=attribution.reason,
        others=tuple(others),
        next_step=(
            "if another training counts, write the part in a heading above it, or name its model "
            f"{item.model}"
        ),
    )


def _describe_choices(training: RecordedTraining) -> str:
    epochs = f"{training.epochs} {'epoch' if training.epochs == 1 else 'epochs'}"
    return f"{epochs}, batch size {training.batch_size or 'unknown'}"


def list_notes(attribution: Attribution, item: ModelItem) -> tuple[str, ...]:
    """Return what the grader does otherwise than the program, one sentence each."""
    return tuple(_find_differences(attribution.training, item))


def _find_differences(training: RecordedTraining, item: ModelItem) -> Iterator[str]:
    recipe = item.recipe
    if len(training.loops) > 1:
        counts = ", ".join(map(str, training.loops[:-1]))
        yield (
            f"The program trains this model in {len(training.loops)} loops of {counts} and "
            f"{training.loops[-1]} epochs: all count together, {training.epochs} epochs."
        )
    if recipe.fixed and (training.epochs, training.batch_size) != (
        recipe.epochs,
        recipe.batch_size,
    ):
        yield (
            f"The program trains {_describe_choices(training)}. The assignment fixes "
            f"{recipe.epochs} epochs and batch size {recipe.batch_size}, which the grader uses."
        )
    elif not recipe.fixed and training.batch_size != _nearest_batch_size(training, recipe):
        found = f"is {training.batch_size}" if training.batch_size else "was not recorded"
        yield (
            f"The program's batch size {found}; the grader uses "
            f"{_nearest_batch_size(training, recipe)}. The assignment allows "
            f"{recipe.minimum_batch_size} to {recipe.maximum_batch_size}."
        )
    if training.mean and not _is_normalization_usable(training, item):
        reason = "fits no image of the data set" if recipe.normalization else "is not allowed here"
        yield f"The program's normalisation {reason}: the grader scales pixels to 0 to 1 only."
    if item.loss != "CrossEntropyLoss":
        if training.loss not in {"", item.loss}:
            yield f"The program's loss is {training.loss}; the grader trains with {item.loss}."
    elif training.loss in _LOG_LIKELIHOODS and _ends_in_log_softmax(training):
        yield f"LogSoftmax with {training.loss} is cross entropy, with which the grader trains."
    elif training.loss and training.loss not in _CROSS_ENTROPIES:
        yield f"The program's loss is {training.loss}; the grader trains with cross entropy."
    if training.scheduler is not None and training.scheduler_steps == "never":
        yield f"The program never steps its {training.scheduler.kind}, so the grader has none."
    if training.scheduler is not None and training.scheduler_steps == "batch":
        yield (
            f"The program steps its {training.scheduler.kind} after every batch. The grader steps "
            "a scheduler once an epoch, so it leaves this one out."
        )


def _ends_in_log_softmax(training: RecordedTraining) -> bool:
    return bool(training.layers) and training.layers[-1].kind == "LogSoftmax"


def describe_origin(model: ExtractedModel) -> tuple[str, ...]:
    """Return notes on a model's class and initial weights, which the grader does not take over."""
    notes = []
    if model.class_name:
        notes.append(
            f"{model.class_name} is a class whose forward() is one chain of layers. The grader "
            "reads it as the nn.Sequential of these layers."
        )
    if model.own_initialisation is not None:
        notes.append(
            f"Initial weights are set at {model.own_initialisation}. The grader does not take them "
            "over: every model starts from PyTorch's own initialisation."
        )
    return tuple(notes)


def find_hints(attribution: Attribution) -> tuple[Hint, ...]:
    """Return hints on how a program prepares its images."""
    training = attribution.training
    if not training.scaled_twice:
        return ()
    hint = Hint(
        id="pixels-scaled-twice",
        message="pixels are divided by 255 after ToTensor(), which has divided them already",
        reason="The model then sees values from 0 to 0.004 and learns slowly. The grader scales "
        "pixels once, to 0 to 1.",
        location=str(training.statement),
    )
    return (hint,)


def report_programs(extractions: Iterable[Extraction]) -> tuple[ProgramReport, ...]:
    """Return what was recorded of each program, and what failed in it."""
    return tuple(
        _report_program(extraction)
        for extraction in extractions
        if extraction.question.kind == "recording"
    )


def _report_program(extraction: Extraction) -> ProgramReport:
    recording, file = extraction.recording, extraction.question.file
    failures = [extraction.failure] if extraction.failure else []
    if recording is not None:
        failures += recording.failures
    return ProgramReport(
        file=file,
        trainings=tuple(map(describe_training, recording.trainings)) if recording else (),
        faults=tuple(
            ProgramFault(
                location=failure.location or file,
                message=failure.message,
                next_step=failure.next_step,
            )
            for failure in failures
        ),
        library=recording.library if recording else "",
    )
