"""Runs the refiner: torch on CPU or CUDA, or OpenVINO where it is installed."""

from __future__ import annotations

import json
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from backend.errors import InputError
from backend.inference.threads import one_thread
from backend.models.refiner import Refiner, RefinerConfig
from backend.portrait.refine import Predict
from backend.weights import NETWORKS


@lru_cache(maxsize=2)
def shipped_refiner(device: str = "cpu") -> tuple[Predict, int]:
    """The refiner that comes with the program, loaded once. Raises InputError for absent devices."""
    return load_refiner(NETWORKS["refiner"].path, device=device)


def load_refiner(weights: Path, *, device: str = "cpu") -> tuple[Predict, int]:
    """The network of a weights file as a function of numpy arrays, and the side of its square in pixels.

    device: "cpu", "cuda" or "openvino". Raises InputError for weights that cannot be read and absent devices.
    """
    network, config = read_network(weights)
    if device == "openvino":
        return _on_openvino(network, config), config.side
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError("There is no CUDA device: use --device cpu.")
    return _on_torch(network, config, torch.device(device)), config.side


def read_network(weights: Path) -> tuple[Refiner, RefinerConfig]:
    """The network of a weights file, in single precision. Raises InputError."""
    try:
        with safe_open(str(weights), framework="pt") as file:
            values = json.loads(file.metadata()["config"])
        config = RefinerConfig(**{**values, "widths": tuple(values["widths"])})
        network = Refiner(config)
        network.load_state_dict({name: value.float() for name, value in load_file(str(weights)).items()})
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"'{weights}' holds no refiner ({error}): train one with 'emorig train refiner'.") from error
    return network.eval(), config


def _on_torch(network: Refiner, config: RefinerConfig, device: torch.device) -> Predict:
    """The network as one recorded graph: while it runs, another thread may draw (nothing in it needs Python)."""
    network = network.to(device).to(memory_format=torch.channels_last)
    example = tuple(values.to(device) for values in _example(config))
    with torch.no_grad():
        graph = torch.jit.freeze(torch.jit.trace(network, example, check_trace=False))

    @one_thread()
    @torch.inference_mode()
    def predict(crop: np.ndarray, guides: np.ndarray) -> np.ndarray:
        inputs = (torch.from_numpy(values)[None].to(device) for values in (crop, guides))
        return graph(*inputs)[0].float().cpu().numpy()

    return predict


def _on_openvino(network: Refiner, config: RefinerConfig) -> Predict:
    """The precision is asked for, so that results do not change with the machine; nothing is reported to anyone."""
    sys.modules.setdefault("openvino_telemetry", None)
    try:
        import openvino
    except ImportError as error:
        raise InputError("OpenVINO is not installed: 'pip install emorig[openvino]', or use --device cpu.") from error
    example = _example(config)
    model = openvino.convert_model(network, example_input=example, input=[list(e.shape) for e in example])
    compiled = openvino.Core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    )

    def predict(crop: np.ndarray, guides: np.ndarray) -> np.ndarray:
        return compiled([crop[None], guides[None]])[0][0]

    return predict


def _example(config: RefinerConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """A crop and its guides, empty, of the network's sizes."""
    side = config.side
    return torch.zeros(1, 3, side, side), torch.zeros(1, config.n_guides, side, side)
