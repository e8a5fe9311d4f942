// The ledger: what was received, decided and sent, newest first; rejected messages; the head.
import { get } from "../api.js";
import { el, icon, show } from "../dom.js";
import { bytesText, t, whenText } from "../i18n.js";
import { spoken } from "./request.js";

export async function mount(container, doorbell) {
  const draw = async () => {
    const { head, length, entries, refused } = await get("/ledger?newest=500");
    show(container,
      el("p", {}, el("a", { href: "#/requests", class: "back" }, icon("left"), t("nav_requests"))),
      el("h1", {}, t("ledger_open")),
      el("p", { class: "hint" }, t("ledger_help")),
      el("section", {}, el("h2", {}, t("ledger_head")),
        el("p", { class: "hash" }, head), el("p", { class: "hint" }, t("ledger_head_help", { count: length })),
        el("div", { class: "buttons" }, el("a", { class: "button quiet", href: "/api/ledger/export", download: "doorbell-ledger.jsonl" }, icon("download"), t("ledger_export")))),
      refused.length > 0 && el("section", {}, el("h2", {}, t("ledger_refused")),
        el("ul", {}, refused.map((row) => el("li", {}, t("refused_row", { count: row.count, why: t(`reason_${row.reason}`) }))))),
      el("ol", { class: "story ledger", reversed: true }, entries.reverse().map((entry) => el("li", { value: entry.seq },
        el("time", { dateTime: entry.at }, whenText(new Date(entry.at))), el("span", {}, words(entry))))));
  };
  await draw();
  return doorbell.onFact((fact) => { if (/consent|notice/.test(fact.kind)) draw().catch(() => { /* the line at the top says it */ }); });
}

function words({ kind, data, subject }) {
  const name = subject.sender_name ?? data.sender ?? data.source;
  const about = subject.case ? t("about_case", { case: subject.case }) : subject.headline ? t("about_headline", { headline: subject.headline }) : t("about_unknown");
  switch (kind) {
    case "request": return t("entry_request", { name, about, state: t(`state_${data.to.replace(" ", "_")}`) })
      + (data.offer ? ` ${t("entry_sent", { origin: data.destination.origin, count: data.offer.clips.length, hash: data.offer_hash.slice(0, 16) })}` : "")
      + (data.to === "sealed" ? ` ${t("entry_parcel", { sha256: data.parcel.sha256.slice(0, 16), size: bytesText(data.parcel.bytes) })}` : "")
      + (data.to === "handed over" ? ` ${t("entry_handed", { sha256: data.sha256.slice(0, 16), origin: data.destination.origin })}` : "")
      + (data.why ? ` (${data.why})` : "");
    case "left": return t("entry_left", { about, left: bytesText(data.left_bytes), of: bytesText(data.of_bytes), why: data.why });
    case "destination_added": return t("entry_destination_added", { name: data.name, url: data.url });
    case "destination_removed": return t("entry_destination_removed", { name: data.name });
    case "reader_added": return t("entry_reader_added", { name: data.name, scopes: data.scopes.map((scope) => t(`scope_${scope}`)).join(", ") });
    case "reader_removed": return t("entry_reader_removed", { name: data.name });
    case "backup": return t("entry_backup", { when: clipWhen(data.clip), destination: data.destination, sha256: data.sha256.slice(0, 16) });
    case "backed_up": return t("entry_backed_up", { when: clipWhen(data.clip), destination: data.destination });
    case "backup_stopped": return t("entry_backup_stopped", { when: clipWhen(data.clip), destination: data.destination, left: bytesText(data.left_bytes), of: bytesText(data.of_bytes) });
    case "revocation": return data.of === "request" ? t("entry_stopped", { about }) : t(`entry_${data.of}_removed`, { name: data.name });
    case "notice": return t("entry_notice", { about, source: name });
    case "cancellation": return t("entry_cancellation", { about, source: name });
    case "sender_pinned": return t("entry_pinned", { name, key: spoken(data.fingerprint) });
    case "sender_rotated": return t("entry_rotated", { name, serial: data.serial });
    case "sender_unpinned": return t("entry_unpinned", { name });
    case "feed_added": return t("entry_feed", { name: data.name, url: data.url });
    case "feed_removed": return t("entry_feed_removed", { name: data.name });
    default: return t(`entry_${kind}`);
  }
}

/** When a clip began: its id starts with the time, 20261124T202017.123Z. */
function clipWhen(id) {
  const at = new Date(id.replace(/^(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\d\.\d+Z).*$/, "$1-$2-$3:$4:$5"));
  return Number.isNaN(at.getTime()) ? id : whenText(at);
}
