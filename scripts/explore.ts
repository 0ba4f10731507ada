/**
 * Explores the kernel: every state of each slice, every predicate in it, every row and guard. Exits with 1 if a state
 * is unsound or stuck, or a row or guard is dead. `--slice TEXT` explores the slices whose name contains the text;
 * `--write` updates docs/verification/exploration.md.
 */
import { writeFileSync } from "node:fs"
import { performance } from "node:perf_hooks"
import { Coverage } from "../test/support/explore/coverage.js"
import { failures, markdown, parts, summary } from "../test/support/explore/report.js"
import * as Options from "./options.js"

const options = Options.read({ texts: ["slice"], flags: ["write"] })
const only = options.text("slice") ?? ""
const coverage = new Coverage()
const began = performance.now()

const chosen = parts(coverage).filter(({ name }) => name.includes(only))
if (chosen.length === 0) {
  Options.refuse(`no slice has "${only}" in its name: ${parts(coverage).map(({ name }) => name).join("; ")}`)
}
const slices = chosen.map(({ explore }) => {
  const from = performance.now()
  const walking = explore()
  let step = walking.next()
  while (step.done !== true) step = walking.next()
  const findings = step.value
  console.log(summary(findings, (performance.now() - from) / 1000))
  return findings
})

// rows and guards are counted over all slices
const whole = only === ""
const broken = failures({ slices, coverage }).filter((failure) =>
  whole || slices.some(({ slice }) => failure.startsWith(`${slice}: `))
)
for (const failure of broken) console.log(`BROKEN ${failure}`)
if (whole && options.has("write")) {
  writeFileSync(new URL("../docs/verification/exploration.md", import.meta.url), markdown({ slices, coverage }))
}
console.log(`${slices.length} slices, ${broken.length} broken, ${((performance.now() - began) / 1000).toFixed(1)} s`)
process.exitCode = broken.length === 0 ? 0 : 1
