/**
 * `npm run test:proof` runs the tests that are too long for `npm test`: the full forms of the tests that are short there.
 * `test/package.test.ts` fails when a file that reads the form of the run is missing below.
 */
import { defineConfig } from "vitest/config"
import base, { proofOnly } from "./vitest.config.js"

export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: [
      ...proofOnly,
      "test/conformance/**/*.test.ts",
      "test/kernel/exploration.test.ts",
      ...["backpressure", "interruption", "opening", "pairs", "window"].map((name) => `test/machine/${name}.test.ts`),
      "test/simulation/simulation.test.ts"
    ].map((path) => path.endsWith(".ts") ? path : `${path}/*.test.ts`),
    exclude: ["test/conformance/recoveryFile.test.ts"],
    // rows without seeds run in `npm test` alone, so that a suite may have no test here
    passWithNoTests: true,
    env: { MEERKAT_TESTS: "proof" }
  }
})
