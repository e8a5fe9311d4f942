"""A map without tiles: the outlines of areas and the home, drawn on the device without any request to outside."""

import math
from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 640, 400, 40
_DEGREE_KM = 111.2
_LOWEST_COS = 0.05

# As attributes: a page whose policy forbids styles in a document shows it all the same.
_LOOKS = {
    "area": 'fill="#2b6cb0" fill-opacity=".18" stroke="#2b6cb0" stroke-width="2"',
    "jurisdiction": 'fill="none" stroke="#666677" stroke-width="2" stroke-dasharray="7 5"',
    "home": 'fill="#c2410c" stroke="#ffffff" stroke-width="1.5"',
    "bar": 'fill="none" stroke="#333333" stroke-width="1.5"',
    "text": 'font-family="sans-serif" font-size="14" fill="#333333"',
}
Ring = Sequence[Sequence[float]]


def map_svg(areas: Sequence[tuple[str, Ring]], home: tuple[float, float] | None) -> str:
    """Return an SVG of areas (kind, ring of [longitude, latitude]) and the home, north at the top."""
    points = [(float(x), float(y)) for _, ring in areas for x, y in ring]
    points += [home] if home else []
    if not points:
        return _document("")
    west, east = min(x for x, _ in points), max(x for x, _ in points)
    south, north = min(y for _, y in points), max(y for _, y in points)
    narrow = max(math.cos(math.radians((south + north) / 2)), _LOWEST_COS)
    span_x, span_y = max((east - west) * narrow, 1e-4), max(north - south, 1e-4)
    scale = min((WIDTH - 2 * MARGIN) / span_x, (HEIGHT - 2 * MARGIN) / span_y)
    middle_x, middle_y = (west + east) / 2, (south + north) / 2

    def project(x: float, y: float) -> tuple[float, float]:
        return WIDTH / 2 + (x - middle_x) * narrow * scale, HEIGHT / 2 - (y - middle_y) * scale

    drawn = []
    for kind, ring in areas:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (project(*pair) for pair in ring))
        drawn.append(f'<polygon points="{corners}" {_LOOKS[kind]}/>')
    if home:
        x, y = project(*home)
        drawn.append(f'<path d="M{x:.1f} {y - 9:.1f}l9 8h-3v8h-12v-8h-3z" {_LOOKS["home"]}/>')
    return _document("".join(drawn) + _scale_bar(scale / _DEGREE_KM))


def _scale_bar(px_per_km: float) -> str:
    km = 10 ** math.floor(math.log10(150 / px_per_km))
    km *= next(step for step in (5, 2, 1) if km * step * px_per_km <= 150)
    text = f"{km:g} km" if km >= 1 else f"{km * 1000:g} m"
    length, y = km * px_per_km, HEIGHT - 14
    return (
        f'<path {_LOOKS["bar"]} d="M14 {y}h{length:.1f}m0 -5v10m-{length:.1f} 0v-10"/>'
        f'<text x="{20 + length:.1f}" y="{y + 5}" {_LOOKS["text"]}>{text}</text>'
        f'<path {_LOOKS["bar"]} d="M{WIDTH - 20} 40v-26l-5 8m5 -8l5 8"/>'
        f'<text x="{WIDTH - 26}" y="56" {_LOOKS["text"]}>N</text>'
    )


def _document(drawn: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#f4f6f4"/>{drawn}</svg>'
    )
