"""SyncNet (Chung & Zisserman 2016, "Out of time"): how far lips and sound are apart, by embeddings of 0.2 s of each."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class SyncNetConfig:
    """Width of the embeddings."""

    embedding: int = 1024


class SyncNet(nn.Module):
    """Two convolutional towers, one for five pictures of a face, one for 20 columns of MFCC."""

    def __init__(self, config: SyncNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or SyncNetConfig()
        self.lip_layers = nn.Sequential(
            *_stage(nn.Conv3d(3, 96, (5, 7, 7), (1, 2, 2))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_stage(nn.Conv3d(96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_stage(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_stage(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            *_stage(nn.Conv3d(256, 256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_stage(nn.Conv3d(256, 512, (1, 6, 6))),
        )
        self.sound_layers = nn.Sequential(
            *_stage(nn.Conv2d(1, 64, 3, padding=1)),
            nn.Identity(),
            *_stage(nn.Conv2d(64, 192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_stage(nn.Conv2d(192, 384, 3, padding=1)),
            *_stage(nn.Conv2d(384, 256, 3, padding=1)),
            *_stage(nn.Conv2d(256, 256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_stage(nn.Conv2d(256, 512, (5, 4))),
        )
        self.lip_head = _head(self.config.embedding)
        self.sound_head = _head(self.config.embedding)

    def lip_features(self, images: Tensor) -> Tensor:
        """The last convolution's features (B, 512) of five images each (B, 3, 5, 224, 224) BGR 0-255."""
        return self.lip_layers(images).flatten(1)

    def embed_lips(self, images: Tensor) -> Tensor:
        """Embeddings (B, 1024) of five images each (B, 3, 5, 224, 224) BGR 0-255, 25 per second."""
        return self.lip_head(self.lip_features(images))

    def embed_sound(self, mfcc: Tensor) -> Tensor:
        """Embeddings (B, 1024) of MFCC (B, 1, 13, 20), 100 columns per second."""
        return self.sound_head(self.sound_layers(mfcc).flatten(1))


def _stage(convolution: nn.Conv2d | nn.Conv3d) -> tuple[nn.Module, ...]:
    norm = nn.BatchNorm3d if isinstance(convolution, nn.Conv3d) else nn.BatchNorm2d
    return convolution, norm(convolution.out_channels), nn.ReLU()


def _head(embedding: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, embedding))


PUBLISHED_NAMES = (
    ("netcnnlip", "lip_layers"),
    ("netcnnaud", "sound_layers"),
    ("netfclip", "lip_head"),
    ("netfcaud", "sound_head"),
)
