/**
 * The simulation's calls of the control plane.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { RuntimeControlPlane } from "../../../../services/RuntimeControlPlane.js"
import type { SessionId } from "../../../domain/Ids.js"
import { runtimeIdOf } from "../../../domain/Ids.js"
import type { Crew } from "../Crew.js"
import { answered } from "../Crew.js"
import { count } from "../Journal.js"
import type { Call } from "./Call.js"
import { destroying, fieldsOf, runOf, withInput } from "./Call.js"

/** Returns the runtime id, and now and then the bare session id, which must be refused. */
const addressOf = ({ world: { dice } }: Crew, id: SessionId): string => dice.hit(0.05) ? id : runtimeIdOf(id)

/** Every method of the control plane; see `machineCalls`. @since 0.1.0 @category traffic */
export const controlCalls: Record<keyof RuntimeControlPlane["Type"], Call> = {
  ingest: (crew, id) =>
    Effect.map(
      withInput(crew, id, (input) => crew.control.ingest(addressOf(crew, id), input)),
      ([input, outcome]) => {
        if (outcome._tag !== "Rejected") return answered(crew, id, outcome, fieldsOf(input))
        count(crew.world.journal, "accept", "Rejected")
        const noted = crew.world.journal.inputs.get(input.header.id)
        if (noted !== undefined) noted.answer = "refused"
      }
    ),
  publishEvent: (crew, id) => crew.control.publishEvent(addressOf(crew, id), { kind: "simulated", payload: 1 }),
  retire: (crew, id) => crew.control.retire(addressOf(crew, id)),
  recycle: (crew, id) => crew.control.recycle(addressOf(crew, id)),
  reset: (crew, id) => crew.control.reset(addressOf(crew, id)),
  recover: (crew, id) => crew.control.recover(addressOf(crew, id)),
  destroy: (crew, id) => destroying(crew, "control.destroy", id, crew.control.destroy(addressOf(crew, id))),
  runtimeState: (crew, id) => crew.control.runtimeState(addressOf(crew, id)),
  loadBoundaryReceipt: (crew, id) =>
    Effect.suspend(() => crew.control.loadBoundaryReceipt(addressOf(crew, id), runOf(crew, id), 0))
}
