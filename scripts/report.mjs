import { writeFileSync } from "node:fs"

/**
 * A vitest reporter that says one thing: how many tests passed and how many failed. A file or suite that could not
 * run and an error outside any test count as failures. Writes to the file named by TEST_SUMMARY, else prints.
 */
export default class Report {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length }
    for (const module of modules) {
      count.failed += module.errors().length
      for (const suite of module.children.allSuites()) count.failed += suite.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === "passed" || state === "failed") count[state]++
        else if (state === "pending") count.failed++
      }
    }
    const line = `${count.passed} passed, ${count.failed} failed\n`
    if (process.env.TEST_SUMMARY) writeFileSync(process.env.TEST_SUMMARY, line)
    else process.stdout.write(line)
  }
}
