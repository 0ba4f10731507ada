/** Collecting the output of a command: bounded, and by whole characters. */
import { assert, describe, it } from "@effect/vitest"
import { makeCollector, makeTail } from "../../layers/internal/commandOutput.js"

const of = (text: string): Buffer => Buffer.from(text, "utf8")

describe("the output of a command", () => {
  it("is kept up to the limit and dropped as a whole beyond it", () => {
    const kept = makeCollector(4)
    assert.isTrue(kept.push(of("ab")))
    assert.isTrue(kept.push(of("cd")))
    assert.isFalse(kept.overflowed())
    assert.strictEqual(Buffer.from(kept.bytes()).toString(), "abcd")
    assert.isFalse(kept.push(of("e")))
    assert.isTrue(kept.overflowed())
    assert.strictEqual(kept.bytes().byteLength, 0)
    assert.isFalse(kept.push(of("")))
    assert.strictEqual(kept.bytes().byteLength, 0)
  })

  it("is kept from its end, beginning with a whole character", () => {
    const tailOf = (limit: number, ...chunks: ReadonlyArray<string>): string => {
      const tail = makeTail(limit)
      for (const chunk of chunks) tail.push(of(chunk))
      return tail.text()
    }
    assert.strictEqual(tailOf(4, "ab", "cd"), "abcd")
    assert.strictEqual(tailOf(4, "abcdef"), "cdef")
    assert.strictEqual(tailOf(4, "abc", "def"), "cdef")
    // ß has two bytes, 😀 has four. A partial character is left out.
    assert.strictEqual(tailOf(4, "ßabc"), "abc")
    assert.strictEqual(tailOf(5, "ßabc"), "ßabc")
    assert.strictEqual(tailOf(4, "😀b"), "b")
    assert.strictEqual(tailOf(3, "😀b"), "b")
  })
})
