import { writeFileSync } from "node:fs"

/** A test that only some systems can run names them in its title. Any other skipped test counts as a failure. */
const mayBeSkipped = / \(where .+\)$/

const say = (what, module, test) => process.stderr.write(`${what}: ${module.moduleId}: ${test.fullName}\n`)

/**
 * A vitest reporter that only tells how many tests passed and how many failed. A file or suite that could not run, an
 * error outside any test, and a test that did not run count as failures. It writes to the file named by TEST_SUMMARY, or
 * prints.
 */
export default class Report {
  onTestRunEnd(modules, unhandledErrors) {
    const count = { passed: 0, failed: unhandledErrors.length }
    for (const module of modules) {
      count.failed += module.errors().length
      for (const suite of module.children.allSuites()) count.failed += suite.errors().length
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === "passed") count.passed++
        else if (state === "skipped" && mayBeSkipped.test(test.name)) say("cannot run here", module, test)
        else {
          count.failed++
          if (state === "skipped") say("skipped", module, test)
        }
      }
    }
    const line = `${count.passed} passed, ${count.failed} failed\n`
    if (process.env.TEST_SUMMARY) writeFileSync(process.env.TEST_SUMMARY, line)
    else process.stdout.write(line)
  }
}
