"""What a mixture has to be, in plain Python and by the documents alone (docs/reference/doors.md): the pattern of its
sources, and the order of the rows of each. Slow, and with no line of the node or its clients."""

import math

PERIOD, ALL = 65536, (1 << 64) - 1


def mix(value):
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 & ALL
    value ^= value >> 27
    value = value * 0x94D049BB133111EB & ALL
    return value ^ (value >> 31)


def permute(length, seed, index):
    """Six rounds of Feistel over the bits that the length needs, walked until the result is below it."""
    bits = max(2, (length - 1).bit_length())
    left = bits // 2
    right = bits - left
    keys = [mix(seed + (number + 1) * 0x9E3779B97F4A7C15 & ALL) for number in range(6)]
    while True:
        high, low, widths = index >> right, index & (1 << right) - 1, (left, right)
        for key in keys:
            high, low, widths = low, high ^ mix(low ^ key) & (1 << widths[0]) - 1, widths[::-1]
        index = high << right | low
        if index < length:
            return index


def quotas(weights):
    total = math.fsum(weights)
    exact = [weight / total * PERIOD for weight in weights]
    found = [max(1, int(value)) for value in exact]
    while sum(found) < PERIOD:
        behind = max(range(len(found)), key=lambda i: exact[i] - found[i])
        found[behind] += 1
    return found


def epoch_key(seed, epoch):
    return mix((seed * 0x9E3779B97F4A7C15 + epoch) & ALL)


def period(weights, number, seed, epoch, stratified):
    """The source of each position of a period."""
    own = quotas(weights)
    if stratified:
        behind, found = [0] * len(own), []
        for _ in range(PERIOD):
            behind = [value + quota for value, quota in zip(behind, own)]
            source = behind.index(max(behind))
            behind[source] -= PERIOD
            found.append(source)
        return found
    slots = [source for source, quota in enumerate(own) for _ in range(quota)]
    key = mix(epoch_key(seed, epoch) ^ (number + 1) * 0xA0761D6478BD642F & ALL)
    return [slots[permute(PERIOD, key, place)] for place in range(PERIOD)]


def rows(count, source, turn, seed, epoch):
    """The rows of a table of one block in a turn of a source."""
    key = mix(epoch_key(seed, epoch) ^ (source + 1) * 0xE7037ED1A0B428DB & ALL)
    key = mix(key ^ (turn + 1) * 0x9E3779B97F4A7C15 & ALL)
    # The key of the first window of blocks.
    window = mix(key ^ 0xD1342543DE82EF95)
    return [permute(count, window, row) for row in range(count)]


def mixture(counts, weights, seed=0, epoch=0, stratified=False, repeat=(), shuffle=True):
    """Source and row at each position of an epoch over tables of one block."""
    taken, orders, found = [0] * len(counts), {}, []
    number = 0
    while True:
        for source in period(weights, number, seed, epoch, stratified or not shuffle):
            turn, row = divmod(taken[source], counts[source])
            if turn and source not in repeat:
                return found
            if (source, turn) not in orders:
                own = rows(counts[source], source, turn, seed, epoch) if shuffle else list(range(counts[source]))
                orders[source, turn] = own
            found.append((source, orders[source, turn][row]))
            taken[source] += 1
        number += 1
