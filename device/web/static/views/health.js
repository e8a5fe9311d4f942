// The Health view: state of each component, faults and remedies, and the last day as a plot.
import { get } from "../api.js";
import { waitingLimits } from "../config.js";
import { el, icon, show, svg } from "../dom.js";
import { cameraText, faultCard } from "../faults.js";
import { bytesText, clock, number, t, whenText } from "../i18n.js";

const WIDTH = 600;
const HEIGHT = 120;

export async function mount(container, doorbell) {
  const faults = el("div", { "aria-live": "polite" });
  const facts = el("dl", { class: "facts" });
  const plots = el("div", { class: "plots" });
  show(container, el("h1", {}, t("nav_health")), faults, facts, el("section", {}, el("h2", {}, t("last_day")), plots));

  const draw = () => {
    const status = doorbell.status;
    if (!status) return;
    show(faults, status.faults.length
      ? status.faults.map(faultCard)
      : el("p", { class: "good" }, icon("good"), t("all_well")), waitingLimits(status));
    const fill = status.storage.used_bytes / status.storage.limit_bytes;
    const rows = {
      button: t(`button_${status.button.state}`),
      camera: status.camera.state === "live" ? t("camera_live_fps", { fps: number(status.camera.fps) }) : cameraText(status),
      motion: t(`motion_${status.motion}`),
      mqtt: `${t(`mqtt_${status.mqtt.state}`)} (${status.mqtt.host}:${status.mqtt.port})`,
      storage: t("storage_text", { used: bytesText(status.storage.used_bytes), limit: bytesText(status.storage.limit_bytes), percent: number(fill * 100, 0), count: status.storage.clips }),
      temperature: status.temperature_c === null ? t("unknown") : t("degrees", { value: number(status.temperature_c) }),
      clock: t(`clock_${status.clock}`),
      last_press: status.press.last_at ? whenText(new Date(status.press.last_at)) : t("none_yet"),
      version: status.version,
    };
    show(facts, Object.entries(rows).flatMap(([name, text]) => [el("dt", {}, t(`fact_${name}`)), el("dd", {}, text)]));
  };
  const stopFacts = doorbell.onFact((fact) => { if (fact.kind === "status") draw(); });
  draw();
  await doorbell.refresh();
  const samples = await get("/health");
  if (samples.length < 2) show(plots, el("p", { class: "empty" }, t("plot_soon")));
  else {
    show(plots,
      plot(samples, "temperature_c", t("plot_temperature"), (value) => t("degrees", { value: number(value) })),
      plot(samples, "fps", t("plot_fps"), (value) => number(value), 0),
      plot(samples, "used_bytes", t("plot_storage"), bytesText, 0));
  }
  const ticking = setInterval(() => doorbell.refresh().catch(() => { /* the line says it */ }), 10_000);
  return () => { stopFacts(); clearInterval(ticking); };
}

function plot(samples, key, title, words, least) {
  const points = samples.filter((sample) => sample[key] !== null && sample[key] !== undefined);
  if (points.length < 2) return el("p", { class: "empty" }, t("plot_none", { title }));
  const values = points.map((sample) => sample[key]);
  const low = least ?? Math.min(...values);
  const high = Math.max(...values, low + 1e-9);
  const [from, to] = [points[0].at_ms, points.at(-1).at_ms];
  const x = (at) => ((at - from) / Math.max(1, to - from)) * WIDTH;
  const y = (value) => HEIGHT - 6 - ((value - low) / (high - low)) * (HEIGHT - 12);
  const line = points.map((sample) => `${x(sample.at_ms).toFixed(1)},${y(sample[key]).toFixed(1)}`).join(" ");
  const last = values.at(-1);
  return el("figure", { class: "plot" },
    el("figcaption", {}, el("strong", {}, title), " ", t("plot_words", { now: words(last), low: words(Math.min(...values)), high: words(Math.max(...values)) })),
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": title },
      svg("polyline", { points: line })),
    el("p", { class: "axis", "aria-hidden": "true" }, el("span", {}, clock(from)), el("span", {}, clock(to))));
}
