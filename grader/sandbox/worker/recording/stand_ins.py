"""Stand-ins for torchvision's data sets: shapes and lengths as the real ones', random contents.

No image or label of a real data set is in the sandbox.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from grader.sandbox.worker.recording.inert import STAND_INS

IMAGES = 64
"""Different images in a data set; 64 different ones give every class of the usual ten."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The shape of a data set.

    Attributes:
        shape: of one image: (28, 28), or (32, 32, 3) in colour.
        is_array: its images are a NumPy array and its labels a list, as CIFAR's are.
        labels: the attribute with the labels.
    """

    shape: tuple[int, ...] = (28, 28)
    lengths: tuple[int, int] = (60_000, 10_000)
    classes: int = 10
    is_array: bool = False
    labels: str = "targets"


_COLOUR = (32, 32, 3)
KINDS = {
    "MNIST": Kind(),
    "FashionMNIST": Kind(),
    "KMNIST": Kind(),
    "QMNIST": Kind(lengths=(60_000, 60_000)),
    "EMNIST": Kind(lengths=(112_800, 18_800), classes=47),
    "USPS": Kind(shape=(16, 16), lengths=(7_291, 2_007), is_array=True),
    "CIFAR10": Kind(shape=_COLOUR, lengths=(50_000, 10_000), is_array=True),
    "CIFAR100": Kind(shape=_COLOUR, lengths=(50_000, 10_000), classes=100, is_array=True),
    "SVHN": Kind(shape=_COLOUR, lengths=(73_257, 26_032), is_array=True, labels="labels"),
    "STL10": Kind(shape=(96, 96, 3), lengths=(5_000, 8_000), is_array=True, labels="labels"),
}
_FIXED = frozenset(
    {"ToTensor", "Normalize", "Resize", "CenterCrop", "Grayscale", "ToImage", "ToDtype", "Pad"}
    | {"PILToTensor", "ConvertImageDtype"}
)
"""Transforms whose result is always the same."""
_EMNIST_SPLITS = {
    "byclass": ((697_932, 116_323), 62),
    "bymerge": ((697_932, 116_323), 47),
    "balanced": ((112_800, 18_800), 47),
    "letters": ((124_800, 20_800), 37),
    "digits": ((240_000, 40_000), 10),
    "mnist": ((60_000, 10_000), 10),
}


class StandIn:
    """The behaviour of every stand-in; it comes before the real class among the bases.

    Attributes:
        data, targets: of the real length, made when they are first used.
    """

    kind: Kind
    arguments: inspect.Signature

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = self.arguments.bind(self, *args, **kwargs)
        given.apply_defaults()
        named = {**given.arguments, **given.arguments.get("kwargs", {})}
        kind = self.kind
        split = named.get("split")
        if isinstance(split, str) and split in _EMNIST_SPLITS:
            lengths, classes = _EMNIST_SPLITS[split]
            kind = Kind(lengths=lengths, classes=classes)
        self.kind = kind
        self.root = named.get("root")
        self.split = split
        self.train = bool(named.get("train", split in {None, "train", "extra", *_EMNIST_SPLITS}))
        self.transform = named.get("transform")
        self.target_transform = named.get("target_transform")
        self.transforms = named.get("transforms")
        self._length = kind.lengths[0 if self.train else 1]
        self._images = make_images(kind.shape)
        self._set: dict[str, Any] = {}
        self._cache: dict[tuple[int, int], Any] = {}

    def _values(self, name: str) -> Any:
        """Return all images or labels, as they are or as the program set them."""
        if name not in self._set:
            order = np.arange(self._length) % IMAGES
            values = self._images[order] if name == "data" else order % self.kind.classes
            if not self.kind.is_array:
                self._set[name] = torch.from_numpy(np.ascontiguousarray(values))
            else:
                self._set[name] = values if name == "data" else values.tolist()
        return self._set[name]

    def _put(self, name: str, values: Any) -> None:
        self._set[name] = values

    def __len__(self) -> int:
        for values in self._set.values():
            if values is not None:
                return len(values)
        return self._length

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        number = range(len(self))[int(index)]
        labels = self._set.get("targets")
        label = number % IMAGES % self.kind.classes if labels is None else labels[number]
        target: Any = int(label)
        if self.target_transform is not None:
            target = self.target_transform(target)
        if "data" in self._set:
            return self._transformed(self._set["data"][number]), target
        # There are few images, and a program may go over all of the length.
        key = (id(self.transform), number % IMAGES)
        if key not in self._cache:
            image = self._transformed(self._images[number % IMAGES])
            if _is_random(self.transform):
                return image, target
            self._cache[key] = image
        return self._cache[key], target

    def _transformed(self, values: Any) -> Any:
        from PIL import Image  # noqa: PLC0415 - torchvision needs it too; many programs do not

        image: Any = Image.fromarray(np.asarray(values).astype(np.uint8))
        return apply(self.transform, image)

    def __repr__(self) -> str:
        return f"Dataset {type(self).__name__}\n    Number of datapoints: {len(self)}"

    def _check_exists(self) -> bool:
        return True


def apply(transform: Any, image: Any) -> Any:
    """Return a transformed image, without the steps that fail.

    Old versions of torchvision allowed more: a grey image could be normalised by three channels.
    """
    steps = getattr(transform, "transforms", None)
    if isinstance(steps, (list, tuple)):
        for step in steps:
            image = apply(step, image)
        return image
    if transform is None:
        return image
    try:
        return transform(image)
    except Exception:  # noqa: BLE001 - a student's transform may raise anything
        return image


def _is_random(transform: Any) -> bool:
    steps = getattr(transform, "transforms", None)
    if isinstance(steps, (list, tuple)):
        return any(map(_is_random, steps))
    name = type(transform).__name__
    return transform is not None and not (name in _FIXED or name == "Compose")


def make_images(shape: tuple[int, ...]) -> Any:
    """Return random images, each with black and white pixels in most places."""
    generator = np.random.Generator(np.random.PCG64(0))
    images = generator.integers(0, 256, size=(IMAGES, *shape), dtype=np.uint8)
    share = generator.random(size=images.shape)
    images[share < 0.5] = 0
    images[share > 0.8] = 255
    return images


def _property(name: str) -> property:
    return property(lambda self: self._values(name), lambda self, values: self._put(name, values))


def install() -> None:
    """Replace torchvision's data sets in this process; without torchvision, do nothing."""
    try:
        import torchvision  # noqa: PLC0415 - only a program that uses it pays for the import
    except ImportError:
        return
    transforms: Any = torchvision.transforms
    transforms.Scale, transforms.RandomSizedCrop = transforms.Resize, transforms.RandomResizedCrop
    for name, kind in KINDS.items():
        real = getattr(torchvision.datasets, name, None)
        if real is None:
            continue
        labels = _property("targets")
        stand_in = type(
            name,
            (StandIn, real),
            {
                "kind": kind,
                "arguments": inspect.signature(real.__init__),
                "data": _property("data"),
                "targets": labels,
                "labels": labels,
                "train_data": _property("data"),
                "test_data": _property("data"),
                "train_labels": labels,
                "test_labels": labels,
                "__module__": real.__module__,
            },
        )
        setattr(torchvision.datasets, name, stand_in)
        setattr(__import__("sys").modules[real.__module__], name, stand_in)


def _load_data(*args: Any, **kwargs: Any) -> Any:
    """Return arrays as `keras.datasets.mnist.load_data` does."""
    images = make_images((28, 28))
    return tuple(
        (images[order % IMAGES], (order % IMAGES % 10).astype(np.uint8))
        for order in map(np.arange, (60_000, 10_000))
    )


STAND_INS["mnist.load_data"] = STAND_INS["fashion_mnist.load_data"] = _load_data
