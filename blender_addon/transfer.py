"""One job as its client sees it: the files still to send, the last message that came, the video so far. No bpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .protocol.errors import ProtocolError
from .protocol.messages import (
    NOT_KEPT,
    PART_BYTES,
    TERMINAL,
    UPLOADS,
    Accepted,
    Cancel,
    Resume,
    Submit,
    UploadPart,
    VideoPart,
)


@dataclass(frozen=True)
class Video:
    """The finished MP4 file of a job, whole."""

    job: str
    data: bytes


class RemoteJob:
    """The state of one job; request and files are None for a job that was handed in by another client."""

    def __init__(
        self,
        name: str,
        request: Submit | None = None,
        files: Mapping[str, bytes] | None = None,
        *,
        last_sequence: int = NOT_KEPT,
    ) -> None:
        self.name = name
        self.has_ended = False
        self._request, self._files = request, dict(files or {})
        self._last_sequence = last_sequence
        self._upload_queue: list[tuple[str, int]] | None = None
        self._request_is_sent = False
        self._is_cancelled = False
        self._video = bytearray()

    def begin_upload(self) -> None:
        """Starts sending from the first byte; the backend drops what it had of this job."""
        self._request_is_sent = False
        self._upload_queue = [
            (upload, offset)
            for upload in reversed(UPLOADS)
            for offset in reversed(range(0, len(self._files.get(upload, b"")), PART_BYTES))
        ]

    def next_upload(self) -> Submit | UploadPart | None:
        """The next message to send for this job, or None; upload_sent() says that it went out."""
        if self._upload_queue is None:
            return None
        if not self._request_is_sent:
            return self._request
        if not self._upload_queue:
            return None
        upload, offset = self._upload_queue[-1]
        return UploadPart(self.name, upload, offset, bytes(self._files[upload][offset : offset + PART_BYTES]))

    def upload_sent(self) -> None:
        """The message of next_upload() is out."""
        if self._request_is_sent:
            self._upload_queue.pop()
        self._request_is_sent = True

    def cancel(self) -> None:
        """Sends no more of the files; Cancel is asked for again after an interruption."""
        self._upload_queue, self._is_cancelled = None, True

    def recover(self) -> list[object]:
        """What to send after a new welcome; starts the upload again where the backend has not confirmed it."""
        if self.has_ended:
            return []
        if self._is_cancelled:
            return [Cancel(self.name)]
        if self._request is not None:
            self.begin_upload()
            return []
        return [Resume(self.name, self._last_sequence)]

    def take(self, message: object) -> list[object]:
        """What a message of this job means to the caller; a repeated one means nothing, the last video part a Video."""
        if self.has_ended:
            return []
        sequence = getattr(message, "sequence", NOT_KEPT)
        if sequence != NOT_KEPT:
            if sequence <= self._last_sequence:
                return []
            self._last_sequence = sequence
        if isinstance(message, Accepted):
            self._request, self._files, self._upload_queue = None, {}, None
        if isinstance(message, TERMINAL):
            self.has_ended = True
            self._video, self._files, self._upload_queue = bytearray(), {}, None
        if isinstance(message, VideoPart):
            return self._take_video(message)
        return [message]

    def _take_video(self, part: VideoPart) -> list[object]:
        if part.offset == 0:
            self._video = bytearray()  # a backend that was restarted makes the video again
        if part.offset != len(self._video):
            raise ProtocolError(f"The video's bytes should go on at {len(self._video)}, got {part.offset}.")
        self._video += part.data
        if len(self._video) < part.total:
            return []
        video, self._video = Video(self.name, bytes(self._video)), bytearray()
        return [video]
