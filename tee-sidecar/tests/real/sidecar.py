"""The sidecar under test: asks it, checks what it signed, and keeps an account of the money."""

import hashlib
import json
import re
import secrets
import time
from dataclasses import dataclass, field

import wire
from eth_account import Account
from eth_account.messages import encode_defunct

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# How long a public route may answer 429 before that counts as a failure.
PATIENCE_SECS = 90


class CheckFailed(Exception):
    """Something is not as promised; the message says what."""


def must(fact, what):
    """Fails with `what` unless `fact` holds."""
    if not fact:
        raise CheckFailed(what)


def equal(got, expected, what):
    """Fails and shows both values unless they are equal."""
    must(got == expected, f"{what}:\n  got      {got!r}\n  expected {expected!r}")


@dataclass
class Sidecar:
    """Where the sidecar and its engine are, and what the exchanges so far must have cost."""

    base: str
    engine: str
    key: str
    model: str
    input_price: int
    output_price: int
    earned: int = 0
    receipts: int = 0
    _address: str = field(default="", repr=False)

    def body(self, **fields):
        """A chat request as bytes. Blanks and other letters: re-serialised, it has another hash."""
        question = [{"role": "user", "content": "Say hello, café ☕!"}]
        whole = {"model": self.model, "messages": question, **fields}
        return json.dumps(whole, ensure_ascii=False, indent=1).encode()

    def begin(self, body, path="/v1/chat/completions"):
        """Sends a request; the caller reads the answer."""
        self.receipts += 1
        key = ("authorization", f"Bearer {self.key}")
        return wire.Exchange(self.base, "POST", path, body, [key])

    def ask(self, body, path="/v1/chat/completions"):
        """Sends a request and reads its answer to the end."""
        answer = self.begin(body, path).finish()
        must(answer.whole, "the answer was cut short")
        return answer

    def ask_engine(self, body, path="/v1/chat/completions"):
        """The same request, straight to the engine."""
        return wire.post(self.engine, path, body)

    def get(self, path):
        """GET of a public route; waits where the route asks for patience."""
        deadline = time.monotonic() + PATIENCE_SECS
        while True:
            answer = wire.get(self.base, path)
            if answer.status != 429 or time.monotonic() > deadline:
                return answer
            time.sleep(1)

    def own_receipts(self):
        """The account's receipts, all of which fit into a page."""
        key = ("authorization", f"Bearer {self.key}")
        answer = wire.get(self.base, "/v1/receipts", [key])
        equal(answer.status, 200, f"GET /v1/receipts ({answer.body[:200]!r})")
        must(not answer.json()["has_more"], "the receipts are more than a page")
        return answer.json()["data"]

    def proof(self, name, of="an exchange"):
        """The signature object of an exchange, which a failure describes as `of`."""
        answer = self.get(f"/signature/{name}")
        equal(answer.status, 200, f"GET /signature/{name} of {of} ({answer.body[:200]!r})")
        return answer.json()

    def address(self):
        """The signing address, as a fresh attestation report names it."""
        if not self._address:
            nonce = secrets.token_hex(32)
            answer = self.get(f"/attestation/report?nonce={nonce}")
            equal(answer.status, 200, f"GET /attestation/report ({answer.body[:200]!r})")
            report = answer.json()
            equal(report.get("request_nonce"), nonce, "the report's nonce")
            equal(report.get("simulated"), True, "the report's simulated")
            must(report.get("intel_quote"), "the report has no quote")
            self._address = report["signing_address"]
        return self._address

    def receipt_id(self, headers):
        """The id in the headers of an answer, which every answer has in both spellings."""
        receipt_id = headers.get("zg-res-key", "")
        must(UUID.fullmatch(receipt_id), f"ZG-Res-Key is no UUID v4: {headers}")
        equal(headers.get("x-receipt-id"), receipt_id, "x-receipt-id")
        must(headers.get("x-request-id"), f"no x-request-id: {headers}")
        return receipt_id

    def check_signed(self, body, answer, outcome="complete"):
        """The signature covers exactly these bytes and is by the attested key."""
        proof = self.proof(self.receipt_id(answer.headers))
        halves = f"{sha256(body)}:{sha256(answer.body)}"
        equal(proof["text"], halves, "the signed text (request hash : response hash)")
        equal(proof["outcome"], outcome, "the outcome")
        self.check_signer(proof)
        return proof

    def check_signer(self, proof):
        """Another implementation of ECDSA than ours finds the attested address in the signature."""
        equal(proof["signing_algo"], "ecdsa", "signing_algo")
        equal(proof["simulated"], True, "the signature's simulated")
        signer = recovered(proof["text"], proof["signature"])
        equal(signer.lower(), proof["signing_address"].lower(), "the signature's signer")
        equal(proof["signing_address"], self.address(), "the signature's address and the report's")

    def check_charged(self, proof, prompt_tokens, completion_tokens):
        """The fee is the engine's count times the prices; adds it to what must be in the ledger."""
        equal(proof["usage"]["input_tokens"], prompt_tokens, "input tokens")
        equal(proof["usage"]["output_tokens"], completion_tokens, "output tokens")
        fee = prompt_tokens * self.input_price + completion_tokens * self.output_price
        equal(proof["fee"], str(fee), "the fee")
        self.earned += fee

    def check_free(self, proof):
        """Nothing was charged."""
        must(proof.get("fee") in (None, "0"), f"a fee without a token: {proof}")


def recovered(text, signature):
    """The address whose key signed `text` as a personal message."""
    return Account.recover_message(encode_defunct(text=text), signature=signature)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def masked(body):
    """An answer without what differs from one request to the next."""
    body = re.sub(rb'"id":"[^"]*"', b'"id":"ID"', body)
    return re.sub(rb'"created":\d+', b'"created":0', body)
