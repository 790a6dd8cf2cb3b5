import argparse

import torch
from torch import nn
from torchvision import datasets, transforms


def train(model, loader, optimizer, epoch):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    print("Train Epoch: {}".format(epoch))


def main():
    parser = argparse.ArgumentParser(description="MNIST")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--no-cuda", action="store_true", default=False)
    args = parser.parse_args()
    device = "cuda" if not args.no_cuda and torch.cuda.is_available() else "cpu"
    dataset = datasets.MNIST("../data", train=True, download=True, transform=transforms.ToTensor())
    loader = torch.utils.data.DataLoader(dataset, batch_size=args.batch_size, shuffle=True)
    # Problem C
    model_c = nn.Sequential(nn.Flatten(), nn.Linear(784, 96), nn.ReLU(), nn.Linear(96, 10)).to(device)
    optimizer = torch.optim.SGD(model_c.parameters(), lr=args.lr)
    for epoch in range(1, args.epochs + 1):
        train(model_c, loader, optimizer, epoch)


if __name__ == "__main__":
    main()
