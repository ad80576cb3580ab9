"""Losses of the neural renderers: zero on themselves, equal to plain loops, with right gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backend.models.eamm.keypoints import Keypoints
from backend.models.facevid2vid import head_pose
from backend.models.facevid2vid.mapping import MappingConfig, MappingNet
from backend.neural.losses import eamm_loss, keypoint_loss, mapping_loss, perceptual_loss


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def points(n_frames: int = 3) -> Keypoints:
    """Random key points in float64 that ask for gradients."""
    value, jacobian = torch.randn(n_frames, 10, 2).double(), torch.randn(n_frames, 10, 2, 2).double()
    return Keypoints(value.requires_grad_(), jacobian.requires_grad_())


def layers() -> nn.ModuleList:
    return nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, stride=2)]).double()


def features_of(net: nn.ModuleList):
    def features(image):
        first = torch.tanh(net[0](image))
        return first, torch.tanh(net[1](first))

    return features


def test_key_point_loss_is_the_sum_of_l1_norms_per_frame():
    ours, theirs = points(), points()
    expected = 0.0
    for t in range(3):
        expected += (ours.value[t] - theirs.value[t]).abs().sum() + (ours.jacobian[t] - theirs.jacobian[t]).abs().sum()
    assert torch.isclose(keypoint_loss(ours, theirs), expected / 3)
    assert keypoint_loss(ours, ours) == 0
    assert torch.autograd.gradcheck(lambda v, j: keypoint_loss(Keypoints(v, j), theirs), (ours.value, ours.jacobian))


def test_perceptual_loss_takes_any_features():
    features = features_of(layers())
    image, target = (torch.rand(2, 3, 32, 32).double().requires_grad_() for _ in range(2))
    assert perceptual_loss(image, image, features) == 0
    single = perceptual_loss(image, target, features, scales=(1.0,))
    expected = sum((a - b).abs().mean() for a, b in zip(features(image), features(target)))
    assert torch.isclose(single, expected)
    small, other = (x[:1, :, :6, :6].detach() for x in (image, target))
    small.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: perceptual_loss(x, other, features, scales=(1.0,)), (small,))
    perceptual_loss(image, target, features).backward()
    assert image.grad.abs().max() > 0
    assert target.grad is None


def test_eamm_loss_weighs_its_parts():
    features, ours, theirs = features_of(layers()), points(), points()
    image, target = (torch.rand(1, 3, 32, 32).double() for _ in range(2))
    kp, per = keypoint_loss(ours, theirs), perceptual_loss(image, target, features)
    assert torch.isclose(eamm_loss(ours, theirs, image, target, features, perceptual_weight=10.0), kp + 10 * per)
    small, other = (x[:, :, ::4, ::4].contiguous() for x in (image, target))

    def joint(value, jacobian, rendered):
        return eamm_loss(Keypoints(value, jacobian), theirs, rendered, other, lambda picture: (torch.tanh(picture),))

    assert torch.autograd.gradcheck(joint, (ours.value, ours.jacobian, small.requires_grad_()))


def test_mapping_loss_is_a_norm_and_trains_the_mapping():
    ours, theirs = (torch.randn(4, 15, 3).double() for _ in range(2))
    norms = torch.stack([torch.linalg.vector_norm(a - b) for a, b in zip(ours, theirs)])
    assert torch.isclose(mapping_loss(ours, theirs), norms.mean(), atol=1e-5)
    assert mapping_loss(ours, ours) == 0
    assert torch.autograd.gradcheck(lambda x: mapping_loss(x, theirs), (ours.requires_grad_(),))
    same = theirs.clone().requires_grad_()
    mapping_loss(same, theirs).backward()
    assert torch.isfinite(same.grad).all()
    net = MappingNet(MappingConfig(230, width=16))
    canonical, goal, window = torch.randn(4, 15, 3) / 3, torch.randn(4, 15, 3) / 3, torch.randn(4, 230, 27)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    seen = []
    for _ in range(30):
        loss = mapping_loss(head_pose.transform(canonical, net(window)), goal)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seen.append(float(loss))
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert seen[-1] < 0.7 * seen[0]
