"""Compares the table of docs/egress.md with the code: no way out without a row, no row without code and a test.

Each import of a library that can reach a network names its row in a comment (`# egress: feeds`), and so does each
call that can open a URL. The functions and tests that a row names have to exist.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/egress.md"
LIBRARIES = (
    "aiohttp", "aioice", "aiortc", "asyncio", "dbus", "ftplib", "http.client", "http.server", "httpx", "imaplib",
    "minio", "multiprocessing.connection", "paho", "paramiko", "poplib", "pylibsrtp", "requests", "smtplib", "socket",
    "socketserver", "ssl", "subprocess", "telnetlib", "tftpy", "urllib.request", "urllib3", "uvicorn", "websockets",
    "xmlrpc", "zeroconf",
)  # fmt: skip
CALLS = ("av.open", "cv2.VideoCapture", "os.execv", "os.execve", "os.posix_spawn", "os.system")
ONLY_FOR = {
    "urllib3": (
        "device/courier",
        "device/backup_targets",
        "device/system/https.py",
        "device/system/send_guard.py",
    ),
    "paramiko": ("device/backup_targets",),
    "minio": ("device/backup_targets",),
    "device.system.https": ("device/courier", "device/backup_targets", "device/system"),
    "device.system.send_guard": (
        "device/courier",
        "device/backup_targets",
        "device/system",
        "device/consent_service/backup_worker.py",
    ),
    "device.backup_targets": (
        "device/courier/backup_upload.py",
        "device/backup_targets",
        "device/cli/backup.py",
        "device/consent_service/backup_worker.py",
    ),
}
"""Which files may import what carries bytes of footage out."""
_TAG = re.compile(r"#.*\begress: ([a-z0-9, -]+)")
_ROW = re.compile(r"\| `([a-z0-9-]+)` \|(.*)\|")
_SYMBOL = re.compile(r"`((?:device|server|systemd)/[^`:]+):([^`]+)`")
_TEST = re.compile(r"`(tests/[^`:]+\.py)::([^`]+)`")
COLUMNS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way out; the cells are Markdown."""

    name: str
    opened: str
    closed: str
    tests: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A line that can reach a network, and the rows that it names."""

    where: str
    library: str
    rows: tuple[str, ...]


def rows_of(page: str) -> list[Row]:
    """Return the table's rows."""
    found = []
    for line in page.splitlines():
        if match := _ROW.fullmatch(line.strip()):
            cells = [cell.strip() for cell in match[2].split("|")]
            if len(cells) == COLUMNS:
                found.append(Row(name=match[1], opened=cells[2], closed=cells[3], tests=cells[4]))
    return found


def uses_in(source: str, where: str) -> Iterator[Use]:
    """Yield each import of a library, and each call, that can reach a network."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        for name in _names(node):
            known_names = CALLS if isinstance(node, ast.Call) else LIBRARIES
            library = next((known for known in known_names if _is_in(name, known)), None)
            if library:
                text = "\n".join(lines[node.lineno - 1 : node.end_lineno])  # type: ignore[attr-defined]
                tag = _TAG.search(text)
                rows = tuple(row.strip() for row in tag[1].split(",")) if tag else ()
                yield Use(where=f"{where}:{node.lineno}", library=library, rows=rows)  # type: ignore[attr-defined]
                break


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call):
        return [ast.unparse(node.func)]
    return []


def _is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def faults(root: Path) -> Iterator[str]:
    """Yield what the page and the code do not agree on."""
    page = (root / PAGE).read_text()
    rows = rows_of(page)
    names = [row.name for row in rows]
    used: set[str] = set()
    for path in sorted((root / "device").rglob("*.py")):
        where = str(path.relative_to(root))
        source = path.read_text()
        for use in uses_in(source, where):
            used |= set(use.rows)
            if not use.rows:
                yield f"{use.where}: {use.library} can reach a network: name its row of {PAGE} (# egress: ROW)"
            yield from (f"{use.where}: {row} is no row of {PAGE}" for row in use.rows if row not in names)
        yield from _wrong_importers(source, where)
    for row in rows:
        if row.name not in used:
            yield f"{PAGE}: {row.name}: no import names this row"
        if names.count(row.name) > 1:
            yield f"{PAGE}: {row.name}: is there twice"
        yield from _row_faults(root, row)


def _wrong_importers(source: str, where: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for library, allowed in ONLY_FOR.items():
            if any(_is_in(name, library) for name in _names(node)) and not where.startswith(allowed):
                yield f"{where}:{node.lineno}: {library} is for {', '.join(allowed)} alone"


def _row_faults(root: Path, row: Row) -> Iterator[str]:
    for column, text in (("opened by", row.opened), ("closed by", row.closed)):
        symbols = _SYMBOL.findall(text)
        if not symbols:
            yield f"{PAGE}: {row.name}: {column} names no `path:function`"
        for path, name in symbols:
            if not _exists(root / path, name):
                yield f"{PAGE}: {row.name}: there is no {name} in {path}"
    tests = _TEST.findall(row.tests)
    if not tests:
        yield f"{PAGE}: {row.name}: names no test"
    for path, name in tests:
        if not _exists(root / path, name):
            yield f"{PAGE}: {row.name}: there is no test {name} in {path}"


def _exists(path: Path, name: str) -> bool:
    """Return whether a file has a function, method, class or constant; or, if it is not Python, a text."""
    if not path.is_file():
        return False
    if path.suffix != ".py":
        return name in path.read_text()
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for part in name.split("."):
        inner = [node for node in body if part in _defined(node)]
        if not inner:
            return False
        body = getattr(inner[0], "body", [])
    return True


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def main() -> int:
    """Print the faults; return 1 if there are any."""
    found = list(faults(ROOT))
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
