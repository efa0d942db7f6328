"""Batches of training images: padded by 4, cropped, flipped and normalised, by whole-batch tensor operations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gatewright.models.datasets.images import ImageSet

PADDING = 4


@dataclass(frozen=True)
class Crops:
    """Where images are cut, ``shift`` [2, N, 1] (row, column; 0 to 8), and which are flipped, ``flip`` [N, 1]."""

    shift: Tensor
    flip: Tensor

    @staticmethod
    def draw(count: int, device: torch.device, generator: torch.Generator | None = None) -> Crops:
        """Random crops for ``count`` images, from the given generator or the device's own."""
        shift = torch.randint(0, 2 * PADDING + 1, (2, count, 1), device=device, generator=generator)
        return Crops(shift, torch.rand(count, 1, device=device, generator=generator) < 0.5)

    def of(self, index: Tensor) -> Crops:
        """The crops of some of the images."""
        return Crops(self.shift[:, index], self.flip[index])

    def to(self, device: torch.device) -> Crops:
        """The same crops on a device."""
        return Crops(self.shift.to(device), self.flip.to(device))


class Batches:
    """The training set on a device."""

    def __init__(self, data: ImageSet, batch_size: int, device: torch.device) -> None:
        images = torch.from_numpy(data.images).to(device).permute(0, 3, 1, 2)
        self.padded = F.pad(images, (PADDING,) * 4)
        self.labels = torch.from_numpy(data.labels).to(device)
        self.mean = torch.tensor(data.source.mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(data.source.std, device=device).view(1, 3, 1, 1) * 255
        self.batch_size, self.device = batch_size, device

    def epoch(self) -> list[Tensor]:
        """The indices of each batch, in a fresh order."""
        return list(torch.randperm(len(self.labels), device=self.device).split(self.batch_size))

    def batch(self, index: Tensor, crops: Crops | None = None) -> tuple[Tensor, Tensor]:
        """Float images [B, 3, height, width] (channels last), cut at random or as ``crops`` says, and labels [B]."""
        crops = crops or Crops.draw(len(index), self.device)
        rows, columns = (torch.arange(size - 2 * PADDING, device=self.device) for size in self.padded.shape[2:])
        rows = crops.shift[0] + rows
        columns = crops.shift[1] + torch.where(crops.flip, columns.flip(0), columns)
        pixels = self.padded.permute(0, 2, 3, 1)[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        images = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std
        return images.contiguous(memory_format=torch.channels_last), self.labels[index]
