"""Published weights: every layout is recognised, code is never run, downloads resume and are checked, nothing is half
installed.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_reference import CASES, REFERENCE, case
from safetensors.torch import save_file

from backend.checkpoints import fetching, recognising, store
from backend.checkpoints.importing import import_file, import_folder
from backend.checkpoints.licences import survey, verdicts
from backend.checkpoints.reading import read_checkpoint
from backend.checkpoints.recognising import recognise
from backend.checkpoints.registry import FILES, find_file
from backend.commands.weights import weights as commands
from backend.errors import InputError
from backend.models.published import NETWORKS
from backend.models.state_names import StateNameError, renamed

AUDIO2EXP = "auido2exp_00300-model.pth"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    kept = tmp_path / "weights"
    monkeypatch.setenv(store.FOLDER_VARIABLE, str(kept))
    monkeypatch.setenv("EMORIG_MODELS", str(tmp_path / "models"))
    return kept


@pytest.fixture(scope="module")
def audio2exp() -> dict[str, torch.Tensor]:
    """A made-up state dict of SadTalker's ExpNet under its published names."""
    shapes = recognising.network_shapes("sadtalker.audio2exp")
    theirs = {}
    for key, shape in shapes.items():
        name = re.sub(r"encoder\.(\d+)\.conv\.", r"audio_encoder.\1.conv_block.0.", key)
        name = re.sub(r"encoder\.(\d+)\.norm\.", r"audio_encoder.\1.conv_block.1.", name)
        theirs[re.sub(r"^head\.", "mapping1.", name)] = torch.full(shape, 0.25)
    return theirs


@pytest.fixture
def published(tmp_path, audio2exp) -> Path:
    """The file as its project publishes it: weights, an optimizer and an epoch."""
    path = tmp_path / AUDIO2EXP
    torch.save({"model": audio2exp, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4}]}, "epoch": 300}, path)
    return path


def test_import_keeps_safetensors_with_the_config_inside(published, folder):
    imported = import_file(published)
    assert imported.file.name == "audio2exp-old"
    item = store.source_of("sadtalker.audio2exp")
    assert item.path == folder / "audio2exp-old.safetensors"
    assert item.source_sha256 == hashlib.sha256(published.read_bytes()).hexdigest()
    from safetensors import safe_open

    with safe_open(item.path, framework="pt") as file:
        said = file.metadata()
    assert "sadtalker.audio2exp" in json.loads(said["networks"])
    assert said["licence"] == "Apache-2.0"
    net = store.load_network("sadtalker.audio2exp")
    assert torch.equal(net.head.weight, torch.full((64, 577), 0.25))
    assert store.verify(item) is None
    with item.path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\1\2\3\4")
    assert "changed" in store.verify(item)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
@pytest.mark.shared
def test_every_published_layout_is_recognised(file, tmp_path):
    if not REFERENCE.is_dir():
        pytest.skip("needs the manifests of the published networks beside the project")
    held = {}
    for part in file.parts:
        if part.ours:
            entries = {key: list(shape) for key, shape in recognising.network_shapes(part.network).items()}
        else:
            entries = {key: e["shape"] for key, e in case(CASES[part.network]).manifest["state_dict"].items()}
        # One number behind every array: the files stay small.
        state = {f"{part.prefix}{key}": torch.zeros(()).expand(shape) for key, shape in entries.items()}
        held |= state if part.key is None else {part.key: state}
    if not file.file.endswith(".safetensors"):
        torch.save(held | ({} if file.parts[0].key is None else {"epoch": 3}), tmp_path / file.file)
        held = read_checkpoint(tmp_path / file.file)
    found, states = recognise(held, tmp_path / file.file)
    assert found is file
    for network, state in states.items():
        assert {key: tuple(value.shape) for key, value in state.items()} == recognising.network_shapes(network)


@pytest.mark.shared
def test_the_layouts_are_the_published_ones():
    if not REFERENCE.is_dir():
        pytest.skip("needs the layouts of the published files beside the project")
    layout = json.loads((REFERENCE / "checkpoint_layout.json").read_text(encoding="utf-8"))["files"]
    for said in layout:
        file = find_file(Path(said["name"]).name)
        assert file.address == said["url"]
        assert [(p.prefix or None, p.key, CASES[p.network]) for p in file.parts] == [
            (part.get("prefix"), part.get("top_level"), part["case"]) for part in said["parts"]
        ]


def test_a_table_names_every_key_or_says_so():
    with pytest.raises(StateNameError, match="surprise"):
        renamed({"surprise.weight": 1}, NETWORKS["syncnet"].names)


class Harmful:
    """An object whose pickle runs a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, folder):
    trace, path = tmp_path / "trace", tmp_path / AUDIO2EXP
    torch.save({"model": Harmful(trace)}, path)
    with pytest.raises(InputError, match=r"refused: it wants to run '(posix|os|nt)\.system'"):
        import_file(path)
    assert not trace.exists()
    assert not folder.exists()


def test_foreign_truncated_and_misshapen_files_are_named(tmp_path, published, audio2exp, folder):
    foreign = tmp_path / "other.safetensors"
    save_file({"transformer.h.0.weight": torch.zeros(3)}, foreign)
    with pytest.raises(InputError, match=r"not a checkpoint that is known here.*transformer\.h\.0"):
        import_file(foreign)
    for name, content in ((AUDIO2EXP, published.read_bytes()[:-5000]), ("x.safetensors", foreign.read_bytes()[:-3])):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="truncated"):
            import_file(tmp_path / name)
    wide = audio2exp | {"mapping1.weight": torch.zeros(64, 600)}
    torch.save({"model": wide}, published)
    with pytest.raises(InputError, match=r"head\.weight.*\(64, 577\), got \(64, 600\)"):
        import_file(published)
    torch.save({"model": {k: v for k, v in audio2exp.items() if k != "mapping1.bias"}}, published)
    with pytest.raises(InputError, match=r"lacks 1 arrays of sadtalker\.audio2exp, the first 'head\.bias'"):
        import_file(published)
    with pytest.raises(InputError, match="There is no file"):
        import_file(tmp_path / "nowhere.pth")
    assert not folder.exists()


def test_a_folder_gives_what_is_known_and_names_the_rest(tmp_path, published):
    save_file({"foreign": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    imported, passed = import_folder(tmp_path)
    assert [item.file.name for item in imported] == ["audio2exp-old"]
    assert len(passed) == 1
    assert "foreign.safetensors" in passed[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="No published weights"):
        import_folder(tmp_path / "empty")


def test_missing_weights_say_what_to_bring():
    with pytest.raises(store.MissingWeightsError, match=r"SadTalker_V0\.0\.2_256\.safetensors.*emorig weights fetch"):
        store.load_network("facevid2vid.generator")
    with pytest.raises(store.MissingWeightsError, match=r"download it from https://drive.*emorig weights import"):
        store.load_network("eamm.generator")


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one file with ranges; breaks off after the server's limit of bytes."""

    def _head(self) -> bytes:
        content = self.server.content
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(wanted.group(1)) if wanted else 0
        self.server.starts.append(first)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("ETag", hashlib.sha256(content).hexdigest()[:12])
        self.end_headers()
        return content[first:]

    def do_HEAD(self):
        self._head()

    def do_GET(self):
        body = self._head()
        self.wfile.write(body[: self.server.limit])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(published):
    host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.content, host.limit, host.starts = published.read_bytes(), None, []
    threading.Thread(target=host.serve_forever, daemon=True).start()
    host.address = f"http://127.0.0.1:{host.server_port}/{AUDIO2EXP}"
    yield host
    host.shutdown()
    host.server_close()


def test_a_broken_download_goes_on_where_it_stopped(server, folder):
    file = find_file("audio2exp-old")
    offered = fetching.offer(file, server.address)
    assert offered.size == len(server.content)
    server.limit = 2_000_000
    with pytest.raises(InputError, match=r"broke off at 2\.0 of .* MB: run the command again"):
        fetching.fetch(file, offered)
    assert not list(folder.glob("*.safetensors"))
    server.limit = None
    seen = []
    imported = fetching.fetch(file, offered, progress=lambda done, total: seen.append((done, total)))
    assert server.starts[-1] == 2_000_000
    assert seen[-1] == (offered.size, offered.size)
    assert imported.path.is_file()
    assert not list((folder / "downloads").iterdir())
    assert store.read_ledger()["audio2exp-old"]["source_sha256"] == hashlib.sha256(server.content).hexdigest()


def test_a_file_that_changed_since_is_refused_and_deleted(server, folder):
    file = find_file("audio2exp-old")
    fetching.fetch(file, fetching.offer(file, server.address))
    before = (folder / "audio2exp-old.safetensors").read_bytes()
    server.content = server.content[:-1] + b"!"
    with pytest.raises(InputError, match="tampered"):
        fetching.fetch(file, fetching.offer(file, server.address))
    assert (folder / "audio2exp-old.safetensors").read_bytes() == before
    assert not list((folder / "downloads").iterdir())
    with pytest.raises(InputError, match="expected 00"):
        fetching.fetch(replace(file, sha256="00"), fetching.offer(file, server.address))


@pytest.mark.parametrize("content", [b"<html>Log in first</html>", b"PK" + bytes(4000)])
def test_a_page_in_place_of_a_file_leaves_nothing(server, folder, content):
    server.content = content
    file = find_file("audio2exp-old")
    with pytest.raises(InputError, match=r"damaged, truncated or no checkpoint: fetch it again"):
        fetching.fetch(file, fetching.offer(file, server.address))
    assert not list(folder.rglob("*.safetensors"))
    assert not list((folder / "downloads").iterdir())
    assert "audio2exp-old" not in store.read_ledger()


def test_an_empty_file_is_not_downloaded(server, folder):
    server.content = b""
    with pytest.raises(InputError, match="offers an empty file"):
        fetching.offer(find_file("audio2exp-old"), server.address)
    assert not folder.exists()


def test_a_connection_that_breaks_within_a_block_keeps_what_came(server, folder, monkeypatch):
    import http.client

    class Breaking:
        def __init__(self, answer) -> None:
            self.answer, self.status, self.calls = answer, answer.status, 0

        def read(self, n):
            self.calls += 1
            if self.calls == 3:
                raise http.client.IncompleteRead(b"")
            return self.answer.read(n)

    asked = fetching._asked
    monkeypatch.setattr(
        fetching, "_asked", lambda request, file: contextlib.nullcontext(Breaking(asked(request, file)))
    )
    file = find_file("audio2exp-old")
    offered = fetching.Offer(server.address, len(server.content), "1")
    with pytest.raises(InputError, match="broke off at 2"):
        fetching.fetch(file, offered)
    assert (folder / "downloads" / f"{AUDIO2EXP}.part").stat().st_size == 2 * fetching.BLOCK


def test_addresses_that_cannot_be_fetched_are_explained(server):
    with pytest.raises(InputError, match="in a browser"):
        fetching.offer(find_file("eamm-audio"))
    with pytest.raises(InputError, match="https://"):
        fetching.offer(find_file("syncnet"), "file:///etc/passwd")
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match="Cannot reach"):
        fetching.offer(find_file("syncnet"), "http://127.0.0.1:9/nothing")
    with pytest.raises(InputError, match="No weights are known as 'x'"):
        find_file("x")


def test_the_command_shows_licence_and_size_first(server, folder):
    from typer.testing import CliRunner

    run = CliRunner().invoke(commands, ["fetch", "audio2exp-old", "--address", server.address], input="n\n")
    assert "Apache-2.0" in run.output
    assert "MB" in run.output
    assert isinstance(run.exception, InputError)
    assert not list(folder.glob("*.safetensors"))
    run = CliRunner().invoke(commands, ["fetch", "audio2exp-old", "--address", server.address, "--yes"])
    assert run.exit_code == 0, run.output
    assert CliRunner().invoke(commands, ["verify"]).output.strip().endswith("audio2exp-old: good")


def test_licences_of_this_set_up(published, tmp_path):
    rows = {row.what: row for row in survey()}
    assert any(name.startswith("torch ") for name in rows)
    assert "No results with imported models and weights: none are here." in verdicts(list(rows.values()))
    import_file(published)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "bfm2009.npz").write_bytes(b"")
    rows = survey()
    said = " ".join(verdicts(rows))
    assert "may not be sold where they use face model bfm2009" in said
    assert "ask the owners of weights audio2exp-old" in said
    assert "Results with the program as it comes may be sold." in said


def test_others_may_read_what_is_written(tmp_path):
    import torch

    from backend.weights import write_tensors

    path = tmp_path / "w.safetensors"
    write_tensors({"a": torch.zeros(2)}, path, {"seed": "0"})
    assert path.stat().st_mode & 0o444 == 0o444
