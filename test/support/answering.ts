/** Setup of every test file: yields to the event loop after each test. */
import { afterEach } from "@effect/vitest"
import { setImmediate } from "node:timers/promises"

// The runner gives up a process that does not answer for a minute. Tests that never wait would keep it from answering.
afterEach(() => setImmediate())
