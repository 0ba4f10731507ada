/** Writes the kernel's table, phase matrix and state diagrams into docs/reference/kernel.md, from the rows that run. */
import { readFileSync, writeFileSync } from "node:fs"
import { kernelDocument } from "../test/support/explore/kernelDocument.js"

const path = new URL("../docs/reference/kernel.md", import.meta.url)
const text = kernelDocument()
if (process.argv.includes("--check")) {
  const current = readFileSync(path, "utf8") === text
  console.log(
    current ? "docs/reference/kernel.md is current" : "docs/reference/kernel.md is out of date: run `npm run diagram`"
  )
  process.exitCode = current ? 0 : 1
} else {
  writeFileSync(path, text)
}
