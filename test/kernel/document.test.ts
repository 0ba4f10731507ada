/** The generated reference of the kernel. */
import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { kernelDocument } from "../support/explore/kernelDocument.js"

it("docs/reference/kernel.md matches the transition table (npm run diagram writes it)", () => {
  assert.strictEqual(readFileSync(new URL("../../docs/reference/kernel.md", import.meta.url), "utf8"), kernelDocument())
})
