"""A client that leaves in the middle of its answer."""

import json
import time

import wire
from sidecar import CheckFailed, equal, must, sha256

# The engine would need several times as long to come to the end by itself.
STOP_SECS = 8
LONG_TOKENS = 4000
EVENTS_READ = 8


def check_leaving(sidecar, _expected):
    """The engine stops at once, and what was handed over is signed and charged."""
    body = sidecar.body(stream=True, max_tokens=LONG_TOKENS, ignore_eos=True)
    exchange = sidecar.begin(body)
    received = b""
    for piece in exchange.pieces():
        received += piece
        if received.count(b"\n\n") >= EVENTS_READ:
            break
    must(busy(sidecar) > 0, "the engine is idle in the middle of an answer")
    left = time.monotonic()
    exchange.leave()
    while busy(sidecar) > 0:
        must(time.monotonic() - left < STOP_SECS, "the engine goes on after the client left")
        time.sleep(0.05)

    proof = eventual_proof(sidecar, sidecar.receipt_id(exchange.headers))
    equal(proof["outcome"], "client_gone", "the outcome")
    sidecar.check_signer(proof)
    equal(proof["text"].split(":")[0], sha256(body), "the signed hash of the request")
    prompt, completion = counted(sidecar, body), proof["usage"]["output_tokens"]
    # One event is the role, without a token; some more may have been on their way.
    read = received.count(b'"content":') - 1
    must(read <= completion < LONG_TOKENS, f"{read} tokens read, {completion} charged")
    sidecar.check_charged(proof, prompt, completion)


def eventual_proof(sidecar, receipt_id):
    """The signature follows the departure, so it may take a moment."""
    deadline = time.monotonic() + STOP_SECS
    while True:
        try:
            return sidecar.proof(receipt_id)
        except CheckFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def busy(sidecar):
    """Requests that the engine runs or holds in its queue."""
    names = (b"vllm:num_requests_running{", b"vllm:num_requests_waiting{")
    lines = wire.get(sidecar.engine, "/metrics").body.splitlines()
    counts = [float(line.split()[-1]) for line in lines if line.startswith(names)]
    equal(len(counts), len(names), "the engine's gauges of requests")
    return sum(counts)


def counted(sidecar, body):
    """The engine's own count of the prompt."""
    fields = json.loads(body) | {"stream": False, "max_tokens": 1}
    return sidecar.ask_engine(json.dumps(fields).encode()).json()["usage"]["prompt_tokens"]


CHECKS = [check_leaving]
