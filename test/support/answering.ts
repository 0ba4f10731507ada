import { afterEach } from "@effect/vitest"
import { setImmediate } from "node:timers/promises"

// Between tests that wait for nothing the runner has to be heard: it gives a process up that does not answer for a minute.
afterEach(() => setImmediate())
