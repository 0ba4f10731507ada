/** @since 0.1.0 */
// @effect-diagnostics nodeBuiltinImport:off
import { createHash } from "node:crypto"
import { Sha256 } from "../../src/domain/Ids.js"
import type { Message } from "../../src/domain/Message.js"

/** SHA-256 of a text or bytes. */
export const sha256 = (data: string | Uint8Array): Sha256 =>
  Sha256.make(createHash("sha256").update(data).digest("hex"))

/**
 * Rolling digest of a conversation: the digest of the head so far and of the message that follows it, so that a turn
 * costs what it appends.
 */
export const roll = (head: Sha256 | null, messages: ReadonlyArray<Message>): Sha256 | null => {
  let current = head
  for (const message of messages) current = sha256(`${current ?? ""}\n${JSON.stringify(message)}`)
  return current
}
