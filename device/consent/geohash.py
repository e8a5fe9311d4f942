"""Geohashes: a position as letters, more letters for a smaller cell (G. Niemeyer, 2008).

A doorbell's region is its cell of three letters: 156 km by 156 km at the equator, 98 km by 156 km at 51 degrees.
"""

LETTERS = "0123456789bcdefghjkmnpqrstuvwxyz"
REGION_LETTERS, CELL_LETTERS = 3, 4
_BITS = 5


def geohash(longitude: float, latitude: float, length: int) -> str:
    """Return the cell of a point."""
    x, y = _cells(length)
    column = min(int((longitude + 180) / 360 * x), x - 1)
    row = min(int((latitude + 90) / 180 * y), y - 1)
    return _name(column, row, length)


def region_cells(longitude: float, latitude: float) -> list[str]:
    """Return the cells of four letters that a home subscribes to, in order of their names.

    They are the 32 of its region and the 28 around those (22 beside a pole). Each home of a region has the same.
    """
    column, row = _place(geohash(longitude, latitude, REGION_LETTERS))
    x, y = _cells(CELL_LETTERS)
    wide, high = x // _cells(REGION_LETTERS)[0], y // _cells(REGION_LETTERS)[1]
    return sorted(
        _name((column * wide + east) % x, row * high + north, CELL_LETTERS)
        for east in range(-1, wide + 1)
        for north in range(-1, high + 1)
        if 0 <= row * high + north < y
    )


def bounds(cell: str) -> tuple[float, float, float, float]:
    """Return west, south, east and north of a cell in degrees."""
    column, row = _place(cell)
    x, y = _cells(len(cell))
    return (
        column / x * 360 - 180,
        row / y * 180 - 90,
        (column + 1) / x * 360 - 180,
        (row + 1) / y * 180 - 90,
    )


def _cells(length: int) -> tuple[int, int]:
    """Return how many cells lie around the equator and from pole to pole; longitude has the odd bit."""
    bits = length * _BITS
    return 1 << (bits + 1) // 2, 1 << bits // 2


def _name(column: int, row: int, length: int) -> str:
    bits = length * _BITS
    number = 0
    for index in range(bits):
        source, left = (column, (bits + 1) // 2) if index % 2 == 0 else (row, bits // 2)
        number = number << 1 | source >> (left - 1 - index // 2) & 1
    return "".join(LETTERS[number >> shift & 31] for shift in range(bits - _BITS, -1, -_BITS))


def _place(cell: str) -> tuple[int, int]:
    column = row = 0
    bits = "".join(f"{LETTERS.index(letter):05b}" for letter in cell)
    for index, bit in enumerate(bits):
        if index % 2 == 0:
            column = column << 1 | int(bit)
        else:
            row = row << 1 | int(bit)
    return column, row
