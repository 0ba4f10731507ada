/** Line ends at the end of what programs and people write. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { withoutLineEnds } from "../../layers/internal/lineEnds.js"
import { output } from "../../layers/SupervisedCommand.js"

describe("the line ends of a text", () => {
  it("are removed at its end only", () => {
    const texts = { "": "", "\n\r\n": "", "a": "a", "a\n": "a", "\r\na\n\n b \r\n\n": "\r\na\n\n b " }
    for (const [text, rest] of Object.entries(texts)) assert.strictEqual(withoutLineEnds(text), rest)
  })

  it("are removed in linear time: ten million of them before a last character are fast", () => {
    const text = `${"\n".repeat(10_000_000)}x`
    assert.isTrue(withoutLineEnds(text) === text)
  })

  it.live("may be many in the output of a command", () =>
    Effect.gen(function*() {
      const shell = "head -c 10000000 /dev/zero | tr '\\0' '\\n'; echo x; echo"
      const value = yield* output({ command: { shell } })
      assert.strictEqual(value.length, 10_000_001)
    }), 60_000)
})
