"""Golden vectors of the receipts' log, straight from the definitions of RFC 9162 section 2.1.

    python3 log.py        writes fixtures/receipts/log.json
    python3 log.py -      writes the same to standard output

Knows nothing of the Rust code. Leaf i is the text "receipt i", i in decimal. Tiles are named and
cut as C2SP's tlog-tiles says.
"""

import functools
import hashlib
import json
import pathlib
import sys

LARGE = 65536 + 3
ROOTS = [*range(71), 127, 128, 129, 255, 256, 257, 511, 512, 513, 1000, 65535, 65536, LARGE]
INCLUSION = [(m, n) for n in range(1, 14) for m in range(n)] + [
    (0, 64), (63, 64), (63, 65), (64, 65), (0, 255), (254, 255), (0, 256), (128, 256), (255, 256),
    (0, 257), (255, 257), (256, 257), (255, 511), (256, 511), (510, 511), (511, 513), (512, 513),
    (700, 1000), (0, 65536), (65535, 65536), (0, LARGE), (12345, LARGE), (65279, LARGE),
    (65535, LARGE), (65536, LARGE), (65538, LARGE),
]
CONSISTENCY = [(m, n) for n in range(14) for m in range(n + 1)] + [
    (1, 64), (63, 64), (64, 65), (1, 256), (128, 256), (255, 256), (255, 257), (256, 257),
    (257, 257), (255, 511), (256, 511), (257, 511), (500, 511), (511, 512), (511, 513), (512, 513),
    (600, 1000), (1, 65536), (65535, 65536), (0, LARGE), (1, LARGE), (2, LARGE), (256, LARGE),
    (12345, LARGE), (32768, LARGE), (65535, LARGE), (65536, LARGE), (65537, LARGE), (65538, LARGE),
]
# Level, index and size of the log: full and partial tiles.
TILES = [
    (0, 0, 1), (0, 0, 70), (0, 0, 255), (0, 0, 256), (1, 0, 256), (0, 1, 257), (0, 1, 511),
    (1, 0, 513), (0, 255, LARGE), (0, 256, LARGE), (1, 0, LARGE), (2, 0, LARGE),
]
NAMES = [
    (0, 0, 256), (0, 999, 256), (0, 1000, 256), (1, 1234067, 256), (3, 1234067, 17),
    (63, 1000000, 1), (7, 999999, 255), (0, 2**56 - 1, 256),
]


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf(index):
    return f"receipt {index}".encode()


def split(count):
    """The largest power of two below count."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


@functools.cache
def mth(start, end):
    """MTH(D[start:end])."""
    if start == end:
        return sha256(b"")
    if end - start == 1:
        return sha256(b"\x00" + leaf(start))
    middle = start + split(end - start)
    return sha256(b"\x01" + mth(start, middle) + mth(middle, end))


def inclusion(index, start, end):
    """PATH(index - start, D[start:end])."""
    if end - start == 1:
        return []
    middle = start + split(end - start)
    if index < middle:
        return inclusion(index, start, middle) + [mth(middle, end)]
    return inclusion(index, middle, end) + [mth(start, middle)]


def subproof(old, start, end, known):
    """SUBPROOF(old - start, D[start:end], known)."""
    if old == end:
        return [] if known else [mth(start, end)]
    middle = start + split(end - start)
    if old <= middle:
        return subproof(old, start, middle, known) + [mth(middle, end)]
    return subproof(old, middle, end, False) + [mth(start, middle)]


def consistency(old, size):
    """PROOF(old, D[0:size]); of nothing there is nothing to prove."""
    return [] if old == 0 else subproof(old, 0, size, True)


def name(level, index, width):
    digits = str(index)
    digits = "0" * (-len(digits) % 3) + digits
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join(["x" + group for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{path}" + ("" if width == 256 else f".p/{width}")


def tile(level, index, size):
    span = 256**level
    starts = [(index * 256 + at) * span for at in range(256)]
    return [mth(start, start + span) for start in starts if start + span <= size]


def vectors():
    for size in ROOTS:
        yield "roots", {"size": size, "root": mth(0, size).hex()}
    for index, size in INCLUSION:
        path = [node.hex() for node in inclusion(index, 0, size)]
        yield "inclusion", {"index": index, "size": size, "path": path}
    for old, size in CONSISTENCY:
        path = [node.hex() for node in consistency(old, size)]
        yield "consistency", {"from": old, "to": size, "path": path}
    for level, index, size in TILES:
        hashes = tile(level, index, size)
        yield "tiles", {
            "size": size,
            "level": level,
            "index": index,
            "name": name(level, index, len(hashes)),
            "sha256": sha256(b"".join(hashes)).hex(),
        }
    for level, index, width in NAMES:
        written = name(level, index, width)
        yield "names", {"level": level, "index": index, "width": width, "name": written}


def document():
    """JSON with a vector on each line."""
    groups = {}
    for group, vector in vectors():
        groups.setdefault(group, []).append("  " + json.dumps(vector))
    lists = [f' "{group}": [\n' + ",\n".join(lines) + "\n ]" for group, lines in groups.items()]
    return "{\n" + ",\n".join([' "leaves": "receipt <index>"', *lists]) + "\n}\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(document())
    else:
        top = pathlib.Path(__file__).resolve().parents[3]
        (top / "fixtures" / "receipts" / "log.json").write_text(document())
