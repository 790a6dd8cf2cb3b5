"""A class of sixty made from the reference solution: what each hands in, and what must come of it.

25 hand in models of their own, five of them as archives; 5 hand in the same; 20 are broken, each
in its own way; 10 are hostile.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.paths import REFERENCE

FILES = {
    str(path.relative_to(REFERENCE)): path.read_bytes()
    for path in sorted(REFERENCE.rglob("*"))
    if path.suffix == ".py" or path.parent.name == "written"
}
WRITTEN = ("1A", "1B", "1C", "1E.text", "2B.text", "3A", "3F", "3G.text")
AUTOMATIC = (
    *("1D", "1E.layers", "1E.network", "2A", "2B.image_size", "2B.dataset_sizes"),
    *("2C", "2D", "2E", "3B", "3C", "3D", "3E", "3G.model", "3G.sweep"),
)
PROBLEM_1 = ("1D", "1E.layers", "1E.network")
PROBLEM_2 = ("2A", "2B.image_size", "2B.dataset_sizes", "2C", "2D", "2E")
PROBLEM_3 = ("3B", "3C", "3D", "3E", "3G.model", "3G.sweep")


@dataclass(frozen=True, kw_only=True)
class Pupil:
    """One of the sixty.

    Attributes:
        id: the folder's name.
        files: contents by name.
        failing: the automatic items that must not be passed; all others must.
        status: of the grading.
        archive: how it is packed: "", "zip" or "tar.gz".
        extra: makes what ordinary files cannot be, in the pupil's folder.
    """

    id: str
    files: Mapping[str, bytes]
    failing: tuple[str, ...] = ()
    status: str = "graded"
    archive: str = ""
    extra: Callable[[Path], None] | None = None
    raw: Mapping[str, bytes] = field(default_factory=dict)

    def outcomes(self) -> dict[str, str]:
        """The expected outcome of every automatic and written item."""
        if self.status != "graded":
            return {}
        outcomes = dict.fromkeys(AUTOMATIC, "passed") | dict.fromkeys(self.failing, "failed")
        for item_id in WRITTEN:
            there = f"written/{item_id.partition('.')[0]}.md" in self.files
            outcomes[item_id] = "pending" if there else "failed"
        return outcomes

    def write(self, directory: Path) -> None:
        """Hand it in."""
        if self.archive == "zip":
            (directory / f"{self.id}.zip").write_bytes(zip_of(self.files))
        elif self.archive == "tar.gz":
            (directory / f"{self.id}.tar.gz").write_bytes(_tar_of(self.files))
        for name, content in self.raw.items():
            (directory / name).write_bytes(content)
        if self.archive or self.raw:
            return
        folder = directory / self.id
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        if self.extra is not None:
            self.extra(folder)


def make_class(directory: Path) -> list[Pupil]:
    """Write the whole class into `directory`; returns who is in it."""
    pupils = [*_varied(), *_identical(), *_broken(), *_hostile()]
    for pupil in pupils:
        pupil.write(directory)
    return pupils


def zip_of(files: Mapping[str, bytes]) -> bytes:
    """A zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def _tar_of(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"submission/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _edited(name: str, *replacements: tuple[str, str]) -> dict[str, bytes]:
    """The reference with replacements in one file, each of which must fit somewhere."""
    text = FILES[name].decode()
    for old, new in replacements:
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return {**FILES, name: text.encode()}


def _replaced(name: str, function: str, body: str) -> dict[str, bytes]:
    """The reference with one function that a later definition overrides."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    later = f"\n\ndef {function}(*arguments):\n{lines}"
    return {**FILES, name: FILES[name] + later.encode()}


def _varied() -> Iterator[Pupil]:
    for number in range(25):
        networks = _edited(
            "problem_2.py",
            ("nn.Linear(784, 100)", f"nn.Linear(784, {100 - number})"),
            (
                "nn.Linear(100, 10),\n    )\n\n\ndef optimizer_c",
                f"nn.Linear({100 - number}, 10),\n    )\n\n\ndef optimizer_c",
            ),
            ("nn.Linear(140, 60)", f"nn.Linear(140, {60 - number})"),
            ("nn.Linear(60, 10)", f"nn.Linear({60 - number}, 10)"),
            ("nn.Linear(400, 200)", f"nn.Linear(400, {150 + number})"),
            ("nn.Linear(200, 100)", f"nn.Linear({150 + number}, 100)"),
        )
        # Convolutions take most of the time, so that several pupils share theirs.
        filters = 12 + 2 * (number % 5)
        convolutions = _edited(
            "problem_3.py",
            ("nn.Conv2d(1, 16,", f"nn.Conv2d(1, {filters},"),
            ("nn.BatchNorm2d(16)", f"nn.BatchNorm2d({filters})"),
            ("nn.Conv2d(16, 32,", f"nn.Conv2d({filters}, 32,"),
        )
        yield Pupil(
            id=f"varied-{number:02}",
            files={**networks, "problem_3.py": convolutions["problem_3.py"]},
            archive={1: "zip", 2: "tar.gz", 3: "zip", 4: "tar.gz", 5: "zip"}.get(number, ""),
        )


def _identical() -> Iterator[Pupil]:
    for number in range(5):
        yield Pupil(id=f"same-{number}", files=FILES)


def _without(name: str) -> dict[str, bytes]:
    return {other: content for other, content in FILES.items() if other != name}


def _broken() -> Iterator[Pupil]:
    one, two, three = "problem_1.py", "problem_2.py", "problem_3.py"

    def broken(name: str, files: Mapping[str, bytes], *failing: str, **more: str) -> Pupil:
        return Pupil(id=f"broken-{name}", files=files, failing=failing, **more)  # type: ignore[arg-type]

    sequential = "return nn.Sequential(nn.Flatten(), {})".format
    network = sequential("nn.Linear(784, {0}), nn.{1}(), nn.Linear({0}, 10)").format
    yield broken("syntax", {**FILES, two: b"def model_c(:\n"}, *PROBLEM_2)
    yield broken("missing-file", _without(three), *PROBLEM_3)
    yield broken("too-wide", _replaced(two, "model_c", network(128, "ReLU")), "2C")
    yield broken("forbidden-layer", _replaced(two, "model_c", network(90, "LeakyReLU")), "2C")
    yield broken("one-hidden-layer", _replaced(two, "model_d", network(190, "ReLU")), "2D")
    yield broken(
        "no-dropout", _edited(three, ("        nn.Dropout(0.3),\n", "")), "3G.model", "3G.sweep"
    )
    yield broken(
        "own-module",
        _replaced(two, "model_c", "class Own(nn.Sequential): pass\nreturn Own(nn.Linear(784, 10))"),
        "2C",
    )
    yield broken("raises", _replaced(two, "model_c", "raise ValueError('not finished')"), "2C")
    yield broken("endless", _replaced(one, "or_network", "while True: pass"), "1D")
    yield broken(
        "diverges",
        _replaced(two, "optimizer_c", "return torch.optim.SGD(arguments[0].parameters(), lr=1e9)"),
        "2C",
    )
    yield broken("no-epochs", _edited(two, ('{"epochs": 10,', '{"epochs": 0,')), "2C")
    yield broken("wrong-number", _replaced(three, "conv_parameters", "return 600"), "3B")
    yield broken("exits", {**FILES, one: b"import sys\nsys.exit(0)\n"}, *PROBLEM_1)
    yield broken("not-utf-8", {**FILES, one: b"# caf\xe9\n" + FILES[one]}, *PROBLEM_1)
    yield broken("no-written-answer", _without("written/1A.md"))
    yield broken(
        "wrong-weights", _edited(one, ("network[2].weight.fill_(1.0)", "pass")), "1E.network"
    )
    yield broken("wrong-shape", _replaced(three, "average_pool", "return [1.0, 0.5]"), "3D")
    yield broken("missing-package", {**FILES, one: b"import no_such_package\n"}, *PROBLEM_1)
    yield broken(
        "too-many-parameters",
        _edited(
            three,
            ("nn.Linear(512, 128)", "nn.Linear(512, 4096)"),
            ("nn.Linear(128, 10)", "nn.Linear(4096, 10)"),
        ),
        "3G.model",
        "3G.sweep",
    )
    yield Pupil(
        id="broken-empty",
        files={},
        raw={"broken-empty.zip": zip_of({"notes.txt": b""})},
        status="unusable",
    )


def _hostile() -> Iterator[Pupil]:
    one, two, three = "problem_1.py", "problem_2.py", "problem_3.py"

    def hostile(name: str, files: Mapping[str, bytes], *failing: str) -> Pupil:
        return Pupil(id=f"hostile-{name}", files=files, failing=failing)

    yield hostile(
        "kills-parent",
        _replaced(one, "or_network", "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)"),
        "1D",
    )
    yield hostile(
        "fork-bomb", _replaced(one, "or_network", "import os\nwhile True: os.fork()"), "1D"
    )
    yield hostile(
        "memory-hog",
        _replaced(one, "or_network", "hog = []\nwhile True: hog.append(bytearray(10_000_000))"),
        "1D",
    )
    yield hostile("exits-clean", _replaced(three, "max_pool", "import os\nos._exit(0)"), "3E")
    yield hostile(
        "patches-torch",
        {
            **FILES,
            two: FILES[two] + b"\nnn.Linear.forward = lambda self, x: x.new_ones(len(x), 10)\n",
        },
    )
    yield hostile(
        "deletes-everything",
        _replaced(
            three,
            "max_pool",
            "import shutil\nshutil.rmtree('/', ignore_errors=True)\n"
            "return [[[1.0, 1.0], [1.0, 1.0]]] * 4",
        ),
    )
    yield Pupil(
        id="hostile-link",
        files=_without(three),
        failing=PROBLEM_3,
        extra=lambda folder: (folder / three).symlink_to("/etc/passwd"),
    )
    yield hostile(
        "forges-answers",
        _replaced(
            three,
            "max_pool",
            "import os, struct\n"
            "for descriptor in range(3, 256):\n"
            "    try: os.write(descriptor, struct.pack('>cI', b'R', 13) + b'{\"score\":100}')\n"
            "    except OSError: pass\n"
            "os._exit(0)",
        ),
        "3E",
    )
    yield Pupil(
        id="hostile-bomb",
        files={},
        raw={"hostile-bomb.zip": zip_of({"problem_1.py": bytes(500_000_000)})},
        status="unusable",
    )
    yield Pupil(
        id="hostile-path",
        files={},
        raw={"hostile-path.zip": zip_of({"../../escaped.py": b"", **FILES})},
        status="unusable",
    )
