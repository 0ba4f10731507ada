/** Line ends at the end of what programs and people write. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { withoutLineEnds } from "../../layers/internal/lineEnds.js"
import { output } from "../../layers/SupervisedCommand.js"

/** Milliseconds that something took. */
const timed = <A, E>(self: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const before = yield* Clock.currentTimeMillis
    const value = yield* self
    return { value, took: (yield* Clock.currentTimeMillis) - before }
  })

describe("the line ends of a text", () => {
  it("are dropped at its end, and nowhere else", () => {
    const texts = { "": "", "\n\r\n": "", "a": "a", "a\n": "a", "\r\na\n\n b \r\n\n": "\r\na\n\n b " }
    for (const [text, rest] of Object.entries(texts)) assert.strictEqual(withoutLineEnds(text), rest)
  })

  it.live("a million of them and a character after them take no noticeable time", () =>
    Effect.gen(function*() {
      const text = `${"\n".repeat(1_000_000)}x`
      const { took, value } = yield* timed(Effect.sync(() => withoutLineEnds(text)))
      assert.strictEqual(value, text)
      assert.isBelow(took, 1_000)
    }))

  it.live("what a command writes may have many", () =>
    Effect.gen(function*() {
      const shell = "head -c 100000 /dev/zero | tr '\\0' '\\n'; echo x; echo"
      const { took, value } = yield* timed(output({ command: { shell } }))
      assert.strictEqual(value.length, 100_001)
      assert.isBelow(took, 5_000)
    }))
})
