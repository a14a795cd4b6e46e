"""Golden receipts, from the formats' texts and not from our code: writes
fixtures/receipts/receipts.json to the standard output.

Canonical JSON is Python's own, compact and with sorted keys, which for ASCII keys and integers is
that of RFC 8785."""

import hashlib
import json
import uuid

import ed25519

SEED = b"\x02" * 32
NOT_AFTER = 1_800_000_000


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def jcs(document):
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest(data):
    return "sha256:" + sha256(data)


PUBLIC = ed25519.public_key(SEED)
KEY_ID = "receipt-" + sha256(PUBLIC)[:16]
KEYSET = {
    "e2ee_public_keys": [],
    "not_after": NOT_AFTER,
    "receipt_signing_keys": [
        {"algo": "ed25519", "key_id": KEY_ID, "public_key": PUBLIC.hex()}
    ],
    "subject": "dstack-app://example-app",
    "tls_public_keys": [{"spki_sha256": "c0" * 32}],
}
KEYSET_DIGEST = digest(jcs(KEYSET))


def signed(document):
    return {**document, "signature": ed25519.sign(SEED, jcs(document)).hex()}


def statement(kind, members):
    return signed(
        {**members, "type": kind, "key_id": KEY_ID, "workload_keyset_digest": KEYSET_DIGEST}
    )


PLAIN = {
    "cache": None,
    "input_price": "100000",
    "output_price": "200000",
    "tiers": [],
    "type": "broker-core.tariff.v1",
    "unit": "neuron",
}
TIERED = {
    "cache": {"divisor": "10", "write": "5/4", "write_1h": None},
    "input_price": "100000",
    "output_price": str(2**100),
    "tiers": [
        {"input": "1/1", "max_input_tokens": "32000", "output": "1/1"},
        {"input": "3/2", "max_input_tokens": "0", "output": "18446744073709551615/7"},
    ],
    "type": "broker-core.tariff.v1",
    "unit": "neuron",
}


def chain(receipt_id, events):
    """The rolling hash after each of the events."""
    head = hashlib.sha256(b"broker-core.stream.v1\0" + uuid.UUID(receipt_id).bytes).digest()
    heads = []
    for event in events:
        head = hashlib.sha256(head + len(event).to_bytes(8, "big") + event).digest()
        heads.append(head.hex())
    return heads


EVENTS = [
    b'data: {"id":"chatcmpl-1","choices":[{"delta":{"content":"H\xc3\xa9"}}]}\n\n',
    b": ping\n\n",
    b'event: x\ndata: {"choices":[]}\n\n',
    b"data: [DONE]\n\n",
]
REQUEST = b'{"model":"tiny","messages":[{"role":"user","content":"hi"}],"stream":true}'
FORWARDED = b'{"model":"tiny","messages":[],"stream":true,"stream_options":{}}'
LOG = "sha256:" + "5e" * 32
ACCOUNT = "0x" + "ab" * 20


def receipt(number, *, tariff, usage, fee, hold, closed, **other):
    prompt, cached, write, write_1h, output, source = usage
    asked = b"" if other.get("unread") else REQUEST
    events = [{"type": "request.received", "body_hash": digest(asked)}]
    if other.get("unread"):
        events[0]["unread"] = True
    if other.get("forwarded"):
        events.append({"type": "request.forwarded", "body_hash": digest(other["forwarded"])})
    events += [
        {
            "type": "usage.metered",
            "input_tokens": prompt,
            "cached_input_tokens": cached,
            "cache_write_tokens": write,
            "cache_write_1h_tokens": write_1h,
            "output_tokens": output,
            "source": source,
        },
        {
            "type": "fee.charged",
            "account": ACCOUNT,
            "unit": "neuron",
            "input_price": tariff["input_price"],
            "output_price": tariff["output_price"],
            "tariff": digest(jcs(tariff)),
            "hold": str(hold),
            "fee": str(fee),
        },
        {"type": "stream.closed", **closed},
        {"type": "response.returned", "body_hash": digest(other["response"])},
    ]
    if other.get("account_seq"):
        events.append(
            {"type": "ledger.entry", "log": LOG, "account_seq": other["account_seq"]}
        )
    document = {
        "api_version": "aci/1",
        "receipt_id": f"00000000-0000-4000-8000-{number:012x}",
        "chat_id": other.get("chat_id"),
        "model": other.get("model"),
        "workload_keyset_digest": KEYSET_DIGEST,
        "endpoint": "/v1/chat/completions",
        "method": other.get("method", "POST"),
        "served_at": 1_750_000_000 + number,
        "event_log": events,
        "key_id": KEY_ID,
    }
    return signed(document)


def closed(outcome, status, body, events, **other):
    return {
        "outcome": outcome,
        "complete": outcome == "complete",
        "status": status,
        "finish_reason": other.get("finish_reason"),
        "events": events,
        "bytes": len(body),
        "chain_head": other.get("chain_head"),
        "drained": other.get("drained", False),
    }


def receipts():
    stream = b"".join(EVENTS)
    first = "00000000-0000-4000-8000-000000000001"
    head = "sha256:" + chain(first, EVENTS)[-1]
    yield receipt(
        1,
        tariff=PLAIN,
        usage=(42, 0, 0, 0, 128, "engine"),
        fee=42 * 100_000 + 128 * 200_000,
        hold=10**12,
        closed=closed("complete", 200, stream, 4, finish_reason="stop", chain_head=head),
        forwarded=FORWARDED,
        response=stream,
        account_seq=17,
        chat_id="chatcmpl-1",
        model="tiny",
    )
    # Tokens: cached 1,000 at a tenth, written 200 at 5/4, the rest of 2,000 in full; first tier.
    fee = 1000 * 10_000 + 200 * 125_000 + 800 * 100_000 + 3 * 2**100
    yield receipt(
        2,
        tariff=TIERED,
        usage=(2000, 1000, 200, 0, 3, "engine"),
        fee=fee,
        hold=2**101 * 3,
        closed=closed("client_gone", 200, stream[:90], 1, drained=True),
        forwarded=REQUEST,
        response=stream[:90],
        account_seq=2**53 - 1,
        model='quo"te\\ \u00e9\u20ac\U0001f600\n\u0001\u007f',
    )
    refusal = b'{"error":{"message":"no","type":"unauthorized","param":null,"code":null}}'
    yield receipt(
        3,
        tariff=PLAIN,
        usage=(0, 0, 0, 0, 0, "none"),
        fee=0,
        hold=0,
        closed=closed("refused", 401, refusal, 0),
        response=refusal,
        unread=True,
        method="GET",
    )


def main():
    first = "00000000-0000-4000-8000-000000000001"
    heads = chain(first, EVENTS)
    checkpoint = statement(
        "tee-sidecar.checkpoint.v1",
        {
            "receipt_id": first,
            "request_hash": digest(REQUEST),
            "chain_head": "sha256:" + heads[1],
            "events": 2,
            "bytes": len(EVENTS[0]) + len(EVENTS[1]),
            "input_tokens": 42,
            "output_tokens": 1,
            "fee": "4400000",
            "unit": "neuron",
        },
    )
    made = [jcs(document) for document in receipts()]
    vectors = {
        "seed": SEED.hex(),
        "keyset": KEYSET,
        "keyset_digest": KEYSET_DIGEST,
        "tariffs": [
            {"terms": jcs(terms).decode(), "digest": digest(jcs(terms))}
            for terms in (PLAIN, TIERED)
        ],
        "request": REQUEST.decode(),
        "forwarded": FORWARDED.decode(),
        "events": [event.decode() for event in EVENTS],
        "chain_heads": heads,
        "checkpoint": jcs(checkpoint).decode(),
        "receipts": [
            {"canonical": text.decode(), "leaf_hash": sha256(b"\0" + text)} for text in made
        ],
    }
    print(json.dumps(vectors, indent=1, ensure_ascii=False, sort_keys=True))


main()
