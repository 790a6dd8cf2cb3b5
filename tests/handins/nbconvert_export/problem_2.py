#!/usr/bin/env python
# coding: utf-8

# # Set 4, problem 2

# In[1]:


get_ipython().run_line_magic('matplotlib', 'inline')
import numpy as np
import matplotlib.pyplot as plt
import torch
import torch.nn as nn
import torchvision


# In[2]:


get_ipython().system('nvidia-smi')
trainset = torchvision.datasets.MNIST('/home/me/data', train=True, transform=torchvision.transforms.ToTensor(), download=False)
train_loader = torch.utils.data.DataLoader(trainset, batch_size=32, shuffle=True, num_workers=4, pin_memory=True)


# ## Part C

# In[5]:


model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 36), nn.ReLU(), nn.Linear(36, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=1e-4)
loss_fn = nn.CrossEntropyLoss()
for epoch in range(18):
    for batch in train_loader:
        x, y = batch
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
