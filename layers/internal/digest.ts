/**
 * The digests of the conversation. The run code rolls one over each message that a turn appends.
 *
 * @since 0.1.0
 */
// @effect-diagnostics nodeBuiltinImport:off
import { createHash } from "node:crypto"
import { Sha256 } from "../../src/domain/Ids.js"
import type { Message } from "../../src/domain/Message.js"

/** Returns the SHA-256 of a text or of bytes. */
export const sha256 = (data: string | Uint8Array): Sha256 =>
  Sha256.make(createHash("sha256").update(data).digest("hex"))

/**
 * Rolls the digest of a conversation over the messages that follow. Each step digests the head and one message, so the
 * cost of a turn is proportional to what it appends.
 */
export const roll = (head: Sha256 | null, messages: ReadonlyArray<Message>): Sha256 | null => {
  let current = head
  for (const message of messages) current = sha256(`${current ?? ""}\n${JSON.stringify(message)}`)
  return current
}
