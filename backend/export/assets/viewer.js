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
}

// ---- the picture -----------------------------------------------------------------------------------------------

const vertexShader = `#version 300 es
in vec3 position; in vec3 normal; in vec3 color;
uniform mat4 camera; uniform vec4 turn; uniform vec3 pivot;
out vec3 n; out vec3 albedo; out vec3 place;
vec3 turned(vec3 v) { return v + 2.0 * cross(turn.xyz, cross(turn.xyz, v) + turn.w * v); }
void main() {
  place = turned(position - pivot) + pivot; n = turned(normal); albedo = color;
  gl_Position = camera * vec4(place, 1.0);
}`;
const fragmentShader = `#version 300 es
precision highp float;
in vec3 n; in vec3 albedo; in vec3 place; uniform vec3 eye; out vec4 pixel;
void main() {
  vec3 N = normalize(n), V = normalize(eye - place);
  if (dot(N, V) < 0.0) N = -N;
  vec3 key = normalize(vec3(0.5, 0.6, 0.9)), rim = normalize(vec3(-0.9, 0.3, -0.2));
  float wrap = max((dot(N, key) + 0.35) / 1.35, 0.0);
  vec3 light = vec3(0.22, 0.24, 0.28) * (0.6 + 0.4 * N.y) + vec3(1.0, 0.95, 0.88) * wrap
             + vec3(0.25, 0.3, 0.4) * max(dot(N, rim), 0.0);
  float shine = pow(max(dot(N, normalize(key + V)), 0.0), 28.0) * 0.08;
  pixel = vec4(pow(albedo * light * 1.25 + shine, vec3(1.0 / 2.2)), 1.0);
}`;

const canvas = element("view");
const gl = canvas.getContext("webgl2", { antialias: true });
let draw = () => {};

function startPicture() {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertexShader], [gl.FRAGMENT_SHADER, fragmentShader]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  gl.useProgram(program);
  const buffers = {};
  for (const [name, values] of [["position", positions], ["normal", normals], ["color", mesh.colors]]) {
    const where = gl.getAttribLocation(program, name);
    buffers[name] = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, values, name === "color" ? gl.STATIC_DRAW : gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(where);
    gl.vertexAttribPointer(where, 3, gl.FLOAT, false, 0, 0);
  }
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.triangles, gl.STATIC_DRAW);
  gl.enable(gl.DEPTH_TEST);
  gl.clearColor(0.105, 0.125, 0.15, 1);
  const uniform = (name) => gl.getUniformLocation(program, name);
  const at = { camera: uniform("camera"), turn: uniform("turn"), pivot: uniform("pivot"), eye: uniform("eye") };
  draw = (turn) => {
    const scale = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    for (const [name, values] of [["position", positions], ["normal", normals]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[name]);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, values);
    }
    const { matrix, eye } = cameraMatrix(width / Math.max(height, 1));
    gl.uniformMatrix4fv(at.camera, false, matrix);
    gl.uniform4fv(at.turn, turn);
    gl.uniform3fv(at.pivot, data.mesh.pivot);
    gl.uniform3fv(at.eye, eye);
    gl.drawElements(gl.TRIANGLES, mesh.triangles.length, gl.UNSIGNED_INT, 0);
  };
}

const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
mesh.rest.forEach((v, i) => { low[i % 3] = Math.min(low[i % 3], v); high[i % 3] = Math.max(high[i % 3], v); });
const centre = low.map((v, k) => 0.5 * (v + high[k]));
const size = Math.max(high[1] - low[1], high[0] - low[0]);
const look = { yaw: 0, pitch: 0, distance: size * 3.3 };

function cameraMatrix(aspect) {
  const focal = 1 / Math.tan(0.5 * 0.42), near = look.distance * 0.05, far = look.distance * 6;
  const cy = Math.cos(look.yaw), sy = Math.sin(look.yaw), cp = Math.cos(look.pitch), sp = Math.sin(look.pitch);
  const back = [sy * cp, sp, cy * cp], right = [cy, 0, -sy];
  const up = [-sy * sp, cp, -cy * sp];
  const eye = centre.map((c, k) => c + look.distance * back[k]);
  const along = (axis) => -(axis[0] * eye[0] + axis[1] * eye[1] + axis[2] * eye[2]);
  const fx = focal / Math.max(aspect, 0.01) * Math.min(aspect, 1), fy = focal * Math.min(aspect, 1);
  const z = (far + near) / (near - far), w = 2 * far * near / (near - far);
  const matrix = new Float32Array(16);
  for (let k = 0; k < 3; k++) {
    matrix[4 * k] = fx * right[k]; matrix[4 * k + 1] = fy * up[k];
    matrix[4 * k + 2] = z * back[k]; matrix[4 * k + 3] = -back[k];
  }
  matrix[12] = fx * along(right); matrix[13] = fy * along(up);
  matrix[14] = z * along(back) + w; matrix[15] = -along(back);
  return { matrix, eye };
}

// ---- the controls ----------------------------------------------------------------------------------------------

const sound = element("sound"), scrub = element("scrub"), play = element("play");
let playing = false, now = 0, started = 0;
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

if (gl) startPicture(); else element("problem").textContent = "This browser shows no WebGL 2: the curves play without the head.";
const asked = new URLSearchParams(location.hash.slice(1));
for (const off of (asked.get("off") || "").split(",")) {
  const box = [...document.querySelectorAll("#layers input")].find((input) => input.name === off);
  if (box) box.click();
}
seek(Number(asked.get("t") || 0));
document.body.dataset.ready = "yes";
if (asked.has("play")) setPlaying(true);
tick();
