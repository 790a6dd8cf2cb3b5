"""Trainings are recorded as students write them."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import dedent

import pytest

from grader.assignment.records import Limits
from grader.models.questions import Extraction, Question
from grader.models.recording import RecordedTraining, Recording
from tests.submissions.asking import ask_all, find_sandbox
from tests.support.programs import notebook_of

HEAD = """
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split
from torchvision import datasets, transforms
"""
DATA = """
data = datasets.MNIST("data", train=True, download=True, transform=transforms.ToTensor())
loader = DataLoader(data, batch_size=100, shuffle=True, num_workers=2)
"""
MODEL = """
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
optimizer = optim.Adam(model.parameters(), lr=0.01)
criterion = nn.CrossEntropyLoss()
"""
STEP = "optimizer.zero_grad(); loss = criterion(model(x), y); loss.backward(); optimizer.step()"
LOOP = f"""
for epoch in range(12):
    for x, y in loader:
        {STEP}
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program, and the trainings that must come of it, one text each (see `shown`)."""

    name: str
    source: str
    trainings: tuple[str, ...]
    failures: tuple[str, ...] = ()


USUAL = "model | Flatten Linear | Adam 0.01 | CrossEntropyLoss | 12 epochs of 100"
CASES = (
    Case(name="plain", source=HEAD + DATA + MODEL + LOOP, trainings=(USUAL,)),
    Case(
        name="flattened_in_loop",
        source=f"""{HEAD}{DATA}
device = "cuda" if torch.cuda.is_available() else "cpu"
model = nn.Sequential(nn.Linear(784, 10), nn.LogSoftmax(dim=1)).to(device)
criterion = nn.NLLLoss()
optimizer = optim.SGD(model.parameters(), lr=0.003, momentum=0.9)
images, labels = next(iter(loader))
criterion(model(images.view(images.shape[0], -1).to(device)), labels.cuda())
for e in range(15):
    running = 0
    for images, labels in loader:
        images = images.view(images.shape[0], -1).to(device)
        optimizer.zero_grad()
        loss = criterion(model(images), labels.to(device))
        loss.backward()
        optimizer.step()
        running += loss.item()
    else:
        print(f"Training loss: {{running / len(loader)}}")
""",
        trainings=(
            ("model | Flatten Linear LogSoftmax | SGD 0.003 | NLLLoss | 15 epochs of 100 "
            "| flattened"),
        ),
    ),
    Case(
        name="functions",
        source=f"""{HEAD}
from tqdm.notebook import tqdm, trange
class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.fc = nn.Linear(784, 10)
    def forward(self, x):
        return F.log_softmax(self.fc(x.view(-1, 784)), dim=1)
def train(model, device, loader, optimizer, epoch):
    model.train()
    with tqdm(loader, unit="batch") as bar:
        for i, (x, y) in enumerate(bar):
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            loss = F.nll_loss(model(x), y)
            loss.backward()
            optimizer.step()
            bar.set_postfix(loss=loss.item())
def test(model, device, loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for x, y in loader:
            correct += model(x.to(device)).argmax(1).eq(y.to(device)).sum().item()
    return correct / len(loader.dataset)
def main(epochs=14):
    tf = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    train_loader = DataLoader(datasets.FashionMNIST(".", transform=tf), batch_size=64)
    test_loader = DataLoader(datasets.FashionMNIST(".", train=False, transform=tf), 1000)
    device = torch.device("cuda")
    net = torch.compile(nn.DataParallel(Net()).to(device))
    optimizer = optim.Adadelta(net.parameters(), lr=1.0)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)
    for epoch in trange(1, epochs + 1):
        train(net, device, train_loader, optimizer, epoch)
        assert test(net, device, test_loader) < 0.9
        scheduler.step()
    torch.save(net.state_dict(), "net.pt")
    net.load_state_dict(torch.load("net.pt", map_location=device))
if __name__ == "__main__":
    main()
""",
        trainings=(
            ("(Net) | Flatten Linear LogSoftmax | Adadelta 1 | StepLR each epoch | NLLLoss "
            "| 14 epochs of 64 | 0.1307 0.3081"),
        ),
    ),
    Case(
        name="trainer_class",
        source=f"""{HEAD}
import copy
x, y = datasets.MNIST(".").data, datasets.MNIST(".").targets
data = TensorDataset(x.float().unsqueeze(1) / 255, y)
train, val = random_split(data, [50_000, 10_000])
loaders = {{"train": DataLoader(train, 128, True), "val": DataLoader(val, 256)}}
class Trainer:
    def __init__(self, model, lr):
        self.model = model
        self.optimizer = optim.AdamW(model.parameters(), lr=lr)
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        self.scaler = torch.amp.GradScaler("cuda")
    def fit(self, epochs, patience=2):
        best, bad = float("inf"), 0
        for epoch in range(epochs):
            for phase in ["train", "val"]:
                self.model.train(phase == "train")
                total = 0.0
                for x, y in loaders[phase]:
                    self.optimizer.zero_grad(set_to_none=True)
                    with torch.set_grad_enabled(phase == "train"), torch.autocast("cuda"):
                        loss = self.criterion(self.model(x), y)
                    if phase == "train":
                        self.scaler.scale(loss).backward()
                        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                        self.scaler.step(self.optimizer)
                        self.scaler.update()
                    total += loss.item()
            if total < best:
                best, bad, kept = total, 0, copy.deepcopy(self.model.state_dict())
            else:
                bad += 1
            if bad > patience:
                break
        self.model.load_state_dict(kept)
model_c = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).cuda()
Trainer(model_c, 1e-3).fit(25)
""",
        trainings=(
            ("model_c | Flatten Linear | AdamW 0.001 | CrossEntropyLoss(label_smoothing=0.1) "
            "| 25 epochs of 128"),
        ),
    ),
    Case(
        name="sweep",
        source=f"""{HEAD}{DATA}
def make(p): return nn.Sequential(nn.Flatten(), nn.Dropout(p), nn.Linear(784, 10))
criterion = nn.CrossEntropyLoss()
model = make(0.2)
optimizer = optim.SGD(model.parameters(), 0.1)
{LOOP}
accuracies = []
for p in [0.0, 0.5]:
    model = make(p)
    optimizer = optim.SGD(model.parameters(), 0.1)
    for x, y in loader:
        {STEP}
    accuracies.append(loss.item())
assert accuracies[0] > 100
""",
        trainings=(
            "model | Flatten Dropout(p=0.2) Linear | SGD 0.1 | CrossEntropyLoss | 12 epochs of 100",
            "model | Flatten Dropout(p=0.0) Linear | SGD 0.1 | CrossEntropyLoss | 1 epochs of 100",
            "model | Flatten Dropout(p=0.5) Linear | SGD 0.1 | CrossEntropyLoss | 1 epochs of 100",
        ),
        failures=("sweep.py:27",),
    ),
    Case(
        name="two_loops",
        source=f"""{HEAD}{DATA}{MODEL}{LOOP}{LOOP.replace("12", "3")}""",
        trainings=(
            "model | Flatten Linear | Adam 0.01 | CrossEntropyLoss | 15 epochs of 100 | 12+3 loops",
        ),
    ),
    Case(
        name="left_early",
        source=f"""{HEAD}{DATA}{MODEL}
for epoch in range(12):
    for x, y in loader:
        {STEP}
    if epoch == 2:
        raise RuntimeError("a bug of the student's")
""",
        trainings=(USUAL,),
        failures=("left_early.py:19",),
    ),
    Case(
        name="no_loader",
        source=f"""{HEAD}{MODEL}
data = datasets.MNIST(".", download=True)
x_all, y_all = data.data.numpy().reshape(-1, 784), data.targets
x_all = torch.tensor(x_all / 255.0, dtype=torch.float32)
for epoch in range(12):
    order = torch.randperm(len(x_all))
    for i in range(0, len(x_all), 100):
        x, y = x_all[order[i : i + 100]], y_all[order[i : i + 100]]
        {STEP}
""",
        trainings=(USUAL,),
    ),
    Case(
        name="accumulated",
        source=f"""{HEAD}{DATA}{MODEL}
epoch = 0
while epoch < 12:
    for i, (x, y) in enumerate(loader):
        (criterion(model(x), y) / 4).backward()
        if (i + 1) % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
    epoch += 1
""",
        trainings=(USUAL,),
    ),
    Case(
        name="one_epoch_a_call",
        source=f"""{HEAD}{DATA}{MODEL}
iterator = iter(loader)
x, y = iterator.next()
def epoch():
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for x, y in loader:
        def closure():
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            return loss
        print(optimizer.step(closure).item())
for _ in range(12):
    epoch()
""",
        trainings=(USUAL,),
    ),
    Case(
        name="own_initialisation",
        source=f"""{HEAD}
class Scaled(Dataset):
    def __init__(self, base, tf): self.base, self.tf = base, tf
    def __len__(self): return len(self.base)
    def __getitem__(self, i):
        image, label = self.base[i]
        return self.tf(image), label
tf = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
loader = DataLoader(Subset(Scaled(datasets.MNIST("."), tf), range(5000)), batch_size=100)
{MODEL}
model.apply(lambda m: nn.init.xavier_uniform_(m.weight) if isinstance(m, nn.Linear) else None)
for epoch in range(12):
    for x, y in loader:
        x = x / 255.0
        {STEP}
    for group in optimizer.param_groups:
        group["lr"] *= 0.9
""",
        trainings=(
            (f"{USUAL} | 0.5 0.5 | scaled twice | set at own_initialisation.py:21 "
            "| scheduler: The learning rate is changed by hand during the training."),
        ),
    ),
    Case(
        name="frozen",
        source=f"""{HEAD}{DATA}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(784, 9), nn.Linear(9, 10)
    def forward(self, x):
        x = self.one(x.flatten(1))
        return self.two(x), x
model = Net()
model.one.requires_grad_(False)
optimizer = optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
for epoch in range(12):
    for x, y in loader:
        optimizer.zero_grad(); F.cross_entropy(model(x)[0], y).backward(); optimizer.step()
""",
        trainings=(
            ("model (Net) | Flatten Linear Linear | CrossEntropyLoss | 12 epochs of 100 "
            "| optimizer: The optimiser is an optimiser that leaves out 2 of the model's "
            "parameters, which would never be trained: 1.weight, 1.bias."),
        ),
    ),
    Case(
        name="old_releases",
        source=f"""{HEAD}{DATA}{MODEL}
import numpy as np
from torch.autograd import Variable
transforms.Compose([transforms.Scale(28)])
best = np.Inf
for epoch in range(12):
    for x, y in loader:
        x, y = Variable(x.cuda()), Variable(y.type(torch.cuda.LongTensor))
        {STEP}
        best = min(best, loss.data[0])
assert next(model.cuda().parameters()).is_cuda
""",
        trainings=(USUAL,),
    ),
    Case(
        name="one_cycle",
        source=f"""{HEAD}{DATA}{MODEL}
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, 12 * len(loader))
for epoch in range(12):
    for x, y in loader:
        {STEP}
        scheduler.step()
""",
        trainings=(USUAL.replace("0.01", "0.01 | CosineAnnealingLR each batch"),),
    ),
    Case(
        name="late_scheduler",
        source=f"""{HEAD}{DATA}{MODEL}
scheduler = optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
{LOOP}
scheduler.step()
""",
        trainings=(USUAL.replace("0.01", "0.01 | ExponentialLR each never"),),
    ),
    Case(
        name="two_paths",
        source=f"""{HEAD}{DATA}
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(784, 10), nn.Linear(784, 10)
    def forward(self, x):
        x = x.flatten(1)
        return self.one(x) + self.two(x)
{MODEL}
model = Net()
optimizer = optim.Adam(model.parameters(), lr=0.01)
{LOOP}
""",
        trainings=(
            ("model | The model is a Net whose forward() adds two paths at line 17; the assignment "
            "asks for one chain of layers. | CrossEntropyLoss | 12 epochs of 100"),
        ),
    ),
    Case(
        name="measured",
        source=f"""{HEAD}{DATA}{MODEL}
for epoch in range(12):
    for x, y in loader:
        x = (x - 0.1307) / 0.3081
        {STEP}
""",
        trainings=(f"{USUAL} | 0.1307 0.3081",),
    ),
    Case(
        name="own_loaders",
        source=f"""{HEAD}
import tqdm
x_all = datasets.MNIST(".", download=True).data.view(-1, 784).float() / 255
y_all = datasets.MNIST(".").targets
class Lambda(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f
    def forward(self, x): return self.f(x)
class Wrapped:
    def __init__(self, loader): self.loader = loader
    def __len__(self): return len(self.loader)
    def __iter__(self):
        for x, y in self.loader:
            yield x.view(-1, 1, 28, 28), y
def batch(model, x, y, optimizer=None):
    loss = F.cross_entropy(model(x), y)
    if optimizer is not None:
        loss.backward(); optimizer.step(); optimizer.zero_grad()
    return loss.item()
def fit(epochs, model, optimizer, train, val):
    for _ in range(epochs):
        for x, y in train:
            batch(model, x, y, optimizer)
        with torch.no_grad():
            print(sum([batch(model, x, y) for x, y in val]))
train = Wrapped(DataLoader(TensorDataset(x_all, y_all), 100))
model = nn.Sequential(Lambda(lambda x: x.view(x.size(0), -1)), nn.Linear(784, 10))
fit(8, model, optim.Adam(model.parameters(), lr=0.01), train, train)
batches = list(zip(x_all.split(200), y_all.split(200)))
del x_all, y_all
linear = nn.Sequential(nn.Linear(784, 10))
optimizer = optim.Adam(linear.parameters(), lr=0.01)
for _ in tqdm.trange(4):
    for x, y in tqdm.notebook.tqdm(batches):
        batch(linear, x, y, optimizer)
iterator = iter(train.loader)
linear = nn.Sequential(nn.Linear(784, 10))
optimizer = optim.Adam(linear.parameters(), lr=0.01)
for _ in range(1800):
    try:
        x, y = next(iterator)
    except StopIteration:
        iterator = iter(train.loader)
        x, y = next(iterator)
    batch(linear, x, y, optimizer)
step = 0
linear = nn.Sequential(nn.Linear(784, 10))
optimizer = optim.Adam(linear.parameters(), lr=0.01)
while step < 1200:
    for x, y in train.loader:
        batch(linear, x, y, optimizer)
        step += 1
""",
        trainings=(
            "model (Lambda) | Flatten Linear | Adam 0.01 | CrossEntropyLoss | 8 epochs of 100",
            "linear | Flatten Linear | Adam 0.01 | CrossEntropyLoss | 4 epochs of 200 | flattened",
            "linear | Flatten Linear | Adam 0.01 | CrossEntropyLoss | 3 epochs of 100 | flattened",
            "linear | Flatten Linear | Adam 0.01 | CrossEntropyLoss | 2 epochs of 100 | flattened",
        ),
    ),
    Case(
        name="absent",
        source=f"""{HEAD}
import helper
import matplotlib.pyplot as plt
from google.colab import drive
from torch.utils.tensorboard import SummaryWriter
from IPython.display import clear_output
from torchsummary import summary
drive.mount("/content/drive")
writer = SummaryWriter()
fig, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(8, 8))
x = torch.zeros(3, device="cuda:0").type(torch.cuda.FloatTensor)
with torch.device("cuda"):
    assert torch.ones(2).sum() == 2
three = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
loader = DataLoader(datasets.MNIST(".", transform=three), 100)
{MODEL}
summary(model, (1, 28, 28))
{LOOP.replace("optimizer.step()", "optimizer.step(); writer.add_scalar('loss', loss, epoch)")}
plt.plot(range(12))
for i, axis in enumerate([a, b, c, d]):
    axis.imshow(datasets.MNIST(".").data[i])
helper.view_classify(x)
""",
        trainings=(f"{USUAL} | 0.5 0.5 0.5 0.5 0.5 0.5",),
        failures=("absent.py:8",),
    ),
    Case(
        name="where_no_file_may_be",
        source=f"""{HEAD}{DATA}
import d2l, os
os.makedirs("/content/drive/My Drive/run", exist_ok=True)
device = d2l.try_gpu()
model = nn.Sequential(nn.Flatten(), nn.LazyLinear(10)).to(device)
model(torch.rand(1, 1, 28, 28).to(device))
optimizer = optim.Adam(model.parameters(), lr=0.01)
criterion = nn.CrossEntropyLoss()
for epoch in range(12):
    for x, y in loader:
        {STEP}
    torch.save(model.state_dict(), "/content/drive/My Drive/run/model.pt")
    with open("/content/drive/My Drive/run/log.txt", "w") as log:
        log.write("epoch")
model.load_state_dict(torch.load("/content/drive/My Drive/run/model.pt"))
assert open("/content/drive/My Drive/run/log.txt").read() == "epoch"
""",
        trainings=(USUAL,),
        failures=("where_no_file_may_be.py:11",),
    ),
)  # fmt: skip


def shown(training: RecordedTraining) -> str:
    """A training as one text."""
    parts = [" ".join(training.names)]
    if training.class_name:
        parts[0] = f"{parts[0]} ({training.class_name})".strip()
    if training.failure is not None:
        parts.append(training.failure.message)
    else:
        parts.append(
            " ".join(
                layer.describe() if layer.kind == "Dropout" else layer.kind
                for layer in training.layers
            )
        )
    if training.optimizer is not None:
        rate = training.optimizer.groups[0].settings["lr"]
        parts.append(f"{training.optimizer.kind} {rate:g}")
    if training.scheduler is not None:
        parts.append(f"{training.scheduler.kind} each {training.scheduler_steps}")
    parts += [training.loss, f"{training.epochs} epochs of {training.batch_size}"]
    if len(training.loops) > 1:
        parts.append(f"{'+'.join(map(str, training.loops))} loops")
    if training.mean:
        parts.append(" ".join(f"{value:.4g}" for value in (*training.mean, *training.std)))
    if training.flattened:
        parts.append("flattened")
    if training.scaled_twice:
        parts.append("scaled twice")
    if training.own_initialisation is not None:
        parts.append(f"set at {training.own_initialisation}")
    parts += [f"{role}: {failure.message}" for role, failure in training.failures]
    return " | ".join(parts)


NOTEBOOK = notebook_of(
    "#md # Problem 2",
    "!pip install torch\n" + HEAD + DATA,
    "%matplotlib inline\nmodel?\n" + MODEL,
    "#md ## 2C",
    "%%time\n" + LOOP,
    "broken = = 1",
    "def answer():\n    return len(model)",
    "size = tuple(x.shape[1:])",
)
KERAS = """
from tensorflow import keras
model = keras.Sequential([keras.layers.Dense(10)])
model.compile(loss="categorical_crossentropy")
model.fit(*keras.datasets.mnist.load_data()[0], epochs=3)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Extraction]:
    """The recordings of all programs, handed in together."""
    files = {f"{case.name}.py": dedent(case.source) for case in CASES}
    files |= {"notebook.ipynb": NOTEBOOK, "keras.py": KERAS}
    questions = [Question(id=file, kind="recording", file=file, function="") for file in files] + [
        Question(id="answer", kind="answer", file="notebook.ipynb", function="answer"),
        Question(id="size", kind="answer", file="notebook.ipynb", function="size"),
        Question(
            id="model",
            kind="model",
            file="notebook.ipynb",
            function="model",
            optimizer="optimizer",
        ),
    ]
    return ask_all(tmp_path_factory.mktemp("programs"), files, questions, find_sandbox(), Limits())


def recording_of(answer: Extraction) -> Recording:
    """The recording that was answered."""
    assert answer.recording is not None, answer.failure
    return answer.recording


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_trainings(case: Case, answers: dict[str, Extraction]) -> None:
    """Each program's trainings are read, and what fails is listed."""
    recording = recording_of(answers[f"{case.name}.py"])
    assert [failure.location for failure in recording.failures] == list(case.failures)
    assert [shown(training) for training in recording.trainings] == list(case.trainings)


def test_notebook(answers: dict[str, Extraction]) -> None:
    """A notebook's training has its cell; a broken cell costs itself."""
    recording = recording_of(answers["notebook.ipynb"])
    (training,) = recording.trainings
    assert shown(training) == USUAL
    assert str(training.statement) == "notebook.ipynb, cell 5, line 3"
    assert str(training.place) == "notebook.ipynb, cell 5, line 5"
    assert [failure.location for failure in recording.failures] == [
        "notebook.ipynb, cell 6, line 1"
    ]
    assert {"model", "answer", "loader", "size"} < set(recording.names)


def test_questions_to_notebook(answers: dict[str, Extraction]) -> None:
    """After a recording, its functions and variables can be asked for."""
    assert answers["answer"].value == 2
    assert answers["size"].value == (1, 28, 28)
    model = answers["model"].model
    assert model is not None, answers["model"].failure
    assert model.optimizer is not None
    assert model.location == "notebook.ipynb, cell 3, line 4"


def test_other_library(answers: dict[str, Extraction]) -> None:
    """A program that trains with another library says which."""
    recording = recording_of(answers["keras.py"])
    assert recording.library == "Keras (TensorFlow)"
    assert recording.trainings == ()
