"""What crosses the wire, byte for byte, against what is signed and what the engine itself sends."""

import json

import wire
from sidecar import equal, masked, must, recovered, sha256

USAGE = {"include_usage": True}
RUNNING = {"include_usage": True, "continuous_usage_stats": True}
ATTEMPTS = 5
# The second and third ask for nothing that vLLM would give.
STREAM_OPTIONS = [None, {"include_usage": False}, {"continuous_usage_stats": True}, USAGE, RUNNING]


def check_buffered_bytes(sidecar, _expected):
    """A whole answer: signed as sent, and the engine's own bytes."""
    body = sidecar.body()
    answer = sidecar.ask(body)
    equal(answer.status, 200, "the status")
    proof = sidecar.check_signed(body, answer)
    usage = answer.json()["usage"]
    sidecar.check_charged(proof, usage["prompt_tokens"], usage["completion_tokens"])
    equal(masked(answer.body), masked(sidecar.ask_engine(body).body), "the engine's bytes")


def check_every_name(sidecar, _expected):
    """The signature is found under each name of the exchange, and only spelled right."""
    body = sidecar.body(max_tokens=2)
    answer = sidecar.ask(body)
    receipt_id = sidecar.receipt_id(answer.headers)
    proof = sidecar.check_signed(body, answer)
    for name in (f"chatcmpl-{receipt_id}", answer.json()["id"]):
        equal(sidecar.proof(name), proof, f"/signature/{name}")
    equal(sidecar.get(f"/v1/signature/{receipt_id}").json(), proof, "/v1/signature")
    missing = sidecar.get(f"/signature/{receipt_id[:-4]}0000x")
    equal(missing.status, 404, "the status of a signature that does not exist")
    charge_as_engine(sidecar, proof, body)


def check_tampering_shows(sidecar, _expected):
    """One changed digit of the text, and the signature names another signer."""
    body = sidecar.body(max_tokens=1)
    proof = sidecar.check_signed(body, sidecar.ask(body))
    text = proof["text"]
    changed = ("1" if text[0] == "0" else "0") + text[1:]
    signer = recovered(changed, proof["signature"])
    must(signer.lower() != sidecar.address().lower(), "a changed text verifies")
    charge_as_engine(sidecar, proof, body)


def check_streams(sidecar, expected):
    """Each mode of usage: signed as sent, the engine's own bytes, the engine's count charged."""
    for options in STREAM_OPTIONS:
        fields = {"stream": True} | ({"stream_options": options} if options else {})
        check_stream(sidecar, fields, f"stream_options {json.dumps(options)}", expected)
        check_stream(sidecar, {"max_tokens": 3} | fields, f"{json.dumps(options)}, cut at 3", None)


def check_stream(sidecar, fields, what, expected):
    """One mode. Under load vLLM may put two tokens into one event: then both are asked again."""
    body = sidecar.body(**fields)
    for _ in range(ATTEMPTS):
        mine = signed_events(sidecar, body, what)
        engine = wire.events(masked(sidecar.ask_engine(body).body))
        equal(mine[-1], b"[DONE]", f"{what}: the last event")
        asked = (fields.get("stream_options") or {}).get("include_usage", False)
        shown = [event for event in mine if b'"usage"' in event]
        must(asked or not shown, f"{what}: usage that was not asked for: {shown[:1]}")
        if expected:
            equal(text_of(mine), expected["reply"], f"{what}: the text")
        if len(mine) == len(engine):
            break
    equal(len(mine), len(engine), f"{what}: number of events")
    for number, (got, theirs) in enumerate(zip(mine, engine)):
        equal(got, theirs, f"{what}: event {number} differs from the engine's own")
    return mine


def signed_events(sidecar, body, what):
    """The masked events of a stream that is signed as sent and charged as the engine counts."""
    answer = sidecar.ask(body)
    equal(answer.status, 200, f"{what}: the status")
    charge_as_engine(sidecar, sidecar.check_signed(body, answer), body)
    return wire.events(masked(answer.body))


def check_two_choices(sidecar, _expected):
    """With n=2 the choices may take turns differently, but their events are the engine's own."""
    for options in (None, USAGE):
        what = f"n=2, stream_options {json.dumps(options)}"
        fields = {"stream_options": options} if options else {}
        body = sidecar.body(stream=True, n=2, max_tokens=3, **fields)
        for _ in range(ATTEMPTS):
            mine = sorted(signed_events(sidecar, body, what))
            engine = sorted(wire.events(masked(sidecar.ask_engine(body).body)))
            if len(mine) == len(engine):
                break
        equal(mine, engine, f"{what}: the events")


def check_signature_precedes_the_end(sidecar, _expected):
    """The signature is there the moment the last event is."""
    body = sidecar.body(stream=True)
    exchange = sidecar.begin(body)
    received = b""
    proof = None
    for piece in exchange.pieces():
        received += piece
        if proof is None and b"data: [DONE]" in received:
            proof = sidecar.proof(sidecar.receipt_id(exchange.headers))
    exchange.leave()
    must(proof, "the stream ended without [DONE]")
    answer = wire.Answer(exchange.status, exchange.headers, received, True)
    equal(sidecar.check_signed(body, answer), proof, "the signature at [DONE] and later")
    charge_as_engine(sidecar, proof, body)


def check_refusals(sidecar, _expected):
    """Bad requests: the engine's words where the engine refuses, the same shape everywhere."""
    engines_own = sidecar.body(temperature=5)
    refused = check_refusal(sidecar, engines_own, 400)
    equal(refused.body, sidecar.ask_engine(engines_own).body, "the engine's refusal")
    check_refusal(sidecar, sidecar.body(max_tokens=0), 400)
    check_refusal(sidecar, sidecar.body(messages=[]), 400)
    refused_by_us(sidecar, b'{"model": ', 400)
    refused_by_us(sidecar, sidecar.body(model="no-such-model"), 404)


def ask_badly(sidecar, body, status):
    answer = sidecar.ask(body)
    equal(answer.status, status, f"the status for {body!r} ({answer.body[:300]!r})")
    error = answer.json()["error"]
    equal(sorted(error), ["code", "message", "param", "type"], "the fields of the error")
    must(sidecar.receipt_id(answer.headers), "the id of the refusal")
    return answer


def refused_by_us(sidecar, body, status):
    """What the sidecar refuses itself has a receipt too, of a request that was not forwarded."""
    answer = check_refusal(sidecar, body, status)
    proof = sidecar.proof(sidecar.receipt_id(answer.headers), f"the refused {body!r}")
    equal(proof["outcome"], "refused", f"the outcome: {proof}")
    events = [event["type"] for event in proof["receipt"]["event_log"]]
    must("request.forwarded" not in events, f"the events: {events}")


def check_refusal(sidecar, body, status):
    answer = ask_badly(sidecar, body, status)
    proof = sidecar.proof(sidecar.receipt_id(answer.headers), f"the refused {body!r}")
    equal(proof["text"].split(":")[1], sha256(answer.body), "the signed hash of the refusal")
    must(proof["outcome"] in ("complete", "refused", "upstream_error"), f"the outcome: {proof}")
    sidecar.check_signer(proof)
    sidecar.check_free(proof)
    return answer


def charge_as_engine(sidecar, proof, body):
    """Checks the charge against what the engine counts for the same request."""
    fields = json.loads(body)
    fields.pop("stream", None)
    fields.pop("stream_options", None)
    usage = sidecar.ask_engine(json.dumps(fields).encode()).json()["usage"]
    sidecar.check_charged(proof, usage["prompt_tokens"], usage["completion_tokens"])


def text_of(events):
    choices = [json.loads(event)["choices"] for event in events if event != b"[DONE]"]
    return "".join(c["delta"].get("content") or "" for cs in choices for c in cs)


CHECKS = [
    check_buffered_bytes,
    check_every_name,
    check_tampering_shows,
    check_streams,
    check_two_choices,
    check_signature_precedes_the_end,
    check_refusals,
]
