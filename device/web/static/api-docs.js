// The API as a page for people, drawn from /api/openapi.json: FastAPI's own page would load other sites' scripts.
import { el } from "./dom.js";

const place = document.getElementById("routes");
const answer = await fetch("/api/openapi.json");
if (answer.ok) {
  const { paths } = await answer.json();
  const groups = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, route] of Object.entries(methods)) {
      const group = route.tags?.[0] ?? "other";
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push([method.toUpperCase(), path, route]);
    }
  }
  for (const [group, routes] of groups) {
    place.append(
      el("h2", {}, group),
      el("dl", {}, ...routes.flatMap(([method, path, route]) => [
        el("dt", {}, el("code", {}, `${method} ${path}${query(route)}`)),
        el("dd", {}, route.description ?? ""),
      ])),
    );
  }
} else {
  place.append(el("p", { role: "alert" }, "Sign in first, then load this page again."));
}

function query(route) {
  const names = (route.parameters ?? []).filter((each) => each.in === "query").map((each) => each.name);
  return names.length ? `?${names.join("&")}` : "";
}
