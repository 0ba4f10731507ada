/**
 * `npm test` runs every test outside of `proofOnly`; long tests run in their short form (`test/support/worlds.ts`).
 * Files share a process per worker: loading Effect costs more than most files take.
 */
import { fileURLToPath } from "node:url"
import { defineConfig } from "vitest/config"

const source = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** Files that only `npm run test:proof` runs. */
export const proofOnly = [
  "test/torture/**",
  "test/mutate/**",
  "test/simulation/mutants.test.ts",
  "test/cli/resume.test.ts",
  "test/cli/held.test.ts"
]

export default defineConfig({
  // Examples import the package by name; tests run them on the sources.
  resolve: {
    alias: [
      { find: /^effect-meerkat$/, replacement: source("./src/index.ts") },
      { find: /^effect-meerkat\/sqlite$/, replacement: source("./layers/RuntimeStoreSqlite.ts") },
      { find: /^effect-meerkat\/command$/, replacement: source("./layers/CoreExecutorCommand.ts") },
      { find: /^effect-meerkat\/testkit$/, replacement: source("./src/testkit/index.ts") },
      { find: /^effect-meerkat\/unstable$/, replacement: source("./src/unstable.ts") },
      { find: /^effect-meerkat\/domain\/(\w+)$/, replacement: source("./src/domain/$1.ts") },
      { find: /^effect-meerkat\/(services|layers)\/(\w+)$/, replacement: source("./$1/$2.ts") }
    ]
  },
  test: {
    include: ["test/**/*.test.ts"],
    exclude: proofOnly,
    setupFiles: ["./test/support/setup.ts", "./test/support/answering.ts"],
    // Simulations and real processes take their time on a busy machine; nothing here measures time by a timeout.
    testTimeout: 120_000,
    pool: "forks",
    poolOptions: { forks: { minForks: 1, maxForks: 2, isolate: false } },
    fakeTimers: { toFake: undefined }
  }
})
