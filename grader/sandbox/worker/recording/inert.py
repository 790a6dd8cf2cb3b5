"""Modules that do nothing, in place of packages for plots, logs and notebooks, or absent ones."""

from __future__ import annotations

import dis
import importlib.abc
import importlib.machinery
import importlib.util
import operator
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from grader.sandbox.worker.failures import display_path

ALWAYS = (
    *("matplotlib", "seaborn", "plotly", "bokeh", "altair", "pylab", "mpl_toolkits"),
    *("tqdm", "fastprogress", "alive_progress", "progressbar", "livelossplot", "rich"),
    *("torchsummary", "torchsummaryX", "torchinfo", "torchviz", "graphviz", "netron"),
    *("wandb", "tensorboard", "tensorboardX", "torch.utils.tensorboard", "visdom", "mlflow"),
    *("comet_ml", "neptune", "clearml", "aim", "google.colab", "IPython", "ipywidgets"),
)
"""Packages that change nothing in a training; left out even where they are installed."""
HARMLESS = frozenset(
    {"google", "cv2", "skimage", "imageio", "requests", "torchmetrics", "gdown", "kaggle"}
    | {"psutil", "GPUtil", "nvidia_smi", "pynvml", "tabulate", "prettytable", "termcolor"}
    | {"sklearn", "scipy", "pandas", "scikitplot", "mlxtend", "thop", "fvcore", "ptflops"}
    | {
        "optuna",
        "nbgrader",
        "otter",
        "okpy",
        "jupyter",
        "notebook",
        "nest_asyncio",
        "matplotlib_inline",
    }
)
"""Absent packages that need no mention."""
LIBRARIES = {
    "tensorflow": "Keras (TensorFlow)",
    "keras": "Keras",
    "tf_keras": "Keras",
    "jax": "JAX",
    "flax": "JAX",
    "mxnet": "MXNet",
    "paddle": "PaddlePaddle",
    "pytorch_lightning": "PyTorch Lightning",
    "lightning": "PyTorch Lightning",
    "fastai": "fastai",
    "skorch": "skorch",
    "ignite": "PyTorch Ignite",
}
"""Libraries that train by themselves, so that nothing is recorded."""
_UNPACKED = 2
"""Values of an inert object where their number is not known."""


class Inert:
    """An object that accepts everything and does nothing.

    Args:
        path: the dotted name that it was reached by.
    """

    def __init__(self, path: str = "") -> None:
        object.__setattr__(self, "_path", path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return another, or the function that is decorated."""
        stand_in = STAND_INS.get(".".join(self._path.rsplit(".", 2)[-2:]))
        if stand_in is not None:
            return stand_in(*args, **kwargs)
        is_decorated = len(args) == 1 and not kwargs
        if is_decorated and isinstance(args[0], (types.FunctionType, type)):
            return args[0]
        return Inert(f"{self._path}()")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert(f"{self._path}.{name}")

    def __setattr__(self, name: str, value: object) -> None:
        """Forget the value."""

    def __iter__(self) -> Iterator[Any]:
        return (Inert() for _ in range(_count_asked(sys._getframe(1))))  # noqa: SLF001 - the caller

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return ()  # so that a class may derive from it

    def __instancecheck__(self, instance: object) -> bool:
        return False

    def __getitem__(self, key: object) -> Any:
        return Inert(f"{self._path}[]")

    def __setitem__(self, key: object, value: object) -> None:
        """Forget the value."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        """Let exceptions through."""

    def __len__(self) -> int:
        return _UNPACKED

    def __bool__(self) -> bool:
        return True

    def __contains__(self, value: object) -> bool:
        return False

    def __repr__(self) -> str:
        return "<not computed>"

    def __format__(self, form: str) -> str:
        return repr(self)

    def __float__(self) -> float:
        return 0.0

    def __int__(self) -> int:
        return 0

    def __index__(self) -> int:
        return 0

    def __round__(self, digits: int = 0) -> Any:
        return self

    def _combine(self, other: object = None) -> Any:
        return Inert()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _combine
    __rtruediv__ = __floordiv__ = __mod__ = __pow__ = __neg__ = __abs__ = __matmul__ = _combine
    __rfloordiv__ = __and__ = __or__ = __rmod__ = __rpow__ = __rmatmul__ = _combine

    def _is_less(self, other: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = _is_less


class InertModule(types.ModuleType):
    """A module or package whose every name is inert."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert(f"{self.__name__}.{name}")


class Progress:
    """A progress bar that shows nothing: a stand-in for tqdm."""

    def __init__(self, iterable: Iterable[Any] | None = None, *args: Any, **kwargs: Any) -> None:
        self.iterable = kwargs.get("iterable", iterable)
        self.total = kwargs.get("total")
        self.n = 0
        self.format_dict = {"elapsed": 0.0}

    @staticmethod
    def write(*args: Any, **kwargs: Any) -> None:
        """Show nothing."""

    pandas = set_lock = write

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable if self.iterable is not None else ())

    def __len__(self) -> int:
        return operator.length_hint(self.iterable, self.total or 0)

    def __length_hint__(self) -> int:
        return operator.length_hint(self.iterable, -1)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: object) -> None:
        """Let exceptions through."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None


def _progress_bar(iterable: Iterable[Any] | None = None, *args: Any, **kwargs: Any) -> Any:
    return Progress(iterable)


def _trange(*args: int, **kwargs: Any) -> Any:
    return Progress(range(*args))


_BARS: dict[str, Any] = {
    "tqdm": Progress,
    "tqdm_notebook": Progress,
    "trange": _trange,
    "tnrange": _trange,
    "track": _progress_bar,  # rich
    "progress_bar": _progress_bar,  # fastprogress
    "master_bar": _progress_bar,
    "progressbar": _progress_bar,
    "alive_it": _progress_bar,
}
_SUBMODULES = ("auto", "autonotebook", "notebook", "std", "progress")
STAND_INS: dict[str, Callable[..., Any]] = {}
"""Functions with a value all the same, by the last two parts of their names."""


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Find inert modules.

    Args:
        submission: only the student's own files get one for an absent package; libraries look for
            packages that they can do without.
        on_absent: told the name of each absent package, once.
    """

    def __init__(self, submission: Path, on_absent: Callable[[str], None]) -> None:
        self.submission = submission
        self.on_absent = on_absent
        self.libraries: list[str] = []
        self.made: set[str] = set()

    def install(self) -> None:
        """Put the inert modules in front of installed ones, and of none."""
        for name in list(sys.modules):
            if _is_below(name, ALWAYS):
                del sys.modules[name]
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return an inert module's specification, or None for a module that is there."""
        top = fullname.partition(".")[0]
        if not _is_below(fullname, ALWAYS) and top not in self.made:
            if "." in fullname or not self._is_asked_by_student() or self._is_there(fullname):
                return None
            if top not in HARMLESS and top not in LIBRARIES:
                self.on_absent(top)
        if top in LIBRARIES and LIBRARIES[top] not in self.libraries:
            self.libraries.append(LIBRARIES[top])
        if "." not in fullname:
            self.made.add(top)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return a new inert module."""
        module = InertModule(spec.name)
        if _is_below(spec.name, ("tqdm", "rich", "fastprogress", "alive_progress", "progressbar")):
            module.__dict__.update(_BARS | dict.fromkeys(_SUBMODULES, module))
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing."""

    def _is_asked_by_student(self) -> bool:
        """Return True if the import statement that runs now is the student's."""
        frame: types.FrameType | None = sys._getframe(1)  # noqa: SLF001 - the caller
        while frame is not None:
            name = frame.f_code.co_filename
            if name != __file__ and not name.startswith("<frozen importlib"):
                return display_path(name, self.submission) is not None
            frame = frame.f_back
        return False

    def _is_there(self, name: str) -> bool:
        """Return True if another finder knows a module."""
        for finder in sys.meta_path:
            if finder is not self and finder.find_spec(name, None) is not None:
                return True
        return False


def _is_below(name: str, tops: Iterable[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def _count_asked(frame: types.FrameType) -> int:
    """Return how many values the caller unpacks: three in `a, b, c = inert`."""
    code = frame.f_code.co_code
    index = frame.f_lasti
    if 0 <= index < len(code) - 1:
        name = dis.opname[code[index]]
        if name == "UNPACK_SEQUENCE":
            return code[index + 1]
        if name == "UNPACK_EX":
            return code[index + 1] + 1
    return _UNPACKED
