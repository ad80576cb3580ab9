"""The sound encoder of Wav2Lip (Prajwal et al. 2020) that SadTalker's networks start from."""

from __future__ import annotations

from torch import Tensor, nn

EMBEDDING = 512
# Channels in and out, kernel, stride, padding; blocks of equal channels add their input.
_LAYERS = (
    (1, 32, 3, 1, 1), (32, 32, 3, 1, 1), (32, 32, 3, 1, 1),
    (32, 64, 3, (3, 1), 1), (64, 64, 3, 1, 1), (64, 64, 3, 1, 1),
    (64, 128, 3, 3, 1), (128, 128, 3, 1, 1), (128, 128, 3, 1, 1),
    (128, 256, 3, (3, 2), 1), (256, 256, 3, 1, 1),
    (256, 512, 3, 1, 0), (512, 512, 1, 1, 0),
)  # fmt: skip


class EncoderLayer(nn.Module):
    """Convolution, batch norm, ReLU; the input added before the ReLU where it is residual."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, stride: int | tuple[int, int], padding: int
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(out_channels)
        self.is_residual = in_channels == out_channels and padding == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return (y + x).relu() if self.is_residual else y.relu()


class AudioEncoder(nn.Sequential):
    """Mel windows (B, 1, 80, 16) to embeddings (B, 512, 1, 1)."""

    def __init__(self) -> None:
        super().__init__(*(EncoderLayer(*layer) for layer in _LAYERS))

    def embed(self, mels: Tensor) -> Tensor:
        """Mel windows (B, T, 1, 80, 16) to embeddings (B, T, 512)."""
        return self(mels.flatten(0, 1)).flatten(1).unflatten(0, mels.shape[:2])


def encoder_names(published: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Rows of a name table for an AudioEncoder."""
    return (
        (f"{published}.*.conv_block.0", f"{ours}.*.conv"),
        (f"{published}.*.conv_block.1", f"{ours}.*.norm"),
    )
