// @effect-diagnostics nodeBuiltinImport:off
/** Bounded texts: cut in the middle, by whole characters, and counted in UTF-8. */
import { assert, describe, it } from "@effect/vitest"
import * as fc from "effect/FastCheck"
import { Buffer } from "node:buffer"
import { beginning, bounded, ending, maxReasonBytes, utf8Bytes } from "../../src/domain/BoundedText.js"

const texts = fc.string({ unit: "grapheme", maxLength: 400 })
const limits = fc.integer({ min: 0, max: 300 })

describe("a bounded text", () => {
  it("is the text itself when it fits", () =>
    fc.assert(fc.property(texts, (text) => {
      assert.strictEqual(bounded(text, Buffer.byteLength(text)), text)
    })))

  it("has at most `limit` bytes, all of whole characters", () =>
    fc.assert(fc.property(texts, limits, (text, limit) => {
      const cut = bounded(text, limit)
      assert.isAtMost(Buffer.byteLength(cut), limit)
      assert.strictEqual(Buffer.from(cut).toString(), cut)
    })))

  it("says how many bytes are left out between its beginning and its end", () =>
    fc.assert(fc.property(texts, fc.integer({ min: 40, max: 300 }), (text, limit) => {
      const match = /^([^]*) \.\.\.\[(\d+) bytes left out\]\.\.\. ([^]*)$/.exec(bounded(text, limit))
      if (Buffer.byteLength(text) <= limit || match === null) return
      const [, head = "", left = "", tail = ""] = match
      assert.isTrue(text.startsWith(head) && text.endsWith(tail))
      assert.strictEqual(Buffer.byteLength(head) + Number(left) + Buffer.byteLength(tail), Buffer.byteLength(text))
    })))

  it("is not cut again", () =>
    fc.assert(fc.property(texts, limits, (text, limit) => {
      const once = bounded(text, limit)
      assert.strictEqual(bounded(once, limit), once)
    })))

  it("keeps both ends of 20 MiB within 16 KiB", () => {
    const cut = bounded(`BEGIN${"😀".repeat(5 * 1024 * 1024)}END`)
    assert.isAtMost(Buffer.byteLength(cut), maxReasonBytes)
    assert.isAtLeast(Buffer.byteLength(cut), maxReasonBytes - 16)
    assert.match(cut, /^BEGIN(?:😀)+ \.\.\.\[\d+ bytes left out\]\.\.\. (?:😀)+END$/u)
  })

  it("counts an unpaired surrogate as three bytes", () => {
    for (const text of ["\ud800", "a\udc00b", "\ud83d\ud83d\ude00"]) {
      assert.strictEqual(utf8Bytes(text), Buffer.byteLength(text))
    }
  })

  it("begins and ends with as many characters as fit", () => {
    assert.deepStrictEqual([beginning("é😀x", 5), beginning("é😀x", 6)], ["é", "é😀"])
    assert.deepStrictEqual([ending("x😀é", 5), ending("x😀é", 6)], ["é", "😀é"])
  })
})
