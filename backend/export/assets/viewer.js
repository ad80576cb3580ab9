// Plays a performance on the head: morphs on the processor, WebGL for the picture, the sound as the clock.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);

function decode(text, Type) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Type(bytes.buffer);
}

const mesh = {
  rest: decode(data.mesh.vertices, Float32Array),
  triangles: decode(data.mesh.triangles, Uint32Array),
  colors: decode(data.mesh.colors, Float32Array),
  targets: data.mesh.targets.map((t) => ({
    points: decode(t.points, Uint32Array), moved: decode(t.moved, Int16Array), scale: t.scale,
  })),
};
const names = data.names;
const layers = data.layers.map((l) => ({ name: l.name, values: decode(l.values, Int16Array), on: true }));
const turns = decode(data.head, Float32Array);
const unit = data.unit;
const lastFrame = data.frames - 1;
const duration = lastFrame / data.rate;
let headOn = true;

// ---- the performance at a moment -------------------------------------------------------------------------------

function weightsAt(time) {
  const position = Math.min(Math.max(time * data.rate, 0), lastFrame);
  const before = Math.floor(position), after = Math.min(before + 1, lastFrame), share = position - before;
  const n = names.length, weights = new Float32Array(n);
  for (const layer of layers) {
    if (!layer.on) continue;
    for (let i = 0; i < n; i++) {
      weights[i] += unit * (layer.values[before * n + i] * (1 - share) + layer.values[after * n + i] * share);
    }
  }
  for (let i = 0; i < n; i++) weights[i] = Math.min(Math.max(weights[i], 0), 1);
  const close = names.indexOf("mouthClose"), jaw = names.indexOf("jawOpen");
  if (close >= 0 && jaw >= 0) weights[close] = Math.min(weights[close], weights[jaw]);
  return weights;
}

function headAt(time) {
  if (!headOn) return [0, 0, 0, 1];
  const position = Math.min(Math.max(time * data.rate, 0), lastFrame);
  const before = Math.floor(position), after = Math.min(before + 1, lastFrame), share = position - before;
  const q = [0, 1, 2, 3].map((k) => turns[4 * before + k] * (1 - share) + turns[4 * after + k] * share);
  const length = Math.hypot(...q) || 1;
  return q.map((v) => v / length);
}

const positions = new Float32Array(mesh.rest.length);
const normals = new Float32Array(mesh.rest.length);

function pose(weights) {
  positions.set(mesh.rest);
  mesh.targets.forEach((target, index) => {
    const amount = weights[data.mesh.driven[index]] * target.scale;
    if (Math.abs(amount) < 1e-12) return;
    const { points, moved } = target;
    for (let j = 0; j < points.length; j++) {
      const to = 3 * points[j];
      positions[to] += amount * moved[3 * j];
      positions[to + 1] += amount * moved[3 * j + 1];
      positions[to + 2] += amount * moved[3 * j + 2];
    }
  });
  normals.fill(0);
  const t = mesh.triangles, p = positions;
  for (let k = 0; k < t.length; k += 3) {
    const a = 3 * t[k], b = 3 * t[k + 1], c = 3 * t[k + 2];
    const ux = p[b] - p[a], uy = p[b + 1] - p[a + 1], uz = p[b + 2] - p[a + 2];
    const vx = p[c] - p[a], vy = p[c + 1] - p[a + 1], vz = p[c + 2] - p[a + 2];
    const nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
    for (const at of [a, b, c]) { normals[at] += nx; normals[at + 1] += ny; normals[at + 2] += nz; }
  }
  for (let k = 0; k < normals.length; k += 3) {
    const length = Math.hypot(normals[k], normals[k + 1], normals[k + 2]) || 1;
    normals[k] /= length; normals[k + 1] /= length; normals[k + 2] /= length;
  }
}

// ---- the picture: drawn by three.js ----------------------------------------------------------------------------

const canvas = element("view");
let draw = () => {};

const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
mesh.rest.forEach((v, i) => { low[i % 3] = Math.min(low[i % 3], v); high[i % 3] = Math.max(high[i % 3], v); });
const centre = low.map((v, k) => 0.5 * (v + high[k]));
const size = Math.max(high[1] - low[1], high[0] - low[0]);
const look = { yaw: 0.12, pitch: 0.02, distance: size * 3.1 };
const FIELD_OF_VIEW = 24;  // degrees, of a portrait lens

// What the parts are made of, by the groups of triangles in data.mesh.groups.
function materials() {
  const made = (options) => new THREE.MeshPhysicalMaterial({ vertexColors: true, side: THREE.DoubleSide, ...options });
  return {
    skin: made({ roughness: 0.58, sheen: 0.35, sheenRoughness: 0.5, sheenColor: new THREE.Color(1.0, 0.45, 0.32) }),
    eye: made({ roughness: 0.3, clearcoat: 1, clearcoatRoughness: 0.04 }),
    teeth: made({ roughness: 0.32, color: new THREE.Color(0.72, 0.68, 0.62) }),
    mouth: made({ roughness: 0.6, color: new THREE.Color(0.62, 0.5, 0.5) }),
  };
}

function headGeometry() {
  const geometry = new THREE.BufferGeometry();
  for (const [name, values] of [["position", positions], ["normal", normals], ["color", mesh.colors]]) {
    geometry.setAttribute(name, new THREE.BufferAttribute(values, 3));
  }
  for (const name of ["position", "normal"]) geometry.attributes[name].setUsage(THREE.DynamicDrawUsage);
  geometry.setIndex(new THREE.BufferAttribute(mesh.triangles, 1));
  data.mesh.groups.forEach(([, start, count], index) => geometry.addGroup(start, count, index));
  geometry.boundingSphere = new THREE.Sphere(new THREE.Vector3(...centre), size);
  return geometry;
}

function lights(scene) {
  scene.add(new THREE.HemisphereLight(0xdbe6f5, 0x33261f, 0.4));
  for (const [color, strength, x, y, z] of [
    [0xfff0dd, 1.15, 0.75, 0.8, 1.2], [0xcfdcf2, 0.3, -1.2, 0.15, 0.9], [0xaec4ea, 0.35, -0.8, 0.6, -1.1],
  ]) {
    const light = new THREE.DirectionalLight(color, strength);
    light.position.set(centre[0] + x * 2 * size, centre[1] + y * 2 * size, centre[2] + z * 2 * size);
    light.target.position.set(...centre);
    scene.add(light, light.target);
    if (z < 0) continue;
    light.castShadow = true;
    light.shadow.mapSize.set(2048, 2048);
    light.shadow.radius = 5;
    light.shadow.normalBias = size * 0.008;
    Object.assign(light.shadow.camera, { left: -size, right: size, top: size, bottom: -size, near: 0.01, far: 8 * size });
  }
}

function startPicture() {
  const renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
  renderer.outputEncoding = THREE.sRGBEncoding;
  renderer.toneMapping = THREE.ACESFilmicToneMapping;
  renderer.toneMappingExposure = 1.0;
  renderer.shadowMap.enabled = true;
  renderer.shadowMap.type = THREE.PCFSoftShadowMap;
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0x1c2128);
  lights(scene);
  const geometry = headGeometry(), made = materials();
  const face = new THREE.Mesh(geometry, data.mesh.groups.map(([kind]) => made[kind]));
  face.castShadow = face.receiveShadow = true;
  face.position.set(...data.mesh.pivot.map((v) => -v));
  const head = new THREE.Group();
  head.position.set(...data.mesh.pivot);
  head.add(face);
  scene.add(head);
  const camera = new THREE.PerspectiveCamera(FIELD_OF_VIEW, 1, size * 0.1, size * 20);
  draw = (turn) => {
    const width = canvas.clientWidth, height = Math.max(canvas.clientHeight, 1);
    renderer.setPixelRatio(window.devicePixelRatio || 1);
    renderer.setSize(width, height, false);
    geometry.attributes.position.needsUpdate = geometry.attributes.normal.needsUpdate = true;
    head.quaternion.set(...turn);
    camera.aspect = width / height;
    // A window that is higher than wide shows the whole head all the same.
    camera.fov = 2 * Math.atan(Math.tan(FIELD_OF_VIEW * Math.PI / 360) / Math.min(camera.aspect, 1)) * 180 / Math.PI;
    const level = Math.cos(look.pitch) * look.distance;
    camera.position.set(centre[0] + Math.sin(look.yaw) * level, centre[1] + Math.sin(look.pitch) * look.distance,
      centre[2] + Math.cos(look.yaw) * level);
    camera.lookAt(...centre);
    camera.updateProjectionMatrix();
    renderer.render(scene, camera);
    document.body.dataset.triangles = renderer.info.render.triangles;
  };
}

// ---- the controls ----------------------------------------------------------------------------------------------

const sound = element("sound"), scrub = element("scrub"), play = element("play");
let playing = false, now = 0, started = 0;
sound.addEventListener("loadedmetadata", () => { document.body.dataset.sound = sound.duration.toFixed(3); });
if (data.sound) sound.src = data.sound;
scrub.max = duration;

const bars = names.map((name) => {
  const row = document.createElement("div");
  row.className = "channel";
  row.dataset.name = name;
  row.append(Object.assign(document.createElement("span"), { textContent: name }), document.createElement("b"));
  row.lastChild.append(document.createElement("i"));
  element("channels").append(row);
  return row;
});

function addSwitch(name, changed) {
  const label = document.createElement("label"), box = document.createElement("input");
  Object.assign(box, { type: "checkbox", checked: true, name });
  box.addEventListener("change", () => { changed(box.checked); show(); });
  label.append(box, name);
  element("layers").append(label);
}
layers.forEach((layer) => addSwitch(layer.name, (on) => { layer.on = on; }));
addSwitch("head", (on) => { headOn = on; });

function setPlaying(on) {
  playing = on;
  play.textContent = on ? "Pause" : "Play";
  if (on && now >= duration - 1e-3) now = 0;
  started = performance.now() / 1000 - now;
  if (!data.sound) return;
  if (on) { sound.currentTime = now; sound.play().catch(() => {}); } else sound.pause();
}

function seek(time) {
  now = Math.min(Math.max(time, 0), duration);
  started = performance.now() / 1000 - now;
  if (data.sound) sound.currentTime = now;
  show();
}

function show() {
  const weights = weightsAt(now), turn = headAt(now);
  pose(weights);
  draw(turn);
  bars.forEach((bar, i) => {
    bar.dataset.value = weights[i].toFixed(4);
    bar.lastChild.firstChild.style.width = `${(100 * weights[i]).toFixed(1)}%`;
  });
  document.body.dataset.time = now.toFixed(4);
  document.body.dataset.head = turn.map((v) => v.toFixed(5)).join(" ");
  document.body.dataset.chin = (chin() * 1000).toFixed(3);
  scrub.value = now;
  element("clock").textContent = `${now.toFixed(2)} / ${duration.toFixed(2)} s`;
  const phone = data.phones.find(([start, end]) => start <= now && now < end);
  element("phone").textContent = phone && phone[2] !== "sil" ? phone[2] : "";
}

// Height (m) of the point of the chin: the vertex that an open jaw moves furthest down.
let chinPoint = -1;
function chin() {
  if (chinPoint < 0) {
    const jaw = data.mesh.driven.indexOf(names.indexOf("jawOpen"));
    if (jaw < 0) return 0;
    const { points, moved } = mesh.targets[jaw];
    let lowest = 0;
    points.forEach((point, j) => { if (moved[3 * j + 1] < lowest) { lowest = moved[3 * j + 1]; chinPoint = point; } });
    if (chinPoint < 0) return 0;
  }
  return positions[3 * chinPoint + 1];
}

function tick() {
  if (playing) {
    now = data.sound && !sound.ended && !sound.paused ? sound.currentTime : performance.now() / 1000 - started;
    if (now >= duration) { now = duration; setPlaying(false); }
    show();
  }
  requestAnimationFrame(tick);
}

play.addEventListener("click", () => setPlaying(!playing));
scrub.addEventListener("input", () => seek(Number(scrub.value)));
addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" && event.target.type === "checkbox") return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === " ") { event.preventDefault(); setPlaying(!playing); }
  if (step) { event.preventDefault(); seek(now + step / data.rate); }
});
canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  look.yaw -= event.movementX * 0.008;
  look.pitch = Math.min(Math.max(look.pitch + event.movementY * 0.008, -1.4), 1.4);
  show();
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  look.distance = Math.min(Math.max(look.distance * Math.exp(event.deltaY * 0.001), size), size * 12);
  show();
}, { passive: false });
addEventListener("resize", show);

try {
  startPicture();
} catch (error) {
  element("problem").textContent = "This browser shows no WebGL: the curves play without the head.";
}
const asked = new URLSearchParams(location.hash.slice(1));
for (const off of (asked.get("off") || "").split(",")) {
  const box = [...document.querySelectorAll("#layers input")].find((input) => input.name === off);
  if (box) box.click();
}
seek(Number(asked.get("t") || 0));
document.body.dataset.ready = "yes";
if (asked.has("play")) setPlaying(true);
tick();
