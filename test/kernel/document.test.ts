import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { kernelDocument } from "../support/explore/kernelDocument.js"

it("docs/reference/kernel.md is what the table says (npm run diagram)", () => {
  assert.strictEqual(readFileSync(new URL("../../docs/reference/kernel.md", import.meta.url), "utf8"), kernelDocument())
})
