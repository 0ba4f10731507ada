import { CoreExecutor, Turn } from "effect-meerkat"
import { Simulation } from "effect-meerkat/testkit"
import * as Effect from "effect/Effect"

// The executor under test; it is built anew for every attachment, and may keep what it likes in its scope.
const executorFor = () =>
  CoreExecutor.make((turn) =>
    Effect.gen(function*() {
      yield* Effect.sleep(`${20 * turn.inputs.length} millis`) // costs nothing: time is simulated
      return Turn.reply(`answer to ${turn.inputs.length}`)
    })
  )

const options = { executorFor, plan: { operations: 10 } }

// A seed decides everything: who runs when, which call of the store fails, when the process dies. It repeats exactly.
export const program = Effect.sync(() => {
  const report = Simulation.simulate(1, options)
  const again = Simulation.simulate(1, options)
  return {
    violations: report.violations, // of what clients were told, what is stored, and what ran
    repeats: report.trace === again.trace,
    restarts: report.restarts > 0,
    ran: (report.tally["run"]?.["output"] ?? 0) > 0
  }
})

export const expected = { violations: [], repeats: true, restarts: true, ran: true }
