/**
 * Durable, supervised agent sessions. This entry point exports the domain, the services, and the layers without native
 * code. The SQLite store is at `effect-meerkat/sqlite`, the command executor at `effect-meerkat/command`, test doubles
 * and the simulation at `effect-meerkat/testkit`, parts that may change in any release at `effect-meerkat/unstable`.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as BlobStoreMemory from "../layers/BlobStoreMemory.js"
/** @since 0.1.0 */
export * as CommsRuntimeMailbox from "../layers/CommsRuntimeMailbox.js"
/** @since 0.1.0 */
export * as IdGenLive from "../layers/IdGenLive.js"
/** @since 0.1.0 */
export * as MachineAuthorityLive from "../layers/MachineAuthorityLive.js"
/** @since 0.1.0 */
export * as MeerkatMachineLive from "../layers/MeerkatMachineLive.js"
/** @since 0.1.0 */
export * as RuntimeControlPlaneLive from "../layers/RuntimeControlPlaneLive.js"
/** @since 0.1.0 */
export * as RuntimeStoreMemory from "../layers/RuntimeStoreMemory.js"
/** @since 0.1.0 */
export * as BlobStore from "../services/BlobStore.js"
/** @since 0.1.0 */
export * as CommsRuntime from "../services/CommsRuntime.js"
/** @since 0.1.0 */
export * as CoreExecutor from "../services/CoreExecutor.js"
/** @since 0.1.0 */
export * as IdGen from "../services/IdGen.js"
/** @since 0.1.0 */
export * as MachineAuthority from "../services/MachineAuthority.js"
/** @since 0.1.0 */
export * as MeerkatMachine from "../services/MeerkatMachine.js"
/** @since 0.1.0 */
export * as MeerkatMachineConfig from "../services/MeerkatMachineConfig.js"
/** @since 0.1.0 */
export * as RuntimeControlPlane from "../services/RuntimeControlPlane.js"
/** @since 0.1.0 */
export * as RuntimeStore from "../services/RuntimeStore.js"
/** @since 0.1.0 */
export * as RuntimeStoreReader from "../services/RuntimeStoreReader.js"
/** @since 0.1.0 */
export * as SessionComms from "../services/SessionComms.js"
/** @since 0.1.0 */
export * as SessionLlm from "../services/SessionLlm.js"
/** @since 0.1.0 */
export * as SessionLlmReconfigureHost from "../services/SessionLlmReconfigureHost.js"
/** @since 0.1.0 */
export * as SessionOperations from "../services/SessionOperations.js"
/** @since 0.1.0 */
export * as SessionBindings from "../services/SessionBindings.js"
/** @since 0.1.0 */
export * as SessionRuns from "../services/SessionRuns.js"
/** @since 0.1.0 */
export * as SessionTools from "../services/SessionTools.js"
/** @since 0.1.0 */
export * as Turn from "../services/Turn.js"
/** @since 0.1.0 */
export * as Completion from "./domain/Completion.js"
/** @since 0.1.0 */
export * as DrainSlot from "./domain/DrainSlot.js"
/** @since 0.1.0 */
export * as Errors from "./domain/Errors.js"
/** @since 0.1.0 */
export * as ExternalCommand from "./domain/ExternalCommand.js"
/** @since 0.1.0 */
export * as Ids from "./domain/Ids.js"
/** @since 0.1.0 */
export * as Input from "./domain/Input.js"
/** @since 0.1.0 */
export * as InputRecord from "./domain/InputRecord.js"
/** @since 0.1.0 */
export * as Json from "./domain/Json.js"
/** @since 0.1.0 */
export * as LlmIdentity from "./domain/LlmIdentity.js"
/** @since 0.1.0 */
export * as Message from "./domain/Message.js"
/** @since 0.1.0 */
export * as Operation from "./domain/Operation.js"
/** @since 0.1.0 */
export * as Policy from "./domain/Policy.js"
/** @since 0.1.0 */
export * as Receipt from "./domain/Receipt.js"
/** @since 0.1.0 */
export * as RuntimeEvent from "./domain/RuntimeEvent.js"
/** @since 0.1.0 */
export * as RuntimeState from "./domain/RuntimeState.js"
/** @since 0.1.0 */
export * as StoreErrors from "./domain/StoreErrors.js"
/** @since 0.1.0 */
export * as ToolVisibility from "./domain/ToolVisibility.js"
/** The domain types of a turn; the name `Turn` belongs to the module that makes outputs. @since 0.1.0 */
export * as TurnMetadata from "./domain/Turn.js"
/** @since 0.1.0 */
export * as LlmResolution from "./kernel/llmResolution.js"
/** @since 0.1.0 */
export * as VisibleTools from "./kernel/visibleTools.js"
