// A department's store: stock @tus/server over TLS. It takes parcels in at /parcels and gives nothing out.
//   node server.mjs --listen ADDRESS --port N --folder FOLDER --cert FILE --key FILE
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";
import { mkdirSync, readFileSync } from "node:fs";
import { createServer } from "node:https";
import { parseArgs } from "node:util";

const MAX_BYTES = 64 * 2 ** 30;
const text = { type: "string" };
const { values } = parseArgs({ options: { listen: text, port: text, folder: text, cert: text, key: text } });
for (const name of ["port", "folder", "cert", "key"]) {
  if (!values[name]) {
    console.error(`server.mjs: --${name} is missing`);
    process.exit(2);
  }
}
mkdirSync(values.folder, { recursive: true, mode: 0o750 });
const tus = new Server({
  path: "/parcels",
  datastore: new FileStore({ directory: values.folder }),
  relativeLocation: true,
  maxSize: MAX_BYTES,
  disableTerminationForFinishedUploads: true,
});
// Nobody downloads here: whoever has the sealing key reads the folder.
const server = createServer({ cert: readFileSync(values.cert), key: readFileSync(values.key) }, (request, response) =>
  request.method === "GET" ? response.writeHead(404).end() : tus.handle(request, response),
);
server.requestTimeout = 0; // a slow line may take hours for one request
server.listen(Number(values.port), values.listen ?? "::", () => console.log("ready"));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
