"""A Blender that is held up, as by a long render, while results stream in: the connection lives and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STALL = """
import threading, time, zmq
from blender_addon import client
client.HEARTBEAT_MS = 50
context = zmq.Context()
router = context.socket(zmq.ROUTER)
router.setsockopt(zmq.SNDHWM, 0)
port = router.bind_to_random_port("tcp://127.0.0.1")

def stream():
    peer = router.recv_multipart()[0]
    for number in range(400):
        router.send_multipart([peer, number.to_bytes(4, "big") + bytes(20000)])
        time.sleep(0.001)

dealer = client._dealer(context, None)
dealer.connect(f"tcp://127.0.0.1:{port}")
dealer.send(b"hello")
thread = threading.Thread(target=stream)
thread.start()
got = []
for _ in range(4):
    time.sleep(0.4)  # held up: far longer than three heartbeats
    for _ in range(25):
        try:
            got.append(int.from_bytes(dealer.recv(zmq.NOBLOCK)[:4], "big"))
        except zmq.Again:
            break
thread.join()
while dealer.poll(500):
    got.append(int.from_bytes(dealer.recv()[:4], "big"))
dealer.close(0), router.close(0), context.term()
print("whole" if got == list(range(400)) else f"lost some: {len(got)}")
"""


def test_a_held_up_client_neither_ends_nor_loses_anything():
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run([sys.executable, "-c", STALL], capture_output=True, text=True, timeout=60, cwd=root)
    assert run.returncode == 0 and "whole" in run.stdout, run.stdout + run.stderr
