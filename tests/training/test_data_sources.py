"""Data sources: an author's file, torchvision's sets in their own layouts, the embedded digits."""

import gzip
import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from grader.errors import DatasetError
from grader.training.data_places import Places
from grader.training.data_sources import idx, vision
from grader.training.data_sources.file import FileDataset
from grader.training.data_sources.named import source_mistakes
from grader.training.data_sources.vision import TorchvisionDataset
from grader.training.datasets import Datasets, load_dataset, map_datasets
from tests.support.data_samples import colours, plane, save_arrays

DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")


def test_embedded_digits(tmp_path):
    """scikit-learn's digits are images of 8 bits a pixel, split evenly and always the same."""
    digits = load_dataset("digits", cache_directory=tmp_path)
    assert digits.facts.describe() == (
        "1,437 training and 360 test images of 1 x 8 x 8, 10 classes, 0.1 MB in memory"
    )
    assert digits.train_inputs.shape == (1437, 1, 8, 8)
    assert digits.test_targets.bincount().tolist() == [36] * 10
    assert (digits.train_inputs.max(), digits.train_inputs.dtype) == (255, torch.uint8)
    assert hashlib.sha256(digits.test_inputs.numpy().tobytes()).hexdigest() == (
        "46f491e244335ca0e54e0900fbe01bb285906960c684bb095546f849787b6615"
    )


def test_features(tmp_path):
    """Features become float32, and labels decide the number of classes."""
    source = save_arrays(tmp_path, "plane.npz", plane()).beside(tmp_path)
    loaded = load_dataset(source)
    assert (loaded.name, loaded.sha256) == ("plane.npz", source.sha256)
    assert loaded.train_inputs.shape == (60, 2)
    assert loaded.train_inputs.dtype == torch.float32
    assert (loaded.facts.classes, loaded.facts.input_shapes) == (3, ((2,),))


def test_images_in_colour(tmp_path):
    """Channels come first, whichever way the author saved them."""
    arrays = colours(side=4)
    last = load_dataset(save_arrays(tmp_path, "last.npz", arrays).beside(tmp_path))
    for half in ("x_train", "x_test"):
        arrays[half] = arrays[half].transpose(0, 3, 1, 2)
    first = load_dataset(save_arrays(tmp_path, "first.npz", arrays).beside(tmp_path))
    assert torch.equal(last.train_inputs, first.train_inputs)
    assert first.facts.input_shapes == ((3, 4, 4), (48,))


def test_grey_images(tmp_path):
    """Images without channels get one."""
    arrays = {**colours(side=4)}
    arrays |= {half: arrays[half][..., 0] for half in ("x_train", "x_test")}
    loaded = load_dataset(save_arrays(tmp_path, "grey.npz", arrays).beside(tmp_path))
    assert loaded.train_inputs.shape == (60, 1, 4, 4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"x_test": None}, "lacks x_test; it holds x_train, y_train, y_test"),
        ({"x_train": np.zeros((60, 2), dtype=np.uint8)}, "images must be uint8"),
        ({"x_train": np.full((60, 2), np.nan)}, "NaN or infinity in row 0 of x_train"),
        ({"x_train": np.zeros((60, 3))}, "shape (3,) in x_train (float32), but of (2,) in x_test"),
        ({"y_train": np.arange(60) % 3 + 1}, "count classes from 0"),
        ({"y_test": np.full(30, 3)}, "count classes from 0"),
        ({"y_train": np.zeros(59, dtype=int)}, "60 examples in x_train, but 59 in y_train"),
        ({"y_train": np.array(["a"] * 60)}, "y_train of shape (60,) and type <U1"),
        ({"y_train": np.array([{}] * 60)}, "cannot be read: Object arrays cannot be loaded"),
    ],
)
def test_unusable_file(tmp_path, changes, expected):
    """The author is told which array is wrong and why."""
    arrays = {name: value for name, value in (plane() | changes).items() if value is not None}
    source = save_arrays(tmp_path, "plane.npz", arrays).beside(tmp_path)
    (mistake,) = source_mistakes(source)
    assert expected in mistake
    assert mistake.startswith("plane.npz ")


def test_checksum_of_a_file(tmp_path):
    """A missing or wrong checksum is the author's mistake, with the right one to copy."""
    right = save_arrays(tmp_path, "plane.npz", plane()).sha256
    (missing,) = source_mistakes(FileDataset("plane.npz").beside(tmp_path))
    assert f'sha256="{right}"' in missing
    (wrong,) = source_mistakes(FileDataset("plane.npz", sha256="0").beside(tmp_path))
    assert wrong == f"sha256: is '0', but plane.npz has sha256=\"{right}\""
    with pytest.raises(DatasetError, match=r"is not the assignment's plane.npz"):
        load_dataset(FileDataset("plane.npz", sha256="0").beside(tmp_path))


def test_file_elsewhere(tmp_path):
    """A file that is not beside the assignment is looked for in the data directory."""
    data = tmp_path / "data"
    data.mkdir()
    source = save_arrays(data, "plane.npz", plane()).beside(tmp_path / "course")
    assert list(source_mistakes(source)) == []
    assert (source.facts(), source.is_at_hand) == (None, False)
    assert load_dataset(source, data_directory=data).facts.classes == 3
    assert source.label_paths(Places.of(data)) == [data / "plane.npz"]
    with pytest.raises(DatasetError, match=r"neither beside the assignment, in .*course, nor in"):
        load_dataset(source, data_directory=tmp_path)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("minst", "there is no data set 'minst'; did you mean 'mnist'?"),
        ("FashionMNIST", 'write TorchvisionDataset("FashionMNIST")'),
        ("spirals.npz", 'write FileDataset("spirals.npz", sha256=…)'),
        ("imagenet", "there are mnist, mnist-5k, digits, TorchvisionDataset(…) and FileDataset(…)"),
        (3, "must be a name or a data set, but is 3"),
        (TorchvisionDataset("Fashion"), "one of MNIST, FashionMNIST, KMNIST, EMNIST, CIFAR10"),
        (TorchvisionDataset("EMNIST"), "EMNIST has the splits byclass"),
        (TorchvisionDataset("MNIST", split="letters"), "MNIST has no splits"),
        (FileDataset("../a.npz", sha256="0"), "must be a relative path that ends in .npz"),
        (FileDataset("a.npz"), "sha256: is missing, and a.npz is not beside the assignment"),
    ],
)
def test_mistakes_in_naming(named, expected):
    """Each mistake says what there is."""
    (mistake,) = source_mistakes(named)
    assert expected in mistake


def test_all_in_one_file(tmp_path):
    """Training processes map all data sets of a grading out of one file."""
    digits = load_dataset("digits", cache_directory=tmp_path)
    points = load_dataset(save_arrays(tmp_path, "plane.npz", plane()).beside(tmp_path))
    with (tmp_path / "shared").open("wb") as file:
        Datasets.of(digits, points).save(file)
    mapped = map_datasets(str(tmp_path / "shared"))
    assert torch.equal(mapped["digits"].test_inputs, digits.test_inputs)
    assert torch.equal(mapped["plane.npz"].train_inputs, points.train_inputs)
    assert mapped["plane.npz"].facts == points.facts


def pack_idx(values: np.ndarray) -> bytes:
    """The bytes of a .gz of an idx file."""
    header = np.array([0x800 + values.ndim, *values.shape], dtype=">i4").tobytes()
    return gzip.compress(header + values.tobytes())


def random_images(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), dtype=np.uint8)


def labels(count: int) -> np.ndarray:
    return (np.arange(count) % 10).astype(np.uint8)


def test_checksums_of_archives(tmp_path, monkeypatch):
    """Where only torchvision knows a checksum, the .gz file itself is checked and read."""
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    contents = (random_images(20, 28, 28), labels(20), random_images(10, 28, 28), labels(10))
    md5 = {}
    for name, values in zip(idx.FILES, contents, strict=True):
        packed = pack_idx(values)
        (raw / f"{name}.gz").write_bytes(packed)
        md5[f"{name}.gz"] = hashlib.md5(packed).hexdigest()
    monkeypatch.setattr(TorchvisionDataset, "archive_md5", lambda self: md5)
    loaded = load_dataset(TorchvisionDataset("KMNIST"), data_directory=tmp_path)
    assert torch.equal(loaded.train_inputs[:, 0], torch.from_numpy(contents[0]))
    assert loaded.test_targets.tolist() == labels(10).tolist()
    damaged = raw / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(DatasetError, match="not the file that torchvision downloads: its MD5"):
        load_dataset(TorchvisionDataset("KMNIST"), data_directory=tmp_path)


def test_split_of_emnist(tmp_path, monkeypatch):
    """One split is read out of the archive, which holds all."""
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for half, count in (("train", 20), ("test", 10)):
            stem = f"gzip/emnist-letters-{half}"
            archive.writestr(f"{stem}-images-idx3-ubyte.gz", pack_idx(random_images(count, 28, 28)))
            archive.writestr(f"{stem}-labels-idx1-ubyte.gz", pack_idx(labels(count) + 1))
    (raw / "gzip.zip").write_bytes(packed.getvalue())
    md5 = hashlib.md5(packed.getvalue()).hexdigest()
    monkeypatch.setattr("torchvision.datasets.EMNIST.md5", md5)
    loaded = load_dataset(TorchvisionDataset("EMNIST", split="letters"), data_directory=tmp_path)
    assert loaded.name == "EMNIST-letters"
    assert loaded.facts.classes == 27
    assert loaded.test_targets.tolist() == [label + 1 for label in labels(10)]
    assert raw in TorchvisionDataset("EMNIST", split="letters").label_paths(Places.of(tmp_path))


def test_read_by_torchvision(tmp_path, monkeypatch):
    """CIFAR10 is read and checked by torchvision itself, channels first."""
    from torchvision.datasets import CIFAR10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    images = random_images(4, 3072)
    lists = {}
    for attribute, name in (("train_list", "data_batch_1"), ("test_list", "test_batch")):
        content = pickle.dumps({"data": images, "labels": [0, 1, 2, 3]})
        (folder / name).write_bytes(content)
        lists[attribute] = [[name, hashlib.md5(content).hexdigest()]]
        monkeypatch.setattr(CIFAR10, attribute, lists[attribute])
    content = pickle.dumps({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(content)
    meta = {"filename": "batches.meta", "key": "label_names"}
    monkeypatch.setattr(CIFAR10, "meta", meta | {"md5": hashlib.md5(content).hexdigest()})
    loaded = load_dataset(TorchvisionDataset("CIFAR10"), data_directory=tmp_path)
    assert torch.equal(loaded.test_inputs.flatten(1), torch.from_numpy(images))
    assert loaded.train_inputs.shape == (4, 3, 32, 32)
    (folder / "test_batch").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"CIFAR10 in .* cannot be read: .*corrupted"):
        load_dataset(TorchvisionDataset("CIFAR10"), data_directory=tmp_path)


def test_names_of_torchvision():
    """Every name in the table is a class of torchvision, and has an address and files."""
    for name in vision.KNOWN:
        source = TorchvisionDataset(name, split="letters" if name == "EMNIST" else "")
        assert list(source.mistakes()) == []
        assert all(url.startswith("http") for url in source.download_urls())
        assert vision.KNOWN[name].files


@pytest.mark.skipif(not DEBIAN_FASHION.is_dir(), reason="needs the package dataset-fashion-mnist")
def test_real_fashion_mnist():
    """The pinned checksums are those of Debian's package."""
    loaded = load_dataset(TorchvisionDataset("FashionMNIST"), data_directory=DEBIAN_FASHION)
    assert loaded.train_targets.bincount().tolist() == [6000] * 10
    assert loaded.test_targets.bincount().tolist() == [1000] * 10
