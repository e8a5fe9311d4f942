"""One printable page about an opened parcel, which somebody who trusts none of this can follow."""

import base64
import html
from pathlib import Path

from device.media.masks import Masks
from device.store.clip_query import picture_at
from device.system.durable_files import new_private_file
from server.agency.opening import Opened, opened_at

NAME = "report.html"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #111 }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 1.4rem 0 .4rem }
table { border-collapse: collapse; width: 100% }
td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-bottom: 1px solid #ccc }
code, pre { font: 12.5px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap }
pre { background: #f3f3f3; padding: .6rem; margin: 0 }
.verdict { border: 2px solid; padding: .5rem .8rem; margin: 1rem 0; font-weight: 600 }
.good { color: #0a5c2b } .bad { color: #9b1111 }
img { width: 15.5rem; margin-right: .4rem; border: 1px solid #999 }
figure { margin: .6rem 0; break-inside: avoid }
@media print { body { margin: 0; font-size: 12px } }
"""


def write_report(opened: Opened) -> Path:
    """Write the page into the parcel's folder; return where. Raises OSError."""
    path = opened.folder / NAME
    with new_private_file(path) as file:
        file.write(_page(opened).encode())
    return path


def _page(opened: Opened) -> str:
    manifest, text = opened.manifest, html.escape
    good = opened.good
    verdict = (
        "Everything holds: this is what one owner answered to this request, unchanged."
        if good
        else "NOT everything holds. See the lines marked with a cross; do not rely on this parcel."
    )
    rows = "".join(
        f"<tr><td class={'good' if check.good else 'bad'}>{'✓' if check.good else '✗'}</td>"
        f"<td>{text(check.name)}</td><td>{text(check.result)}</td></tr>"
        for check in opened.checks
    )
    clips = "".join(_clip(opened, number) for number in range(len(manifest["clips"])))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Parcel {opened.sha256[:16]}</title>"
        f"<style>{_STYLE}</style><h1>Footage in answer to request {text(manifest['request'])}</h1>"
        f"<p>Parcel SHA-256 <code>{opened.sha256}</code>, {opened.size_bytes:,} bytes. "
        f"Opened {opened_at()}.</p>"
        f"<p class='verdict {'good' if good else 'bad'}'>{verdict}</p>"
        f"<p>Asked for: {text(manifest['window']['start'])} to {text(manifest['window']['end'])}. "
        "The owner was asked, chose what to share, and remains unknown: the signing key was made for this "
        "answer alone. It proves that all clips come from one owner and were not changed since they left "
        "the doorbell; it does not prove who that is, nor that the doorbell's clock was right "
        "(see each clip's line).</p>"
        f"<h2>Clips</h2>{clips}<h2>What was checked</h2><table>{rows}</table>"
        f"<h2>To check it without this program</h2>{_by_hand(opened)}</html>"
    )


def _clip(opened: Opened, number: int) -> str:
    clip = opened.manifest["clips"][number]
    clock = (
        "the doorbell's clock was set by a time server"
        if clip["clock"] == "synchronised"
        else "the doorbell's clock was NOT set by a time server then: the times may be wrong"
    )
    covered = f"{clip['masks']} privacy masks, {clip['blurs']} blurred areas"
    pictures = "".join(
        f"<img alt='' src='data:image/jpeg;base64,{coded}'>" for coded in _pictures(opened, clip)
    )
    return (
        f"<figure>{pictures}<figcaption><b>{html.escape(clip['file'])}</b>: {html.escape(clip['start'])} to "
        f"{html.escape(clip['end'])}, {clip['frames']} pictures, {'with' if clip['sound'] else 'without'} "
        f"sound, {covered}; {clock}.</figcaption></figure>"
    )


def _pictures(opened: Opened, clip: dict[str, object]) -> list[str]:
    audit = opened.audits.get(str(clip["file"]))
    if audit is None or not audit.good:
        return []
    last_us = max(0, audit.length_us - audit.length_us // max(1, audit.frames))
    path = opened.folder / str(clip["file"])
    try:
        shots = [picture_at(path, at_us, Masks()) for at_us in (0, last_us // 2, last_us)]
    except (OSError, ValueError):
        return []
    return [base64.b64encode(shot).decode() for shot in shots]


def _by_hand(opened: Opened) -> str:
    parcel = html.escape(opened.parcel.name)
    steps = (
        ("The parcel is the one that was received.", f"sha256sum {parcel}\n# {opened.sha256}"),
        (
            "It was sealed for this department's key, and holds a manifest and the clips.",
            f"age --decrypt -i sealing-key.txt {parcel} | tar --extract --verbose",
        ),
        ("The clips are those that the manifest names.", "sha256sum --check SHA256SUMS"),
        (
            "The manifest was signed by the release's key (both are written out beside this report).",
            (
                "openssl pkeyutl -verify -pubin -inkey release-key.pem -rawin -in manifest.signed "
                "-sigfile manifest.sig"
            ),
        ),
        (
            "What was signed is the manifest: its second part is manifest.json in base64url.",
            "cut -d. -f2 manifest.signed | tr '_-' '/+' | base64 --decode 2>/dev/null",
        ),
        (
            "Each clip has the pictures, the length and the streams that its line says.",
            (
                "ffprobe -v error -count_frames -show_entries "
                "stream=codec_type,codec_name,nb_read_frames,duration clip-1.mp4"
            ),
        ),
    )
    return "<ol>" + "".join(f"<li>{why}<pre>{what}</pre></li>" for why, what in steps) + "</ol>"
