// Makes the calls of a plan, given as JSON on standard input, with Segment's client, and tells what failed.
import { readFileSync } from "node:fs"
import { Analytics } from "@segment/analytics-node"

const { host, writeKey, flushAt, calls } = JSON.parse(readFileSync(0, "utf8"))
const analytics = new Analytics({ host, writeKey, flushAt, flushInterval: 100 })
const errors = []
analytics.on("error", (error) => errors.push(String(error.reason ?? error)))
for (const [verb, message] of calls) analytics[verb](message)
await analytics.closeAndFlush({ timeout: 20000 })
console.log(JSON.stringify(errors))
