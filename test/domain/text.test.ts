/** Well-formed text: what is refused in names, and repaired in texts and JSON documents. */
import { assert, describe, it } from "@effect/vitest"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Schema from "effect/Schema"
import { SessionId } from "../../src/domain/Ids.js"
import { Name, wellFormed, wellFormedJson } from "../../src/domain/Text.js"

/** Arbitrary UTF-16, including half pairs and NUL. */
const anyText = FastCheck.oneof(FastCheck.string16bits(), FastCheck.fullUnicodeString(), FastCheck.string())

const isRight = <A, I>(schema: Schema.Schema<A, I>, value: unknown) =>
  Either.isRight(Schema.decodeUnknownEither(schema)(value))

/** Returns the text after a conversion to UTF-8 and back. */
const overUtf8 = (text: string): string => new TextDecoder().decode(new TextEncoder().encode(text))

describe("names", () => {
  it("Name accepts a string if and only if it is well formed", () => {
    FastCheck.assert(FastCheck.property(anyText, (text) => isRight(Name, text) === (overUtf8(text) === text)))
  })

  it("SessionId accepts a string if and only if it is well formed, not empty, short and printable", () => {
    FastCheck.assert(FastCheck.property(anyText, (text) => {
      const isName = text !== "" && text.length <= 200 && !/\p{Cc}/u.test(text) && overUtf8(text) === text
      return isRight(SessionId, text) === isName
    }))
  })
})

describe("texts", () => {
  it("wellFormed gives what UTF-8 would give back", () => {
    FastCheck.assert(FastCheck.property(anyText, (text) => wellFormed(text) === overUtf8(text)))
  })

  it("wellFormedJson repairs strings and keys and nothing else", () => {
    const json = FastCheck.letrec((tie) => ({
      value: FastCheck.oneof(
        { maxDepth: 3 },
        anyText,
        FastCheck.integer(),
        FastCheck.array(tie("value"), { maxLength: 3 }),
        FastCheck.array(FastCheck.tuple(anyText, tie("value")), { maxLength: 3 }).map(Object.fromEntries)
      )
    })).value
    FastCheck.assert(FastCheck.property(json, (value) => {
      const text = JSON.stringify(value)
      const repaired = wellFormedJson(text)
      assert.deepStrictEqual(
        JSON.parse(repaired),
        JSON.parse(text.replace(/\\\\|\\u(d[89a-f]..)/g, (all, half) => half === undefined ? all : "\\ufffd"))
      )
    }))
  })

  it("wellFormedJson leaves escapes of pairs and escaped backslashes alone", () => {
    for (const text of ["\"\\ud83d\\ude00\"", "\"\\\\ud83d\"", "\"\\\\\\\\ud83d \\n\"", "\"\\u00e9\""]) {
      assert.strictEqual(wellFormedJson(text), text)
    }
    assert.strictEqual(wellFormedJson("\"\\\\\\ud83d\\uD83D\\udE00\\uDE00\""), "\"\\\\\\ufffd\\uD83D\\udE00\\ufffd\"")
  })
})
