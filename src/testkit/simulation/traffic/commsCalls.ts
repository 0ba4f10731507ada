/**
 * The simulation's calls of the comms surface.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { CommsRuntime } from "../../../../services/CommsRuntime.js"
import { CommsFailed } from "../../../../services/CommsRuntime.js"
import type { CommsControl, SessionComms } from "../../../../services/SessionComms.js"
import type { SessionId } from "../../../domain/Ids.js"
import type { Crew } from "../Crew.js"
import { count } from "../Journal.js"
import type { Call } from "./Call.js"
import { patient, untilDrained } from "./Patience.js"

/**
 * Inboxes whose transport fails now and then. Each is the same object every time, because runtimes are compared by
 * identity.
 */
const flaky = new WeakMap<CommsRuntime, CommsRuntime>()

const inbox = ({ inboxes, world }: Crew, id: SessionId): CommsRuntime => {
  const mailbox = world.dice.pick(inboxes(id))
  if (!world.dice.hit(0.3)) return mailbox
  const known = flaky.get(mailbox)
  if (known !== undefined) return known
  const failing: CommsRuntime = {
    next: Effect.suspend(() => world.dice.hit(0.2) ? new CommsFailed({ detail: "simulated" }) : mailbox.next),
    confirm: mailbox.confirm
  }
  flaky.set(mailbox, failing)
  return failing
}

/** Puts an input into an inbox for the drain to find, or rarely dismisses it. */
const filled = (crew: Crew, id: SessionId): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { inboxes, world: { dice, journal } } = crew
    const mailbox = dice.pick(inboxes(id))
    count(journal, "inbox", "sent")
    if (dice.hit(0.03)) return mailbox.dismiss
    const peer = { peerId: "7d8f3f0e-4a54-4f0a-9b7e-0f6a3ad3c003" }
    return Effect.asVoid(mailbox.tell(
      peer,
      "from a peer",
      dice.pick([
        { type: "message" } as const,
        { type: "request", requestId: "r", intent: "x" } as const
      ])
    ))
  })

const attach = (crew: Crew, id: SessionId) => {
  const { dice } = crew.world
  return crew.machine.updatePeerIngressContext(id, {
    keepAlive: dice.hit(0.85),
    mode: dice.pick(["persistentHost", "timed", "attachedSession"]),
    ...(dice.hit(0.9) ? { commsRuntime: inbox(crew, id) } : {}),
    ...(dice.hit(0.15) ? { mobId: dice.pick(["m1", "m2"]) } : {})
  })
}

/** Every comms method of the machine. @since 0.1.0 @category traffic */
export const commsCalls: Record<keyof CommsControl, Call> = {
  updatePeerIngressContext: (crew, id) => Effect.zipRight(filled(crew, id), Effect.suspend(() => attach(crew, id))),
  notifyCommsDrainExited: ({ machine, world }, id) =>
    Effect.suspend(() =>
      machine.notifyCommsDrainExited(
        id,
        world.dice.pick(["idleTimeout", "dismissed", "failed", "aborted", "sessionShutdown"])
      )
    ),
  abortCommsDrain: ({ machine }, id) => machine.abortCommsDrain(id),
  abortCommsDrains: ({ machine }) => machine.abortCommsDrains,
  waitCommsDrain: (crew, id) =>
    patient(
      crew.world,
      { method: "machine.waitCommsDrain", sessionId: id, waits: untilDrained(crew, id) },
      crew.machine.waitCommsDrain(id)
    ),
  sessionHasComms: ({ machine }, id) => machine.sessionHasComms(id),
  peerIngressOwner: ({ machine }, id) => machine.peerIngressOwner(id)
}

/** Every comms method of a handle. @since 0.1.0 @category traffic */
export const handleCommsCalls: Record<keyof SessionComms, Call> = {
  attach: (crew, id) =>
    Effect.zipRight(filled(crew, id), Effect.suspend(() => crew.machine.session(id).comms.attach(inbox(crew, id)))),
  detach: ({ machine }, id) => machine.session(id).comms.detach,
  abort: ({ machine }, id) => machine.session(id).comms.abort,
  wait: (crew, id) =>
    patient(
      crew.world,
      { method: "session.comms.wait", sessionId: id, waits: untilDrained(crew, id) },
      crew.machine.session(id).comms.wait
    ),
  owner: ({ machine }, id) => machine.session(id).comms.owner,
  attached: ({ machine }, id) => machine.session(id).comms.attached
}
