// The API's documentation, made from /api/openapi.json: FastAPI's own page would load scripts of other sites.
import { el } from "./dom.js";

const container = document.getElementById("routes");
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
    container.append(
      el("h2", {}, group),
      el("dl", {}, ...routes.flatMap(([method, path, route]) => [
        el("dt", {}, el("code", {}, `${method} ${path}${query(route)}`)),
        el("dd", {}, route.description ?? ""),
      ])),
    );
  }
} else {
  container.append(el("p", { role: "alert" }, "Sign in first, then load this page again."));
}

function query(route) {
  const names = (route.parameters ?? []).filter((parameter) => parameter.in === "query").map((parameter) => parameter.name);
  return names.length ? `?${names.join("&")}` : "";
}
