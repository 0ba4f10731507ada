/**
 * Shows the progress of turns on a terminal: one line that is redrawn. Without a terminal it shows nothing.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { MeerkatMachineService } from "../../services/MeerkatMachine.js"
import type { SessionId } from "../domain/Ids.js"
import type { RuntimeEvent } from "../domain/RuntimeEvent.js"
import { visible } from "./output.js"

/** The progress display of one program run. @since 0.1.0 @category models */
export interface Progress {
  /** prints a line for the user, above the progress line */
  readonly note: (text: string) => Effect.Effect<void>
  /** forwards the executor's standard error; null without a terminal */
  readonly onStderr: ((text: string) => void) | null
  /** follows a registered session until the scope ends */
  readonly follow: (machine: MeerkatMachineService, sessionId: SessionId) => Effect.Effect<void, never, Scope.Scope>
}

/** Makes the progress display. @since 0.1.0 @category constructors */
export const make: Effect.Effect<Progress, never, Scope.Scope> = Effect.gen(function*() {
  const isTerminal = process.stderr.isTTY === true
  const startedAt = yield* Clock.currentTimeMillis
  const bar: Bar = { label: null, frame: 0, shown: false }
  const clear = () => {
    if (bar.shown) process.stderr.write("\r\u001b[K")
    bar.shown = false
  }
  const write = (text: string) => {
    clear()
    process.stderr.write(text)
  }
  const note = (text: string) => Effect.sync(() => write(`${visible(text)}\n`))
  yield* Effect.addFinalizer(() => Effect.sync(clear))
  if (isTerminal) {
    const draw = Effect.map(Clock.currentTimeMillis, (now) => {
      if (bar.label === null) return
      bar.shown = true
      process.stderr.write(`\r${frames[bar.frame++ % frames.length]} ${bar.label} ${seconds(now - startedAt)}\u001b[K`)
    })
    yield* Effect.forkScoped(Effect.repeat(draw, Schedule.spaced("120 millis")))
  }
  return {
    note,
    onStderr: isTerminal ? write : null,
    follow: (machine, sessionId) =>
      machine.runtimeEvents(sessionId).pipe(
        Stream.runForEach((feed) =>
          feed._tag === "Event" ? tell(bar, note, sessionId, feed.envelope.event) : Effect.void
        ),
        Effect.ignore,
        Effect.forkScoped,
        Effect.asVoid
      )
  }
})

// --- internal ---

interface Bar {
  label: string | null
  frame: number
  shown: boolean
}

const frames = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"]

const seconds = (ms: number): string => `${Math.floor(ms / 1000)}s`

const tell = (
  bar: Bar,
  note: Progress["note"],
  sessionId: SessionId,
  event: RuntimeEvent
): Effect.Effect<void> => {
  switch (event._tag) {
    case "InputStaged":
      bar.label = `${sessionId}: running${event.attempt > 1 ? `, attempt ${event.attempt}` : ""}`
      return Effect.void
    case "RunFailed":
      bar.label = `${sessionId}: waiting`
      return event.willRetry ? note(`attempt failed, meerkat tries again: ${event.detail}`) : Effect.void
    case "RunCompleted":
    case "RunCancelled":
      bar.label = null
      return Effect.void
    default:
      return Effect.void
  }
}
