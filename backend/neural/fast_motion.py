"""Face-vid2vid's dense motion and warp on a CPU with fewer multiplications and the same result, channels last."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backend.models.blocks import ConvBlock, Hourglass
from backend.models.coordinates import coordinate_grid
from backend.models.facevid2vid.dense_motion import MASK_THRESHOLD, DenseMotion, Motion
from backend.models.facevid2vid.generator import Generator, SourceFeatures
from backend.neural.enlarging import Enlarged
from backend.neural.fast_motion_kernels import evidence, sampled
from backend.neural.winograd import WinogradConv

VARIANCE = 0.01  # of the key points' heat maps


class FastMotion(nn.Module):
    """A DenseMotion whose batch norms were folded before; see there."""

    def __init__(self, motion: DenseMotion) -> None:
        super().__init__()
        self.compress, self.n_motions = motion.compress, motion.config.n_keypoints + 1
        self.hourglass = _Hourglass(motion.hourglass)
        self.refine, self.mask = WinogradConv(motion.refine.conv), motion.mask
        occlusion = motion.occlusion
        taps = occlusion.weight.detach()[0].unflatten(0, (-1, motion.config.depth))
        self.taps = taps.permute(1, 0, 2, 3).flatten(2).contiguous()
        """(D, C, 49)"""
        self.occlusion_bias = float(occlusion.bias)

    def forward(self, compressed: Tensor, source: Tensor, driving: Tensor) -> Motion:
        volume = compressed.permute(0, 2, 3, 4, 1).contiguous()
        motions = []
        for i in range(len(driving)):
            at = i if len(volume) > 1 else 0
            motions.append(self._motion(volume[at].numpy(), source[i].numpy(), driving[i].numpy()))
        return Motion(*(torch.stack(parts) for parts in zip(*motions)))

    def _motion(self, compressed: np.ndarray, source: np.ndarray, driving: np.ndarray) -> tuple[Tensor, ...]:
        """Deformation, mask and occlusion of one frame."""
        *shape, channels = compressed.shape
        seen = np.empty((*shape, self.n_motions * (channels + 1)), np.float32)
        evidence(compressed, source, driving, VARIANCE, seen)
        x = torch.from_numpy(self.refine(Enlarged.of(self.hourglass(seen)), floor=0.0))
        logits = self.mask(x.permute(3, 0, 1, 2)[None])[0].permute(1, 2, 3, 0)
        mask = logits.softmax(dim=3)
        kept = torch.where(mask < MASK_THRESHOLD, 0.0, mask)
        shifts = F.pad(torch.from_numpy(source - driving), (0, 1, 1, 0))
        shifts[:, 3] = 1.0
        moved = kept @ shifts
        places = moved[..., :3] + moved[..., 3:] * coordinate_grid(tuple(shape), x)
        return places, mask.permute(3, 0, 1, 2), self._occlusion(x)

    def _occlusion(self, x: Tensor) -> Tensor:
        """(1, H, W): the 7x7 taps as one matrix product, then their sum."""
        height, width = x.shape[1:3]
        side = round(self.taps.shape[2] ** 0.5)
        seen = torch.bmm(x.flatten(1, 2), self.taps).sum(0).view(height, width, side, side)
        padded = F.pad(seen.permute(2, 3, 0, 1), (side // 2,) * 4)
        total = torch.full((1, height, width), self.occlusion_bias)
        for i in range(side):
            for j in range(side):
                total += padded[i, j, i : i + height, j : j + width]
        return total.sigmoid_()


class FastWarp:
    """Generator.warp of a generator whose batch norms were folded before."""

    def __init__(self, generator: Generator) -> None:
        block, config = generator.flatten, generator.config
        weight = block.conv.weight.detach().unflatten(1, (config.volume_channels, config.depth))
        conv = nn.Conv2d(weight.shape[1] * weight.shape[2], len(weight), 3, padding=1).requires_grad_(False)
        conv.weight.copy_(weight.transpose(1, 2).flatten(1, 2))
        conv.bias.copy_(block.conv.bias)
        self.conv, self.slope, self.mix = WinogradConv(conv), block.activation.negative_slope, generator.mix

    def __call__(self, features: SourceFeatures, motion: Motion) -> Tensor:
        volumes = features.volume.permute(0, 2, 3, 4, 1).contiguous()
        frames = []
        for i, places in enumerate(motion.deformation):
            volume = volumes[i if len(volumes) > 1 else 0].numpy()
            moved = np.empty((1, *volume.shape[1:3], volume.shape[0] * volume.shape[3]), np.float32)
            sampled(volume, places.contiguous().numpy(), moved[0])
            x = F.leaky_relu_(torch.from_numpy(self.conv(Enlarged.of(moved))), self.slope)
            mixed = F.linear(x, self.mix.weight.flatten(1), self.mix.bias)
            frames.append((mixed * motion.occlusion[i, 0, :, :, None]).permute(0, 3, 1, 2))
        return torch.cat(frames)


class _Hourglass:
    """A three-dimensional Hourglass, (D, H, W, C) to (D, H, W, C').

    Its smallest level is left to torch: at a few pixels the weights outweigh the picture.
    """

    def __init__(self, hourglass: Hourglass) -> None:
        *down, self.lowest = hourglass.down
        self.highest, *up = hourglass.up
        self.down = [WinogradConv(block.conv) for block in down]
        self.up = [WinogradConv(block.conv) for block in up]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        skips = [x]
        for conv in self.down:
            skips.append(conv(Enlarged.of(skips[-1]), floor=0.0, pool=2))
        x = _channels_last(self.highest, _channels_last(self.lowest, skips[-1]))
        for conv in self.up:
            joined = np.concatenate([x, skips.pop()], axis=3)
            x = conv(Enlarged.of(joined, 2), floor=0.0)
        return np.concatenate([x, skips.pop()], axis=3)


def _channels_last(block: ConvBlock, x: np.ndarray) -> np.ndarray:
    """A three-dimensional block over (D, H, W, C)."""
    return block(torch.from_numpy(x).permute(3, 0, 1, 2)[None])[0].permute(1, 2, 3, 0).contiguous().numpy()
