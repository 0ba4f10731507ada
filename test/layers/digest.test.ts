/** Digests of conversations and of bytes. */
import { assert, it } from "@effect/vitest"
import { roll, sha256 } from "../../layers/internal/digest.js"
import * as Message from "../../src/domain/Message.js"

const [a, b] = [Message.ofText("user", "a"), Message.ofText("assistant", "b")]

it("the digest of a conversation depends on its messages and their order, not on their grouping", () => {
  const whole = roll(null, [a, b])
  assert.strictEqual(roll(roll(null, [a]), [b]), whole)
  assert.notStrictEqual(roll(null, [b, a]), whole)
  assert.notStrictEqual(roll(null, [a]), whole)
  assert.notStrictEqual(roll(null, [b]), roll(null, [a]))
  assert.strictEqual(roll(whole, []), whole)
  assert.isNull(roll(null, []))
})

it("bytes and text have the same digest", () => {
  assert.strictEqual(sha256("ß"), sha256(new TextEncoder().encode("ß")))
  assert.strictEqual(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
})
