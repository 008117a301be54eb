// Fluentd's own Forward server, of @fluent-org/logger: each entry becomes a line of a file.
// node server.js '{"modules": DIRECTORY, "store": FILE, "security": {...}, "tls": {"cert", "key", "ca"}}'
"use strict";
const fs = require("fs");
const options = JSON.parse(process.argv[2]);
const { FluentServer, EventTime } = require(options.modules + "/@fluent-org/logger");

let lines = [];
const store = fs.openSync(options.store, "a");
const tls = options.tls && {
  cert: fs.readFileSync(options.tls.cert),
  key: fs.readFileSync(options.tls.key),
  ...(options.tls.ca && {
    ca: fs.readFileSync(options.tls.ca),
    requestCert: true,
    rejectUnauthorized: true,
  }),
};
const server = new FluentServer({
  listenOptions: { host: "127.0.0.1", port: options.port || 0 },
  tlsOptions: tls,
  security: options.security,
});
server.on("entry", (tag, time, record) => {
  const at = time instanceof EventTime ? [time.epoch, time.nano] : [time, 0];
  if (lines.length === 0) setImmediate(flush); // after the last entry of this message
  lines.push(JSON.stringify({ tag, time: at, record }) + "\n");
});
function flush() {
  fs.writeSync(store, lines.join(""));
  lines = [];
}
server.listen().then(() => console.log("listening " + server.port));
