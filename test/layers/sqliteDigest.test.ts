/** Digests that are bound to the place of their row. */
import { assert, it } from "@effect/vitest"
import { bind, matches, sha256 } from "../../layers/internal/sqlite/digest.js"

const text = "a row"
const places = [[0, 0], [1, 0], [0, 1], [2 ** 32, 0], [2 ** 40 + 1, 0], [-1, 0]]

it("a digest matches only its bytes in their place", () => {
  for (const place of places) {
    const digest = bind(sha256(text), place)
    for (const other of places) {
      assert.strictEqual(matches(text, digest, other), other === place, `${place.join()} at ${other.join()}`)
    }
    assert.isFalse(matches("another", digest, place))
  }
  assert.isFalse(matches(text, null, [0]))
  assert.isFalse(matches(text, "", [0]))
})

it("bind returns a copy", () => {
  const plain = sha256(text)
  bind(plain, [7])
  assert.deepStrictEqual(plain, sha256(text))
})
