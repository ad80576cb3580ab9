"""The study's page on this machine: the standard library's server on loopback, one page, videos by number."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from backend.errors import InputError, OutputError
from backend.evaluation.study import Study

PAGE = Path(__file__).with_name("study_page.html")
TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime", ".mkv": "video/x-matroska"}
LARGEST_REQUEST = 4096  # bytes
CHUNK = 1 << 20


def make_server(study: Study, port: int = 0) -> ThreadingHTTPServer:
    """A server of the study on loopback; port 0 chooses a free one. Raises OutputError where the port is taken."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/":
                self._send(PAGE.read_bytes(), "text/html; charset=utf-8")
            elif parts.path == "/study":
                rater = parse_qs(parts.query).get("rater", [""])[0]
                document = {"order": study.order_for(rater), "questions": study.questions()}
                self._send(json.dumps(document).encode(), "application/json")
            elif parts.path.startswith("/video/"):
                self._send_video(parts.path.removeprefix("/video/"))
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            # Only this page's own scripts may rate: a form of another site cannot send JSON.
            size = self.headers.get("Content-Length", "")
            is_json = self.headers.get("Content-Type", "").startswith("application/json")
            if self.path != "/rate" or not is_json or not size.isdigit() or int(size) > LARGEST_REQUEST:
                self.send_error(400)
                return
            try:
                given = json.loads(self.rfile.read(int(size)))
                values = (given["rater"], given["number"], given["question"], given["answer"])
                if not all(isinstance(v, t) for v, t in zip(values, (str, int, str, str))):
                    raise InputError("A rating should have a rater, a number, a question and an answer.")
                study.rate(*values)
            except (ValueError, KeyError, TypeError) as error:
                self._send(str(error).encode(), "text/plain; charset=utf-8", status=400)
                return
            self._send(b"{}", "application/json")

        def _send(self, data: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(data)

        def _send_video(self, number: str) -> None:
            """A video by its number alone; parts of it where the browser asks for them."""
            if not number.isdigit() or not 1 <= int(number) <= len(study.trials):
                self.send_error(404)
                return
            path = study.trials[int(number) - 1].video
            data = path.read_bytes()
            first, last = _range(self.headers.get("Range", ""), len(data))
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Type", TYPES.get(path.suffix.lower(), "application/octet-stream"))
            self.send_header("Accept-Ranges", "bytes")
            if "Range" in self.headers:
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            for start in range(first, last + 1, CHUNK):
                self.wfile.write(data[start : min(start + CHUNK, last + 1)])

        def log_message(self, *_arguments: object) -> None:
            pass

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise OutputError(f"The port {port} cannot be used ({error.strerror}): choose another --port.") from error


def _range(asked: str, size: int) -> tuple[int, int]:
    """First and last byte of 'bytes=A-B'; all where nothing usable is asked."""
    first, _, last = asked.removeprefix("bytes=").partition("-")
    if not asked.startswith("bytes=") or not first.isdigit() or int(first) >= size:
        return 0, size - 1
    return int(first), min(int(last), size - 1) if last.isdigit() else size - 1
