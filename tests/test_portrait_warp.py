"""The warp on torch gives what the one on numba and OpenCV gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from backend.errors import InputError
from backend.portrait.analysis import analyse_portrait
from backend.portrait.mesh import WarpMesh
from backend.portrait.motion import FaceMotion
from backend.portrait.plate import make_plate
from backend.portrait.renderer import WarpRenderer
from backend.portrait.warp import CpuWarp, make_warp
from backend.portrait.warp_torch import TorchWarp, draw_values
from bfm import rasterize
from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    return torch.device(request.param)


@pytest.fixture(scope="module")
def moved_mesh(astronaut):
    """A source (256, 256, 4), its mesh and where a speaking, turning face takes it."""
    portrait = analyse_portrait(np.ascontiguousarray(astronaut[:256, 90:346]))
    plate = make_plate(portrait, 256)
    motion = FaceMotion(portrait, plate)
    mesh = WarpMesh(plate, motion)
    expression = portrait.fit.expression.copy()
    expression[CHANNEL_INDEX["jawOpen"]] = 0.7 * FULL_ACTIVATION_SD
    moved = motion.at(expression, portrait.fit.rotation + np.float32([0.05, 0.12, 0.04]), portrait.fit.translation)
    source = np.concatenate([plate.image, 255.0 * plate.mask[..., None]], axis=2).astype(np.float32)
    return source, mesh, mesh.move(moved, moved.landmarks)


def test_random_triangles_are_drawn_alike(device):
    rng = np.random.default_rng(4)
    points = np.column_stack([rng.uniform(-8, 60, 60), rng.uniform(-8, 48, 60), rng.uniform(1, 9, 60)])
    points, triangles = points.astype(np.float32), rng.integers(0, 60, (40, 3)).astype(np.int32)
    values = rng.normal(size=(60, 3)).astype(np.float32)
    out, depth = np.zeros((40, 52, 3), np.float32), np.full((40, 52), np.inf, np.float32)
    rasterize.draw_values(points, triangles, values, out, depth)
    ours = torch.zeros(40, 52, 3, device=device), torch.full((40, 52), torch.inf, device=device)
    draw_values(*(torch.as_tensor(v, device=device) for v in (points, triangles, values)), *ours)
    assert (np.abs(ours[0].cpu().numpy() - out).max(axis=2) < 5e-3).mean() > 0.998
    near = np.isfinite(depth) & np.isfinite(ours[1].cpu().numpy())
    assert near.sum() > 500
    assert (np.abs(ours[1].cpu().numpy()[near] - depth[near]) < 1e-3).mean() > 0.998


def test_what_is_drawn_already_and_nearer_stays(device):
    points = torch.tensor([[0.0, 0, 5], [9, 0, 5], [0, 9, 5]], device=device)
    out, depth = torch.zeros(10, 10, 1, device=device), torch.full((10, 10), torch.inf, device=device)
    depth[:, :3] = 2.0
    draw_values(points, torch.tensor([[0, 1, 2]], device=device), torch.ones(3, 1, device=device), out, depth)
    assert (out[:, :3] == 0.0).all() and (out[0, 3:] == 1.0).all()
    assert depth[0, 0] == 2.0 and depth[0, 5] == 5.0


def test_meshes_that_show_nothing_are_drawn(device):
    out, depth = torch.zeros(8, 8, 1, device=device), torch.full((8, 8), torch.inf, device=device)
    away = torch.full((3, 3), 90.0, device=device)
    draw_values(away, torch.tensor([[0, 1, 2]], device=device), torch.ones(3, 1, device=device), out, depth)
    assert (out == 0.0).all() and torch.isinf(depth).all()


def test_flow_and_picture_agree(device, moved_mesh):
    source, mesh, vertices = moved_mesh
    cpu, ours = (
        CpuWarp(mesh.rest, mesh.triangles, source.shape),
        TorchWarp(mesh.rest, mesh.triangles, source.shape, device),
    )
    flow = ours.flow(vertices).cpu().numpy()
    assert (np.abs(flow - cpu.flow(vertices)).max(axis=2) < 0.02).mean() > 0.995
    difference = np.abs(ours(vertices, source) - cpu(vertices, source)).max(axis=2)
    assert difference.mean() < 0.6  # OpenCV samples at 32nds of a pixel
    assert (difference < 6.0).mean() > 0.99


def test_a_mesh_at_rest_moves_nothing(device, moved_mesh):
    source, mesh, _ = moved_mesh
    rest = np.column_stack([mesh.rest, np.ones(len(mesh.rest))]).astype(np.float32)
    ours = TorchWarp(mesh.rest, mesh.triangles, source.shape, device)
    assert np.abs(ours(rest, source) - source).max() < 0.1


def test_absent_and_unknown_devices_are_one_sentence(astronaut):
    with pytest.raises(InputError, match="should be cpu or cuda"):
        make_warp("tpu", np.zeros((3, 2)), np.zeros((1, 3)), (4, 4, 4))
    if not torch.cuda.is_available():
        portrait = analyse_portrait(np.ascontiguousarray(astronaut[:256, 90:346]))
        with pytest.raises(InputError, match="no CUDA device"):
            WarpRenderer(portrait, size=256, device="cuda")
