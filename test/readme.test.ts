import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { inMemory, persistent } from "../examples/hello.js"

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8")

describe("README", () => {
  it("shows the example that the tests run", () => {
    assert.include(read("../README.md"), read("../examples/hello.ts"))
  })

  const expected = ["message 1: 1 new", "message 1: 1 new", "Completed"]

  it.live("its example answers in memory", () =>
    Effect.map(inMemory, (answers) => assert.deepStrictEqual(answers, expected)))

  it.live("its example answers on a file", () =>
    Effect.suspend(() => {
      const folder = mkdtempSync(join(tmpdir(), "meerkat-readme-"))
      return persistent(join(folder, "sessions.db")).pipe(
        Effect.map((answers) => assert.deepStrictEqual(answers, expected)),
        Effect.ensuring(Effect.sync(() => rmSync(folder, { recursive: true })))
      )
    }))
})
