"""Stands in for the `emorig` program: the real service, with the quick job function of these tests."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOLDERS = [str(HERE.parents[1]), str(HERE)]
sys.path[:0] = FOLDERS
os.environ["PYTHONPATH"] = os.pathsep.join(FOLDERS)

from backend.service.server import serve  # noqa: E402

if __name__ == "__main__":
    assert sys.argv[1:] == ["serve"], sys.argv
    serve(job_function="job:make")
