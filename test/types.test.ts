/** Named types beside a schema, which editors show by name: each equals the type of its schema. */
import { describe, expect, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Completion from "../src/domain/Completion.js"
import * as Message from "../src/domain/Message.js"

// a schema is invariant in its type: a line does not compile if the two types differ
const named: ReadonlyArray<Schema.Schema.All> = [
  Message.MediaData satisfies Schema.Schema<Message.MediaData, typeof Message.MediaData.Encoded>,
  Message.ContentBlock satisfies Schema.Schema<Message.ContentBlock, typeof Message.ContentBlock.Encoded>,
  Message.Message satisfies Schema.Schema<Message.Message, typeof Message.Message.Encoded>,
  Completion.RunResult satisfies Schema.Schema<Completion.RunResult, typeof Completion.RunResult.Encoded>,
  Completion.TurnError satisfies Schema.Schema<Completion.TurnError, typeof Completion.TurnError.Encoded>,
  Completion.CompletionOutcome satisfies Schema.Schema<
    Completion.CompletionOutcome,
    typeof Completion.CompletionOutcome.Encoded
  >
]

describe("a type that is written beside its schema", () => {
  it("is the type of the schema", () => {
    expect(named.every(Schema.isSchema)).toBe(true)
  })
})
