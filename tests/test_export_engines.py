"""The files judged by other programs: Khronos' validator, three.js in a browser, Pixar's validators, Blender, Godot."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from curve_samples import performance_curves

from backend.export.formats import read_curves, write_curves
from backend.export.options import ExportOptions

ROOT = Path(__file__).resolve().parents[1]
NODE_FOLDER = ROOT / "build" / "node"
PACKAGES = ("gltf-validator@2.0.0-dev.3.10", "three@0.170.0")
FRAMES = (0, 7, 20, 33, 59)
CHANNELS = ("jawOpen", "eyeBlinkLeft", "mouthSmileRight", "browInnerUp")


@pytest.fixture(scope="module")
def curves():
    return performance_curves()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, curves):
    """A folder with the head as glb, vrma and usdc, and the animation for Godot 3."""
    path = tmp_path_factory.mktemp("engines")
    for name, file in (("glb", "a.glb"), ("vrma", "a.vrma"), ("vrma-arkit", "b.vrma"), ("usd", "a.usdc"),
                       ("godot3", "a.tres"), ("fbx", "a.fbx")):  # fmt: skip
        write_curves(curves, path / file, name=name, options=ExportOptions())
    write_curves(curves, path / "onto.glb", name="glb", options=ExportOptions(onto=path / "a.glb"))
    return path


@pytest.fixture(scope="module")
def node_packages():
    """The folder of node packages, installed once; skips where npm or its registry is not there."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    if not (NODE_FOLDER / "node_modules" / "three").is_dir():
        NODE_FOLDER.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(NODE_FOLDER), *PACKAGES]
        done = subprocess.run(install, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"npm could not install {' '.join(PACKAGES)}")
    return NODE_FOLDER / "node_modules"


def wanted(curves):
    """Values of CHANNELS at FRAMES (5, 4)."""
    return np.array([[curves.column(name)[frame] for name in CHANNELS] for frame in FRAMES])


VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
Promise.all(process.argv.slice(1).map((file) =>
  validator.validateBytes(new Uint8Array(fs.readFileSync(file))).then((r) => [file, r.issues])))
  .then((all) => console.log(JSON.stringify(all)));
"""


def test_khronos_validator_finds_no_error(folder, node_packages):
    files = [str(folder / name) for name in ("a.glb", "onto.glb", "a.vrma", "b.vrma")]
    done = subprocess.run(
        ["node", "-e", VALIDATE, *files], capture_output=True, text=True, timeout=120, cwd=NODE_FOLDER, check=True
    )
    for file, issues in json.loads(done.stdout):
        assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, (file, issues["messages"][:5])


PLAY = """<!doctype html><body><script type="importmap">{"imports": {"three": "/three/build/three.module.js"}}</script>
<script type="module">
import * as THREE from 'three';
import { GLTFLoader } from '/three/examples/jsm/loaders/GLTFLoader.js';
const gltf = await new GLTFLoader().loadAsync('/a.glb');
const mixer = new THREE.AnimationMixer(gltf.scene);
mixer.clipAction(gltf.animations[0]).play();
const face = gltf.scene.getObjectByName('Face'), head = gltf.scene.getObjectByName('Head');
const out = TIMES.map((time) => {
  mixer.setTime(time);
  return [NAMES.map((name) => face.morphTargetInfluences[face.morphTargetDictionary[name]]), head.quaternion.toArray()];
});
document.body.dataset.values = JSON.stringify(out);
</script>"""


@pytest.fixture
def served(folder, node_packages):
    """Address of a local server of the folder's files and of three.js."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            if path.startswith("/three/"):
                return str(node_packages / path.lstrip("/"))
            return super().translate_path(path)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_three_plays_the_morphs_in_a_browser(folder, served, curves):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium")
    times = [frame / curves.frame_rate for frame in FRAMES]
    page = PLAY.replace("TIMES", json.dumps(times)).replace("NAMES", json.dumps(CHANNELS))
    (folder / "play.html").write_text(page)
    done = subprocess.run(
        [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom",
         f"{served}/play.html"], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'data-values="([^"]+)"', done.stdout)
    assert found, done.stdout[-500:]
    played = json.loads(found.group(1))
    assert np.abs(np.array([weights for weights, _ in played]) - wanted(curves)).max() < 1e-4
    heads = np.array([head for _, head in played])[:, [3, 0, 1, 2]]
    assert np.abs(np.abs((heads * curves.head_rotation[list(FRAMES)]).sum(1)) - 1).max() < 1e-5


READ_FBX = """
import * as THREE from 'three';
import fs from 'fs';
globalThis.window = globalThis.self = globalThis;
const { FBXLoader } = await import('three/examples/jsm/loaders/FBXLoader.js');
const data = fs.readFileSync(process.argv.at(-1));
const scene = new FBXLoader().parse(data.buffer.slice(data.byteOffset, data.byteOffset + data.length), '');
const face = scene.getObjectByName('Face'), head = scene.getObjectByName('Head');
const mixer = new THREE.AnimationMixer(scene);
mixer.clipAction(scene.animations[0]).play();
console.log('RESULT' + JSON.stringify(TIMES.map((time) => {
  mixer.setTime(time);
  return [NAMES.map((name) => face.morphTargetInfluences[face.morphTargetDictionary[name]]), head.quaternion.toArray()];
})));
"""


def test_three_reads_the_fbx(folder, node_packages, curves):
    times = [frame / curves.frame_rate for frame in FRAMES]
    script = node_packages.parent / "read_fbx.mjs"
    script.write_text(READ_FBX.replace("TIMES", json.dumps(times)).replace("NAMES", json.dumps(CHANNELS)))
    done = subprocess.run(["node", script, folder / "a.fbx"], capture_output=True, text=True, timeout=120)
    found = re.search(r"RESULT(.*)", done.stdout)
    assert found, done.stderr[-800:]
    played = json.loads(found.group(1))
    assert np.abs(np.array([weights for weights, _ in played]) - wanted(curves)).max() < 1e-4
    heads = np.array([head for _, head in played])[:, [3, 0, 1, 2]]
    assert np.abs(np.abs((heads * curves.head_rotation[list(FRAMES)]).sum(1)) - 1).max() < 1e-5


def test_usd_validators_find_no_error(folder):
    from pxr import Usd

    try:
        from pxr import UsdValidation
    except ImportError:
        pytest.skip("this usd-core has no validators")
    context = UsdValidation.ValidationContext(UsdValidation.ValidationRegistry().GetOrLoadAllValidators())
    errors = context.Validate(Usd.Stage.Open(str(folder / "a.usdc")))
    assert not errors, [error.GetMessage() for error in errors]


def test_usd_deforms_the_mesh_by_its_weights(folder, curves):
    from pxr import Usd, UsdSkel

    stage = Usd.Stage.Open(str(folder / "a.usdc"))
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (0, curves.n_frames - 1)
    assert stage.GetTimeCodesPerSecond() == curves.frame_rate
    cache = UsdSkel.Cache()
    root = UsdSkel.Root(stage.GetPrimAtPath("/Head"))
    cache.Populate(root, Usd.PrimDefaultPredicate)
    mesh = stage.GetPrimAtPath("/Head/Face")
    query = UsdSkel.BlendShapeQuery(UsdSkel.BindingAPI(mesh))
    assert query.GetNumBlendShapes() == 52
    jaw = list(UsdSkel.BindingAPI(mesh).GetBlendShapesAttr().Get()).index("jawOpen")
    offsets = np.array(query.GetBlendShape(jaw).GetOffsetsAttr().Get())
    # An open jaw moves the chin down by centimetres, in a stage of metres.
    assert -0.08 < offsets[:, 1].min() < -0.01


BLENDER = """
import bpy, json, sys
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.context.scene.render.fps = 30
file = sys.argv[-1]
if file.endswith('.glb'):
    bpy.ops.import_scene.gltf(filepath=file)
elif file.endswith('.fbx'):
    bpy.ops.import_scene.fbx(filepath=file, anim_offset=0)
else:
    bpy.ops.wm.usd_import(filepath=file)
mesh = next(o for o in bpy.data.objects if o.type == 'MESH' and o.data.shape_keys)
keys, values = mesh.data.shape_keys.key_blocks, []
for frame in FRAMES:
    bpy.context.scene.frame_set(frame)
    values.append([keys[name].value for name in NAMES])
ends = [max(mesh.data.vertices, key=lambda v: side * v.co.x).index for side in (1, -1)]
shown = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
left, right = (shown.matrix_world @ shown.data.vertices[i].co for i in ends)
across = (left - right).normalized()
corners = [mesh.matrix_world @ v.co for v in mesh.data.vertices]
size = max(c.z for c in corners) - min(c.z for c in corners)
print('RESULT' + json.dumps({'values': values, 'keys': len(keys), 'size': size, 'across': list(across)}))
"""


@pytest.mark.blender
@pytest.mark.parametrize("file", ["a.glb", "a.usdc", "a.fbx"])
def test_blender_imports_the_same_values(folder, curves, file, bpy_python):
    script = BLENDER.replace("FRAMES", repr(FRAMES)).replace("NAMES", repr(CHANNELS))
    done = subprocess.run([bpy_python, "-c", script, folder / file], capture_output=True, text=True, timeout=120)
    found = re.search(r"RESULT(.*)", done.stdout)
    assert found, done.stderr[-800:]
    result = json.loads(found.group(1))
    assert result["keys"] == 53
    assert np.abs(np.array(result["values"]) - wanted(curves)).max() < 1e-4
    # A head stands upright and is a head's size in metres.
    assert 0.15 < result["size"] < 0.5
    # Turned to its left by 0.245 rad in the last frame: the left ear goes back, to Blender's +Y.
    assert result["across"][1] == pytest.approx(np.sin(0.245), abs=0.03)


RESAVE = """
import bpy, sys
source, target = sys.argv[-2:]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps, scene.frame_start, scene.frame_end = 30, 0, 59
bpy.ops.import_scene.gltf(filepath=source)
bpy.ops.export_scene.fbx(filepath=target, bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False,
                         bake_anim_simplify_factor=0)
"""


@pytest.mark.blender
def test_what_blender_writes_is_read(folder, curves, bpy_python):
    subprocess.run(
        [bpy_python, "-c", RESAVE, folder / "a.glb", folder / "b.fbx"], capture_output=True, timeout=120, check=True
    )
    back, _ = read_curves(folder / "b.fbx")
    assert back.n_frames == curves.n_frames and back.frame_rate == 30.0
    order = [back.names.index(name) for name in curves.names]
    assert np.abs(back.weights[:, order] - curves.weights).max() < 1e-4
    assert np.abs(np.abs((back.head_rotation * curves.head_rotation).sum(1)) - 1).max() < 1e-5


GODOT = """extends SceneTree
func _init():
    var animation = load("res://a.tres")
    var out = {}
    for track in range(animation.get_track_count()):
        var keys = []
        for key in range(animation.track_get_key_count(track)):
            var value = animation.track_get_key_value(track, key)
            if typeof(value) == TYPE_VECTOR3:
                value = [value.x, value.y, value.z]
            keys.append([animation.track_get_key_time(track, key), value])
        out[str(animation.track_get_path(track))] = keys
    print("RESULT" + to_json({"length": animation.length, "step": animation.step, "tracks": out}))
    quit()
"""


def test_godot_loads_the_animation(folder, curves, tmp_path):
    godot = shutil.which("godot3-server") or shutil.which("godot3")
    if godot is None:
        pytest.skip("needs godot3-server")
    (tmp_path / "project.godot").write_text('config_version=4\n[application]\nconfig/name="test"\n')
    shutil.copy(folder / "a.tres", tmp_path)
    (tmp_path / "read.gd").write_text(GODOT)
    done = subprocess.run(
        [godot, "--path", str(tmp_path), "-s", "read.gd"], capture_output=True, text=True, timeout=60,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    found = re.search(r"RESULT(.*)", done.stdout)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    result = json.loads(found.group(1))
    assert result["length"] == pytest.approx(59 / 30, abs=1e-4) and result["step"] == pytest.approx(1 / 30, abs=1e-5)
    assert len(result["tracks"]) == 52 + 3
    for name in CHANNELS:
        times, values = np.array(result["tracks"][f"Head/Face:blend_shapes/{name}"]).T
        at = np.interp(np.array(FRAMES) / 30, times, values)
        assert np.abs(at - curves.column(name)[list(FRAMES)]).max() < 1e-3, name
    assert len(result["tracks"]["Head:rotation_degrees"][0][1]) == 3
