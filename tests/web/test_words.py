"""Every code that the server sends has its words in each language, and every word has a use."""

import ast
import errno
import json
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from device.config.sources import PAGE_KEYS
from device.consent.reasons import Reason
from device.mqtt.reasons import ENDINGS
from device.mqtt.reasons import REFUSALS as MQTT_REFUSALS

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "device" / "web" / "static"
LANGUAGES = ("en", "de")
STRINGS: dict[str, dict[str, str]] = {
    name: json.loads((STATIC / f"strings/{name}.json").read_text()) for name in LANGUAGES
}
SCRIPTS = "\n".join(path.read_text() for path in sorted(STATIC.rglob("*.js")))
REFUSALS = {
    "CommandError",
    "AccessRefused",
    "SettingRefused",
    "ConfigError",
    "HTTPException",
    "Refused",
    "_refusal",
}
NOT_ON_THE_PAGE = ("cli", "courier", "release", "spool")
"""Packages of `device` whose refusals a terminal or a log shows."""
LIBRARIES = (
    "database or disk is full",
    "disk i/o error",
    "attempt to write a readonly database",
    "timed out",
)
"""Errors that SQLite and Python name."""


REASONS_FROM_TABLES: dict[str, Iterable[str]] = {
    "mqtt_down": ENDINGS,
    "mqtt_refused": MQTT_REFUSALS,
    "storage_full": ("limit", "reserve"),
}
"""Faults whose reason is no literal where they are raised."""
ERRORS_FROM_TABLES = {"no_pictures"} | {"mistake"}
"""Why nothing can be recorded (`no_clip_reason`); the default of Refused."""


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [
        (path.relative_to(ROOT), ast.parse(path.read_text()))
        for path in sorted((ROOT / "device").rglob("*.py"))
        if path.relative_to(ROOT / "device").parts[0] not in NOT_ON_THE_PAGE
    ]


def texts(node: ast.expr | None) -> set[str]:
    """Return the texts that an expression may be, as far as they are written there."""
    match node:
        case ast.Constant(value=str() as text):
            return {text}
        case ast.IfExp(body=body, orelse=orelse):
            return texts(body) | texts(orelse)
        case ast.BoolOp(values=values):
            return set().union(*map(texts, values))
    return set()


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def given(call: ast.Call, name: str) -> ast.expr | None:
    return next((word.value for word in call.keywords if word.arg == name), None)


@cache
def calls() -> list[tuple[Path, ast.Call]]:
    return [(path, node) for path, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call)]


@cache
def error_codes() -> dict[str, str]:
    """Return the codes of refusals, with where each is."""
    found: dict[str, str] = {}
    for path, tree in trees():
        for node in ast.walk(tree):
            codes: set[str] = set()
            match node:
                case ast.Call() if name_of(node) in REFUSALS:
                    codes = texts(given(node, "code"))
                case ast.Dict(keys=keys, values=values):
                    names = [key.value if isinstance(key, ast.Constant) else None for key in keys]
                    if "error" in names and "code" in names:
                        codes = texts(values[names.index("code")])
                case ast.Tuple(elts=[ast.Constant(value=int()), ast.Constant(value=str() as code), _]):
                    codes = {code} if path.name == "auth_middleware.py" else set()
                case ast.Tuple(elts=[ast.Constant(value=str() as code), ast.Dict()]):
                    codes = {code} if path.name == "diagnostics.py" else set()
            found |= {code: f"{path}:{getattr(node, 'lineno', 0)}" for code in codes}
    return found


@cache
def fault_codes() -> dict[tuple[str, str], str]:
    """Return the (code, reason) of faults that are raised, with where each is."""
    found: dict[tuple[str, str], str] = {}
    for path, call in calls():
        where = f"{path}:{call.lineno}"
        active = given(call, "active")
        ends = isinstance(active, ast.Constant) and active.value is False
        if name_of(call) == "Fault" and not ends:
            for code in texts(given(call, "code")):
                reasons = texts(given(call, "reason")) or {""}
                found |= {(code, reason): where for reason in reasons}
        elif name_of(call) == "begin" and call.args:
            found |= {(code, ""): where for code in texts(call.args[0])}
        elif name_of(call) == "CameraError":
            found |= {("camera_down", reason): where for reason in texts(given(call, "reason"))}
        elif name_of(call) == "camera_error" and len(call.args) > 1:
            found |= {("camera_down", reason): where for reason in texts(call.args[1])}
    for code, table in REASONS_FROM_TABLES.items():
        found.pop((code, ""), None)
        found |= {(code, reason): f"a table of {code}" for reason in table}
    why = next(
        node
        for path, tree in trees()
        if path.name == "ffmpeg_input.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_why"
    )
    for node in ast.walk(why):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            found |= {("camera_down", reason): f"_why:{node.lineno}" for reason in texts(node.value.elts[0])}
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_has_words(language: str) -> None:
    codes = error_codes()
    assert len(codes) > 50
    words = STRINGS[language].keys()
    # What is also a fault has the fault's words (`faultError` in api.js).
    missing = {code: where for code, where in codes.items() if not {f"error_{code}", f"fault_{code}"} & words}
    assert missing == {}


def test_every_refusal_has_a_code() -> None:
    without = [
        f"{path}:{call.lineno}"
        for path, call in calls()
        if given(call, "code") is None
        and (
            name_of(call) in {"CommandError", "AccessRefused"}
            or (name_of(call) == "Refused" and ast.unparse(call.args[0]) == "Reason.MISTAKE")
        )
    ]
    # The answer of another thread, which becomes a CommandError.
    without += [
        f"{path}:{node.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict) and [ast.unparse(key) for key in node.keys if key] == ["'error'"]
    ]
    assert without == []


def test_every_fault_of_a_latch_brings_what_its_words_name() -> None:
    without = [
        f"{path}:{call.lineno}: {code} lacks {name}"
        for path, call in calls()
        if name_of(call) == "begin" and call.args
        for code in texts(call.args[0])
        for name in re.findall(r"\{(\w+)\}", STRINGS["en"].get(f"fault_{code}", ""))
        if given(call, name) is None
    ]
    assert without == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_has_words_and_a_remedy(language: str) -> None:
    faults = fault_codes()
    assert len(faults) > 30
    missing = {
        (kind, code, reason): where
        for (code, reason), where in faults.items()
        for kind in ("fault", "remedy")
        if not {f"{kind}_{code}_{reason}", f"{kind}_{code}"} & STRINGS[language].keys()
    }
    assert missing == {}


def test_every_text_has_a_use() -> None:
    literal = set(re.findall(r"[\"'`](\w+)[\"'`]", SCRIPTS)) | set(re.findall(r"[{,]\s*(\w+):", SCRIPTS))
    beginnings = tuple(set(re.findall(r"`(\w+_)\$\{", SCRIPTS)) - {"error_", "fault_", "remedy_", "system_"})
    settings = {f"setting_{key.replace('.', '_')}" for key in PAGE_KEYS}
    errors = error_codes().keys() | settings | ERRORS_FROM_TABLES
    faults = {f"{code}_{reason}".rstrip("_") for code, reason in fault_codes()} | {
        code for code, _ in fault_codes()
    }
    system = {re.sub(r"\W+", "_", text.lower()) for text in [*map(os.strerror, errno.errorcode), *LIBRARIES]}

    def is_used(key: str) -> bool:
        kind, _, rest = key.partition("_")
        by_code = {"error": errors, "fault": faults, "remedy": faults, "system": system}.get(kind, set())
        if kind == "reason":
            return rest in {reason.value for reason in Reason} or f"reason_{rest}" in literal
        if kind == "state":
            return True  # named by `state_${…}`, with the states of requests
        return key in literal or rest in by_code or (bool(beginnings) and key.startswith(beginnings))

    unused = [key for key in STRINGS["en"] if not is_used(key) and not is_used(key.removesuffix("_one"))]
    assert unused == []


def test_german_says_du() -> None:
    formal = re.compile(r"\b(Ihre?|Ihre[mnrs]|Ihnen)\b|\w+en Sie\b|(?<![.:!?] )(?<!^)(?<!„)\bSie\b")
    assert {key: text for key, text in STRINGS["de"].items() if formal.search(text)} == {}


def test_every_setting_of_the_page_has_a_label() -> None:
    (labels,) = re.findall(r"const LABELS = \{(.*?)\};", SCRIPTS, re.DOTALL)
    named = dict(re.findall(r"\"?([\w.]+)\"?: \"(\w+)\"", labels))
    assert named.keys() == set(PAGE_KEYS)
    assert set(named.values()) <= STRINGS["en"].keys()
