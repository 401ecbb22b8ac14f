// Verifies deliveries, given as JSON on standard input, as a receiver does, and prints the events.
import { createPublicKey, verify } from "node:crypto"
import { readFileSync } from "node:fs"
import { Webhook } from "standardwebhooks"

const ED25519 = Buffer.from("302a300506032b6570032100", "hex") // what stands before such a key in DER (RFC 8410)

const { secret, publicKey, deliveries } = JSON.parse(readFileSync(0, "utf8"))
const key = createPublicKey({
  key: Buffer.concat([ED25519, Buffer.from(publicKey.replace("whpk_", ""), "base64")]), format: "der", type: "spki",
})
const events = deliveries.map(({ headers, body }) => {
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`)
  const [, signature] = headers["webhook-signature"].split(" ").map((one) => one.split(",")).find(([v]) => v === "v1a")
  if (!verify(null, signed, key, Buffer.from(signature, "base64"))) throw new Error("v1a is wrong")
  let refused = false
  try {
    new Webhook(secret).verify(body.replace("}", " }"), headers)
  } catch {
    refused = true
  }
  if (!refused) throw new Error("an altered body was taken")
  return new Webhook(secret).verify(body, headers)
})
console.log(JSON.stringify(events))
