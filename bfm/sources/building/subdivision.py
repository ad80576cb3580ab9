"""Catmull–Clark subdivision as sparse matrices (Catmull & Clark 1978), with boundary rules for open edges."""

from __future__ import annotations

from collections import defaultdict

from scipy.sparse import coo_matrix, csr_matrix

Faces = list[tuple[int, ...]]


def _edges(faces: Faces) -> dict[tuple[int, int], list[int]]:
    """Undirected edges and the faces at each."""
    edges: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, face in enumerate(faces):
        for a, b in zip(face, face[1:] + face[:1]):
            edges[min(a, b), max(a, b)].append(index)
    return edges


def subdivide(faces: Faces, n_points: int) -> tuple[Faces, csr_matrix]:
    """One Catmull–Clark step: quads and the matrix (n_new, n_points) from old points to new.

    New points are the old ones (same indices), then one per edge, then one per face.
    """
    edges = _edges(faces)
    edge_index = {edge: n_points + i for i, edge in enumerate(edges)}
    first_face = n_points + len(edges)
    rows: list[dict[int, float]] = [defaultdict(float) for _ in range(first_face + len(faces))]
    for index, face in enumerate(faces):
        for corner in face:
            rows[first_face + index][corner] += 1.0 / len(face)
    for (a, b), beside in edges.items():
        row = rows[edge_index[a, b]]
        if len(beside) == 2:
            row[a] += 0.25
            row[b] += 0.25
            for face in beside:
                for corner in faces[face]:
                    row[corner] += 0.25 / len(faces[face])
        else:
            row[a] += 0.5
            row[b] += 0.5
    _old_points(rows, faces, edges, n_points)
    quads: Faces = []
    for index, face in enumerate(faces):
        for i, corner in enumerate(face):
            after, before = face[(i + 1) % len(face)], face[i - 1]
            ahead = edge_index[min(corner, after), max(corner, after)]
            behind = edge_index[min(corner, before), max(corner, before)]
            quads.append((corner, ahead, first_face + index, behind))
    r, c, v = zip(*((i, j, w) for i, row in enumerate(rows) for j, w in row.items()))
    return quads, coo_matrix((v, (r, c)), shape=(len(rows), n_points)).tocsr()


def _old_points(rows: list[dict[int, float]], faces: Faces, edges, n_points: int) -> None:
    """Fill in how old points move: towards faces and edges inside, along the border at the border."""
    faces_at, edges_at, border = defaultdict(list), defaultdict(list), defaultdict(list)
    for index, face in enumerate(faces):
        for corner in face:
            faces_at[corner].append(index)
    for (a, b), beside in edges.items():
        edges_at[a].append(b)
        edges_at[b].append(a)
        if len(beside) == 1:
            border[a].append(b)
            border[b].append(a)
    for point in range(n_points):
        row, valence = rows[point], len(edges_at[point])
        if valence == 0 or (border[point] and len(border[point]) != 2):
            row[point] += 1.0
        elif border[point]:
            row[point] += 0.75
            for other in border[point]:
                row[other] += 0.125
        else:
            row[point] += (valence - 3.0) / valence
            for face in faces_at[point]:
                for corner in faces[face]:
                    row[corner] += 1.0 / valence / valence / len(faces[face])
            for other in edges_at[point]:
                row[point] += 1.0 / valence / valence
                row[other] += 1.0 / valence / valence
