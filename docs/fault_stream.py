"""The address space of faults, written from docs/theory.md (section 5.5) alone: plain Python, no packages.

It draws the faults of qtaml without a line of its code. `python3 docs/fault_stream.py` prints the
numbers that `crates/qtaml-fault/tests/address_space.rs` expects of the library.
"""

from math import log, log1p
from struct import pack

M32, M64, M128 = 2**32 - 1, 2**64 - 1, 2**128 - 1


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & M64
    return h


def mix(x):
    x = x + 0x9E3779B97F4A7C15 & M64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M64
    return x ^ x >> 31


def philox(key, counter):
    """Philox4x32-10: four words from a 64-bit key and four words of counter."""
    k0, k1 = key & M32, key >> 32
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = p1 >> 32 ^ c1 ^ k0, p1 & M32, p0 >> 32 ^ c3 ^ k1, p0 & M32
        k0, k1 = k0 + 0x9E3779B9 & M32, k1 + 0xBB67AE85 & M32
    return c0, c1, c2, c3


def sequence(seed, purpose, number, length):
    """The first 32-bit numbers of a sequence."""
    key = mix(seed ^ mix(fnv1a(b"stream/" + purpose.encode())))
    blocks = (philox(key, (i, 0, number & M32, number >> 32)) for i in range(length))
    return [word for block in blocks for word in block][:length]


class Stream:
    """The random stream of a tensor in one trial."""

    def __init__(self, seed, trial, tensor, key=None):
        self.trial = trial
        self.key = mix(seed ^ mix(fnv1a(b"fault/" + tensor.encode()))) if key is None else key

    def substream(self, what):
        low, high, _, _ = philox(self.key, (0, 0, 0, 6))
        return Stream(0, self.trial, "", mix((low | high << 32) ^ fnv1a(what.encode())))

    def block(self, index, lane):
        return philox(self.key, (index & M32, index >> 32, self.trial, lane))

    def digits(self, index, lane):
        a, b, c, d = self.block(index, lane)
        return a << 96 | b << 64 | c << 32 | d


class MaskTable:
    """Dense sampler: the masks of flips of words whose bits flip with the probabilities `p`."""

    def __init__(self, p):
        shares = [1 << 120]
        for q in p:
            flip = min(int(q * 2.0**120), 1 << 120)
            stay = (1 << 120) - flip
            shares = [s * stay >> 120 for s in shares] + [s * flip >> 120 for s in shares]
        shares[0] += (1 << 120) - sum(shares)
        self.masks, self.ends, left = [], [], 0
        for mask, share in enumerate(shares):
            self.masks += [mask] * (share >> 104)
            left += share & (1 << 104) - 1
            self.ends.append(left)

    def draw(self, stream, i, lane):
        """The mask of word i: first digits from `lane`, more digits from the next one."""
        group, within = divmod(i, 128)
        word, rest = divmod(within, 32)
        block = stream.block(16 * group + rest // 2, lane)
        head = block[word] >> 16 * (rest % 2) & 0xFFFF
        if head < len(self.masks):
            return self.masks[head]
        point = head - len(self.masks) << 104 | stream.digits(i, lane + 1) >> 24
        return next(mask for mask, end in enumerate(self.ends) if end > point)


def fraction(digits):
    return (float(digits >> 64) + float(digits & M64) * 2.0**-64) * 2.0**-64


def candidates(p, stream, count, lane=1 << 31):
    """Sparse sampler: the places below `count` that are chosen with probability p, with their blocks."""
    rate, size = -log1p(-p), 1 << 7
    while size < 32 / p and size < 1 << 62:
        size *= 2
    for span in range(-(-count // size)):
        place, k = span * size, 0
        while True:
            digits = stream.digits(span, lane + k)
            small = digits < 1 << 125
            e = -log1p(-fraction(digits)) if small else -log(fraction(M128 - digits + 1))
            place += int(e / rate)
            if place >= min(count, (span + 1) * size):
                break
            yield place, span, lane + k
            place, k = place + 1, k + 1


def bit_flips(p01, p10, words, stream):
    """Words as they are read; p01 and p10 list the probabilities of each bit, least significant first."""
    width, largest = len(p01), max(p01 + p10)
    if largest >= 1 / 256:
        zeros = MaskTable(p01)
        ones = MaskTable(p10) if p01 != p10 else None
        read = []
        for i, word in enumerate(words):
            flips = zeros.draw(stream, i, 0)
            if ones:
                flips = flips & ~word | ones.draw(stream, i, 2) & word
            read.append(word ^ flips)
        return read
    read = list(words)
    if largest > 0:
        for place, span, lane in candidates(largest, stream, width * len(words)):
            i, bit = divmod(place, width)
            accept = (p10 if words[i] >> bit & 1 else p01)[bit] / largest
            if accept == 1 or accept > 0 and fraction(stream.digits(span, lane | 1 << 30)) < accept:
                read[i] ^= 1 << bit
    return read


def wide_flips(p, width, words, stream):
    """Words of 1 to 12 bits, each of which flips with probability p."""
    read = [0] * len(words)
    for shift, s in [(0, stream), (8, stream.substream("bits 8 and up"))]:
        bits = min(width - shift, 8)
        if bits > 0:
            law = [p] * bits + [0.0] * (bits == 1)
            plane = bit_flips(law, law, [w >> shift & 0xFF for w in words], s)
            read = [r | w << shift for r, w in zip(read, plane)]
    return read


def stuck(at_zero, at_one, width, words, stream):
    either, read = at_zero + at_one, list(words)
    if either >= 1 / 256:
        rest = min(at_one / (1 - at_zero), 1.0) if at_zero < 1 else 0.0
        ones, zeros = MaskTable([rest] * width), MaskTable([at_zero] * width)
        for i, word in enumerate(words):
            read[i] = (word | ones.draw(stream, i, 0)) & ~zeros.draw(stream, i, 2)
        return read
    rarer = min(at_zero, at_one) / either if either else 0.0
    for place, span, lane in candidates(either, stream, width * len(words)) if either else []:
        i, bit = divmod(place, width)
        at = at_one > at_zero
        if rarer and fraction(stream.digits(span, lane | 1 << 30)) < rarer:
            at = not at
        read[i] = read[i] & ~(1 << bit) | at << bit
    return read


def bursts(p, length, width, words, stream):
    count, hit = width * len(words), set()
    for start, _, _ in candidates(p, stream, count, (1 << 31) + (1 << 29)):
        hit.update(range(start, min(start + length, count)))
    return [w ^ sum(1 << j for j in range(width) if i * width + j in hit) for i, w in enumerate(words)]


def hypergeometric(n, marked, drawn, u):
    if marked > n - marked:
        return drawn - hypergeometric(n, n - marked, drawn, u)
    if drawn > n - drawn:
        return marked - hypergeometric(n, marked, n - drawn, u)
    spare, mode = n - marked - drawn, (marked + 1) * (drawn + 1) // (n + 2)

    def weights(a, b, c, d):
        a, b, c, d, weight, i = float(a), float(b), float(c), float(d), 1.0, 0.0
        while weight > 2.0**-64:
            yield weight
            weight, i = weight * ((a - i) * (b - i) / ((c + i) * (d + i))), i + 1.0

    down = list(weights(mode, spare + mode, marked - mode + 1, drawn - mode + 1))
    up = list(weights(marked - mode, drawn - mode, mode + 1, spare + mode + 1))[1:]
    total = 0.0
    for weight in down + up:
        total += weight
    left = u * total
    for x, weight in [(mode - i, w) for i, w in enumerate(down)] + [(mode + 1 + i, w) for i, w in enumerate(up)]:
        left -= weight
        if left < 0:
            return x
    return mode


def uniform(stream, index, lane):
    return (stream.digits(index, lane) >> 75) / 2.0**53


def exact_count(flips, begin, end, stream):
    """The bits in begin..end that flip."""
    bits = end - begin
    if flips <= 16 or bits <= 64:
        chosen = []
        for m in range(flips):
            last = end - flips + m
            place = begin + (stream.digits(begin, 64 + m) * (last - begin + 1) >> 128)
            chosen.append(last if place in chosen else place)
        return sorted(chosen)
    middle = begin + bits // 2
    here = hypergeometric(bits, bits // 2, flips, uniform(stream, middle, 5))
    return exact_count(here, begin, middle, stream) + exact_count(flips - here, middle, end, stream)


def shares(flips, sizes, stream):
    """How many flips fall on each of some tensors that store so many bits."""
    left, found = sum(sizes), []
    for tensor, bits in enumerate(sizes):
        found.append(hypergeometric(left, bits, flips, uniform(stream, tensor, 4)))
        left, flips = left - bits, flips - found[-1]
    return found


def scale_faults(p, values, stream, what="scale"):
    """Bytes of floats that are stored beside the words of a tensor: byte j of float i at position 4 i + j."""
    return bit_flips([p] * 8, [p] * 8, list(pack("<%df" % len(values), *values)), stream.substream(what))


def checksum(words):
    """Position and value of every word count."""
    return sum((i + 1) * word for i, word in enumerate(words)) & M32


if __name__ == "__main__":
    stream = Stream(42, 0, "weight")
    print("sequence", sequence(42, "shuffle", 3, 5))
    for what in ["scale", "bits 8 and up", "check bits 7", "[3]"]:
        print("substream", what, [hex(word) for word in stream.substream(what).block(0, 0)])
    for p01, p10 in [(0.1, 0.1), (0.02, 0.3), (0.003, 0.003), (0.001, 0.0035)]:
        for width, word in [(8, 0x5A), (5, 0x15), (2, 1)]:
            words = bit_flips([p01] * width, [p10] * width, [word] * 4096, stream)
            print("flips", p01, p10, width, checksum(words))
    for p in [0.1, 0.002]:
        for width in [1, 5, 8, 9, 12]:
            print("wide", p, width, checksum(wide_flips(p, width, [1] * 4096, stream)))
    for p in [0.1, 0.002]:
        print("check bits", p, checksum(bit_flips([p] * 8, [p] * 8, [0] * 4096, stream.substream("check bits 7"))))
    for p in [0.1, 0.002]:
        for what in ["scale", "minimum"]:
            print("stored beside", p, what, checksum(scale_faults(p, [0.5] * 300, stream, what)))
        zero_points = bit_flips([p] * 4, [p] * 4, [3] * 300, stream.substream("zero point"))
        print("stored beside", p, "zero point", checksum(zero_points))
    for law in [(0.1, 0.1), (0.3, 0.02), (0.001, 0.001), (0.0005, 0.003)]:
        print("stuck", *law, checksum(stuck(*law, 8, [0x5A] * 4096, stream)))
    for law in [(0.003, 3), (0.05, 20)]:
        print("bursts", *law, checksum(bursts(*law, 8, [0] * 4096, stream)))
    for flips in [5, 900]:
        print("count", flips, sum(exact_count(flips, 0, 8 * 4096, stream)))
    print("shares", shares(1000, [8000, 64, 16000], Stream(42, 0, "")))
