/**
 * Parts for the authors of stores, loops and kernel tools. They may change in any release, a patch included; programs
 * that compose sessions need `effect-meerkat` alone.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as HandoverLive from "../layers/HandoverLive.js"
/** @since 0.1.0 */
export * as RuntimeLoopLive from "../layers/RuntimeLoopLive.js"
/** @since 0.1.0 */
export * as Handover from "../services/Handover.js"
/** @since 0.1.0 */
export * as RuntimeLoop from "../services/RuntimeLoop.js"
/** @since 0.1.0 */
export * as BoundedText from "./domain/BoundedText.js"
/** @since 0.1.0 */
export * as Command from "./domain/Command.js"
/** @since 0.1.0 */
export * as RuntimeCommit from "./domain/RuntimeCommit.js"
/** @since 0.1.0 */
export * as SessionState from "./domain/SessionState.js"
/** @since 0.1.0 */
export * as Text from "./domain/Text.js"
