"""MurmurHash3 (x86, 32 bits) in plain Python, after Appleby's description: a second opinion."""

MASK = 0xFFFFFFFF


def turn(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (32 - bits))) & MASK


def mixed(block: int) -> int:
    return turn(block * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK


def murmur3_32(data: bytes) -> int:
    value, whole = 0, len(data) // 4 * 4
    for place in range(0, whole, 4):
        block = int.from_bytes(data[place : place + 4], "little")
        value = turn(value ^ mixed(block), 13) * 5 + 0xE6546B64 & MASK
    if len(data) > whole:
        value ^= mixed(int.from_bytes(data[whole:], "little"))
    value ^= len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = (value ^ (value >> shift)) * factor & MASK
    return value ^ (value >> 16)


def bucket(salt: str, unit: str) -> int:
    return (murmur3_32(f"{salt}\x1f{unit}".encode()) * 100_000) >> 32
