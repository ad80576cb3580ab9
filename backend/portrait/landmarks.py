"""Finding mediapipe's 478 face landmarks in a picture, and the mesh they form; bfm.landmarks names them.

Landmarks are (478, 3) float32: x right, y down in pixels of the picture, z in the same unit, smaller is nearer.
"Left" is the character's left, the picture's right. Indices follow mediapipe's published face mesh topology.
"""

from __future__ import annotations

import os
import threading
from functools import cache

import numpy as np

N_SURFACE = 468  # the rest are the irises

_ONE_AT_A_TIME = threading.Lock()  # mediapipe's graphs keep state between calls
_IRIS_MIRROR = (473, 476, 475, 474, 477, 468, 471, 470, 469, 472)


@cache
def triangles() -> np.ndarray:
    """The face mesh's 852 triangles (852, 3) int32 over the first 468 landmarks; eyes and mouth are holes."""
    from mediapipe.tasks.python.vision.face_landmarker import FaceLandmarksConnections

    edges = FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION
    corners = [[edge.start for edge in edges[i : i + 3]] for i in range(0, len(edges), 3)]
    return np.array(corners, np.int32)


@cache
def mirrored() -> np.ndarray:
    """For each landmark the one on the other side of the face (478,), found by walking the mesh from its midline."""
    across: dict[frozenset, list[int]] = {}
    for corners in triangles().tolist():
        for i in range(3):
            across.setdefault(frozenset((corners[i], corners[i - 2])), []).append(corners[i - 1])
    partner = {10: 10, 151: 151, 338: 109, 109: 338}  # the two triangles beside the midline's uppermost edge
    walk = [(10, 338), (151, 338)]
    seen = set()
    while walk:
        a, b = walk.pop()
        edge, other = frozenset((a, b)), frozenset((partner[a], partner[b]))
        if edge in seen:
            continue
        seen.add(edge)
        known_images = {partner[v] for v in across[edge] if v in partner}
        images = [v for v in across.get(other, ()) if v not in known_images]  # a few diagonals differ between the sides
        for vertex in across[edge]:
            if vertex not in partner and len(images) == 1:
                partner[vertex] = images[0]
            if vertex in partner:
                walk += [(a, vertex), (b, vertex)]
    order = _agreeing_partners(np.array([partner[i] for i in range(N_SURFACE)]), [tuple(edge) for edge in across])
    return np.array([*order, *_IRIS_MIRROR])


def _agreeing_partners(partner: np.ndarray, edges: list[tuple[int, int]]) -> np.ndarray:
    """Partners (468,) corrected where the mesh's two sides differ: each is joined to its neighbours' partners."""
    joined = np.zeros((N_SURFACE, N_SURFACE), np.float32)
    for a, b in edges:
        joined[a, b] = joined[b, a] = 1.0
    for _ in range(4):
        image = np.zeros_like(joined)  # row v: the partners of v's neighbours
        for vertex in range(N_SURFACE):
            image[vertex, partner[joined[vertex] > 0]] = 1.0
        agreement = image @ joined.T - 0.1 * np.abs(joined.sum(1)[:, None] - joined.sum(1)[None])
        partner = agreement.argmax(axis=1)
    return partner


@cache
def _face_mesh():
    return solutions().face_mesh.FaceMesh(
        static_image_mode=True, max_num_faces=1, refine_landmarks=True, min_detection_confidence=0.1
    )


@cache
def _face_detector(is_long_range: bool):
    return solutions().face_detection.FaceDetection(model_selection=int(is_long_range), min_detection_confidence=0.05)


def solutions():
    os.environ.setdefault("GLOG_minloglevel", "2")
    import mediapipe

    return mediapipe.solutions


def find_landmarks(image: np.ndarray) -> np.ndarray | None:
    """The landmarks (478, 3) of the clearest face in image (height, width, 3) uint8 RGB, None where there is none."""
    height, width = image.shape[:2]
    with _ONE_AT_A_TIME:
        faces = _face_mesh().process(np.ascontiguousarray(image)).multi_face_landmarks
    if not faces:
        return None
    points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], np.float32)
    return points * np.float32([width, height, width])


def detect_boxes(image: np.ndarray, *, is_long_range: bool) -> list[tuple[float, np.ndarray]]:
    """Faces in image as (score 0-1, box (4,) left top right bottom in pixels), best first."""
    height, width = image.shape[:2]
    with _ONE_AT_A_TIME:
        found = _face_detector(is_long_range).process(np.ascontiguousarray(image)).detections or []
    faces = []
    for detection in found:
        box = detection.location_data.relative_bounding_box
        corners = np.array([box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height], np.float32)
        faces.append((float(detection.score[0]), corners * np.float32([width, height, width, height])))
    return sorted(faces, key=lambda face: -face[0])
