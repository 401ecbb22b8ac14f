// Makes the calls of a plan, given as JSON on standard input, with Sensors Analytics' SDK for the web, unmodified, in a
// window of happy-dom, and tells the visitor's anonymous id.
import { readFileSync } from "node:fs"
import { Window } from "happy-dom"

const { page, server_url, batch, within_ms, calls } = JSON.parse(readFileSync(0, "utf8"))
const window = new Window({
  url: page,
  settings: { enableJavaScriptEvaluation: true, suppressInsecureJavaScriptEnvironmentWarning: true },
})
window.eval(readFileSync(new URL(import.meta.resolve("sa-sdk-javascript")), "utf8"))
const sensors = window.sensorsDataAnalytic201505
const batch_send = batch && { send_interval: 200, datasend_timeout: 5000 }
sensors.init({ server_url, batch_send, send_type: "ajax", show_log: false, heatmap: false })
for (const [verb, ...given] of calls) sensors[verb](...given)
await new Promise((done) => setTimeout(done, within_ms))
console.log(JSON.stringify(sensors.quick("getAnonymousID")))
process.exit(0)
