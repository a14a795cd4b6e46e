"""Checks a running sidecar in front of a real vLLM from the outside, as its users see it.

Exits 0 if every check holds; else names the first that does not and exits 1. `--totals` receives
what the ledger must say afterwards: the caller stops the sidecar and compares.
"""

import argparse
import json
import sys
import time
import traceback

import check_bytes
import check_client
import check_langchain
import check_leaving
import check_pooling
import check_routes
import check_tools
from sidecar import CheckFailed, Sidecar, must

CHECKS = [
    *check_client.CHECKS,
    *check_bytes.CHECKS,
    *check_leaving.CHECKS,
    *check_tools.CHECKS,
    *check_routes.CHECKS,
    *check_langchain.CHECKS,
]
POOLING_CHECKS = [*check_pooling.CHECKS, *check_langchain.POOLING_CHECKS]


def main():
    options = parse()
    sidecar = Sidecar(
        base=options.sidecar,
        engine=options.engine,
        key=options.key,
        model=options.model,
        input_price=options.input_price,
        output_price=options.output_price,
    )
    try:
        checks, expected = POOLING_CHECKS, None
        if not options.pooling:
            checks, expected = CHECKS, expectation(sidecar, options.expected)
        for check in checks:
            started = time.monotonic()
            print(check.__name__, flush=True)
            check(sidecar, expected)
            print(f"  holds, {time.monotonic() - started:.1f} s", flush=True)
    except CheckFailed as failure:
        print(f"FAILED: {failure}", flush=True)
        return 1
    except Exception:  # a broken answer is a failed check, whatever it broke
        traceback.print_exc(limit=-6, chain=False, file=sys.stdout)
        return 1
    if options.totals:
        with open(options.totals, "w", encoding="utf-8") as file:
            json.dump({"earned_neuron": sidecar.earned, "receipts": sidecar.receipts}, file)
    print(f"all checks hold: {sidecar.receipts} exchanges, {sidecar.earned} neuron")
    return 0


def expectation(sidecar, path):
    """What the scripted model says, from its own file or else from the engine itself."""
    if path:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    answer = sidecar.ask_engine(sidecar.body())
    must(answer.status == 200, f"the engine itself answers {answer.status}: {answer.body[:300]!r}")
    reply = answer.json()
    return {
        "reply": reply["choices"][0]["message"]["content"],
        "completion_tokens": reply["usage"]["completion_tokens"],
    }


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sidecar", required=True, help="base address of the public routes")
    parser.add_argument("--engine", required=True, help="base address of vLLM")
    parser.add_argument("--key", required=True, help="API key of a prepaid account")
    parser.add_argument("--model", default="tiny", help="served model name")
    parser.add_argument("--input-price", type=int, required=True, help="neuron per prompt token")
    parser.add_argument("--output-price", type=int, required=True, help="neuron per answer token")
    parser.add_argument("--expected", help="expected.json of the scripted model")
    parser.add_argument("--pooling", action="store_true", help="the engine embeds and ranks")
    parser.add_argument("--totals", help="where to write the expected totals")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
