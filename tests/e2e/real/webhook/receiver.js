// A webhook receiver that believes nobody: CloudEvents are read and validated by the npm package
// cloudevents, signatures by the npm package standardwebhooks.
//
//   node receiver.js KEYFILE
//
// POST /cloudevents..., POST /json...: answered with 204, 401 (no valid signature by the key that is
// in KEYFILE now) or 400 (not a valid CloudEvent). Standard output: {"port":N}, then a line for each
// request: path, mode, status, error, events or records, and whether the same request with one byte
// of its body, its id or its time altered was refused.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const zlib = require("node:zlib");
const { HTTP, ValidationError } = require("cloudevents");
const { Webhook } = require("standardwebhooks");

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

function holds(key, payload, headers) {
  try {
    new Webhook(key).verify(payload, headers, { jsonParse: false });
    return true;
  } catch {
    return false;
  }
}

function alteredRefused(key, payload, headers) {
  const at = Math.floor(payload.length / 2);
  const body = payload.slice(0, at) + (payload[at] === "x" ? "y" : "x") + payload.slice(at + 1);
  const later = String(Number(headers["webhook-timestamp"]) + 1);
  return !holds(key, body, headers) &&
    !holds(key, payload, { ...headers, "webhook-id": headers["webhook-id"] + "x" }) &&
    !holds(key, payload, { ...headers, "webhook-timestamp": later });
}

// Headers of binary mode come back percent-encoded: the package leaves decoding to its user.
function readEvents(payload, headers) {
  const found = HTTP.toEvent({ headers, body: payload });
  const events = Array.isArray(found) ? found : [found];
  for (const event of events) {
    event.validate(); // throws; toEvent alone is lenient
  }
  return events.map((event) => event.toJSON());
}

function judge(path, payload, headers) {
  const key = fs.readFileSync(process.argv[2], "utf8").trim();
  const line = { path, type: headers["content-type"], encoding: headers["content-encoding"] ?? "" };
  if (!holds(key, payload, headers)) {
    return { ...line, status: 401 };
  }
  line.alteredRefused = alteredRefused(key, payload, headers);
  try {
    if (path.startsWith("/cloudevents")) {
      line.events = readEvents(payload, headers);
    } else {
      line.records = payload.split("\n").filter((text) => text !== "").map((text) => JSON.parse(text));
    }
    return { ...line, status: 204 };
  } catch (error) {
    const why = error instanceof ValidationError ? JSON.stringify(error.errors) : "";
    return { ...line, status: 400, error: `${error.message} ${why}` };
  }
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    const packed = request.headers["content-encoding"] === "gzip";
    const payload = (packed ? zlib.gunzipSync(body) : body).toString("utf8");
    const line = judge(request.url, payload, request.headers);
    say(line);
    response.writeHead(line.status).end();
  });
});
server.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
process.stdin.on("end", () => process.exit(0)).resume();
