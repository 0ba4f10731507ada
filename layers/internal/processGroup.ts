/**
 * One command in a process group of its own, beside a watcher that ends the group when this process is gone.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
// @effect/platform's Command knows neither process groups nor further descriptors
// @effect-diagnostics-next-line nodeBuiltinImport:off
import { type ChildProcess, spawn } from "node:child_process"
import { Socket } from "node:net"
import { CommandNotStarted } from "../../src/domain/ExternalCommand.js"
import { countMembers } from "./groupMembers.js"
import { until } from "./pauses.js"

/** @since 0.1.0 @category models */
export interface GroupOptions {
  /** path of the program and its arguments; the path is not searched for */
  readonly argv: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string | undefined
  /** what the watcher leaves between SIGTERM and SIGKILL when this process is gone, in milliseconds */
  readonly graceMs: number
}

/** Exactly one of the two is set, as the kernel reported it. @since 0.1.0 @category models */
export interface GroupExit {
  readonly exitCode: number | null
  readonly signal: string | null
}

/** @since 0.1.0 @category models */
export interface ProcessGroup {
  readonly stdin: Socket
  readonly stdout: Socket
  readonly stderr: Socket
  /** How the command itself ended; others of its group may go on. */
  readonly exited: Effect.Effect<GroupExit>
  /** Whether the watcher was forked; without it the command was not started. */
  readonly wasGuarded: () => boolean
  /** SIGKILL to the whole group, now, without waiting. */
  readonly kill: () => void
  /**
   * Ends whatever lives in the group and waits for it: SIGTERM, SIGKILL after `graceMs` or as soon as nobody is left
   * to wait for; 0 goes straight to SIGKILL. Takes at most `graceMs` and a few seconds; closes the streams.
   */
  readonly terminate: (graceMs: number) => Effect.Effect<void>
}

/**
 * Starts a command. The caller must run `terminate`, whatever happens.
 *
 * The leader of the group starts as `/bin/sh`, forks the watcher and becomes the command, so that the exit status is
 * the kernel's word to us. The watcher stays in the group, reads the lifeline of which only this process has the other
 * end, and at its end sends SIGTERM and, after the grace, SIGKILL to its own group: to "0", never to a number. It is
 * forked twice, since a command that waits for all its children would wait for it for ever.
 *
 * Limits:
 * - What leaves the group (`setsid`, `setpgid`, a shell's `set -m`, Node's `detached`) is out of reach.
 * - A group that stops itself (SIGSTOP) stops the watcher too; it is then ended by this process or not at all.
 * - The watcher is left to init. Where this process is process 1 of a container without an init, each command leaves
 *   one zombie.
 * - Node's pipes are socket pairs: opening `/dev/stdin` or `/dev/stderr` by name fails on Linux (`cat |` helps).
 * - Some shells drop variables whose names are no identifiers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = (options: GroupOptions): Effect.Effect<ProcessGroup, CommandNotStarted> =>
  Effect.async((resume) => {
    const child = Either.try({ try: () => launch(options), catch: notStarted(options) })
    if (Either.isLeft(child)) return resume(Effect.fail(child.left))
    child.right.on("error", (cause) => resume(Effect.fail(notStarted(options)(cause))))
    const group = attach(child.right)
    if (group !== undefined) child.right.once("spawn", () => resume(Effect.succeed(group)))
  })

// --- internal ---

const shell = "/bin/sh"

/** What SIGKILL may take, in milliseconds, before the wait ends; only a process stuck in the kernel takes long. */
const killWaitMs = 2_000
/** How long, in milliseconds, a stream is read on when what holds it open has left the group. */
const drainMs = 200

/**
 * 3 is the lifeline, 4 is open as long as the watcher lives. Signals are ignored before the watcher is forked, never in the
 * shell that becomes the command, which would pass that on. A subshell in the background must not keep the command's
 * streams open, the command must not see 3 and 4. Without a watcher, or a reader of "up", there is no command.
 */
const script = `
(
  trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2
  {
    while read -r order; do
      case $order in
        SIGTERM) kill -TERM 0 ;;
        SIGKILL) kill -KILL 0 ;;
      esac
    done
    kill -TERM 0
    PATH=/usr/bin:/bin:$PATH
    sleep "$1"
    kill -KILL 0
  } <&3 3<&- >&4 4>&- 2>&- &
) && echo up >&4 || exit 125
shift
exec 3<&- 4>&-
exec "$@"
`

const launch = (options: GroupOptions): ChildProcess =>
  spawn(shell, ["-c", script, "meerkat", (options.graceMs / 1000).toFixed(3), ...options.argv], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ["pipe", "pipe", "pipe", "pipe", "pipe"]
  })

const notStarted = (options: GroupOptions) => (cause: unknown) => {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "UNKNOWN"
  const text = cause instanceof Error ? cause.message : String(cause)
  const detail = code === "ENOENT" ? `${options.cwd ?? "the working directory"} or ${shell} does not exist` : text
  return new CommandNotStarted({ program: options.argv[0] ?? "", code, detail })
}

interface Pipes {
  readonly stdin: Socket
  readonly stdout: Socket
  readonly stderr: Socket
  readonly lifeline: Socket
  readonly report: Socket
}

/** None when the system had no descriptors left; the error event tells. */
const pipesOf = (child: ChildProcess): Pipes | undefined => {
  const [stdin, stdout, stderr, lifeline, report] = (child.stdio ?? []).filter((pipe) => pipe instanceof Socket)
  return report === undefined || lifeline === undefined || stderr === undefined || stdout === undefined ||
      stdin === undefined
    ? undefined
    : { stdin, stdout, stderr, lifeline, report }
}

/** Every listener is in place before the first event can come. */
const attach = (child: ChildProcess): ProcessGroup | undefined => {
  const pipes = pipesOf(child)
  const pid = child.pid
  if (pipes === undefined || pid === undefined) return undefined
  const state: State = {
    pid,
    pipes,
    exited: Deferred.unsafeMake(FiberId.none),
    watcherGone: Deferred.unsafeMake(FiberId.none),
    drained: Deferred.unsafeMake(FiberId.none),
    isReaped: () => child.exitCode !== null || child.signalCode !== null
  }
  let guarded = false
  child.once("exit", (exitCode, signal) => settle(state.exited, { exitCode, signal }))
  // a reader that has gone is the business of the exit status, not of the stream
  Object.values(pipes).forEach((pipe: Socket) => pipe.on("error", () => {}))
  pipes.report.once("data", () => {
    guarded = true
  })
  pipes.report.once("close", () => {
    settle(state.watcherGone, undefined)
    // a command whose watcher was killed does not go on; by number only while that is certainly ours
    if (!state.isReaped()) killByNumber(pid, "SIGKILL")
  })
  onBothClosed(pipes, () => settle(state.drained, undefined))
  return {
    stdin: pipes.stdin,
    stdout: pipes.stdout,
    stderr: pipes.stderr,
    exited: Deferred.await(state.exited),
    wasGuarded: () => guarded,
    kill: () => signalGroup(state, "SIGKILL"),
    terminate: (graceMs) => terminate(state, graceMs)
  }
}

interface State {
  readonly pid: number
  readonly pipes: Pipes
  readonly exited: Deferred.Deferred<GroupExit>
  readonly watcherGone: Deferred.Deferred<void>
  readonly drained: Deferred.Deferred<void>
  readonly isReaped: () => boolean
}

type Signal = "SIGTERM" | "SIGKILL"

const settle = <A>(deferred: Deferred.Deferred<A>, value: A) => Deferred.unsafeDone(deferred, Effect.succeed(value))

const onBothClosed = ({ stderr, stdout }: Pipes, then: () => void) => {
  stdout.once("close", () => stderr.closed ? then() : undefined)
  stderr.once("close", () => stdout.closed ? then() : undefined)
}

/** Nobody there, or only zombies: what was to be reached is reached. */
const killByNumber = (pid: number, signal: Signal) => {
  Either.try(() => process.kill(-pid, signal))
}

/**
 * By number while the leader is our child and not reaped, for then the number can be nobody else's; afterwards through
 * the watcher, which needs none.
 */
const signalGroup = (state: State, signal: Signal) => {
  if (!state.isReaped()) killByNumber(state.pid, signal)
  else if (!state.pipes.lifeline.destroyed) state.pipes.lifeline.write(`${signal}\n`)
}

/** Whether only the watcher is left, as far as can be known: where nobody can say, closed streams have to do. */
const isQuiet = (state: State): boolean =>
  state.isReaped() &&
  (countMembers(state.pid) ?? (state.pipes.stdout.closed && state.pipes.stderr.closed ? 1 : 2)) <= 1

const terminate = (state: State, graceMs: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    const quiet = isQuiet(state)
    if (!quiet && graceMs > 0) {
      signalGroup(state, "SIGTERM")
      // no event tells that a stranger has ended
      yield* within(Effect.zipRight(Deferred.await(state.exited), until(() => isQuiet(state))), graceMs)
    }
    signalGroup(state, "SIGKILL")
    const gone = Effect.zipRight(Deferred.await(state.watcherGone), Deferred.await(state.exited))
    if (!(yield* within(gone, killWaitMs))) {
      // the watcher does not answer (stopped?), but as long as it holds its pipe the number is still the group's
      if (!state.pipes.report.closed) killByNumber(state.pid, "SIGKILL")
      yield* within(gone, killWaitMs)
    }
    // killed is not yet dead: the signal is there, the processes end a little later
    if (!quiet) yield* within(until(() => (countMembers(state.pid) ?? 0) === 0), killWaitMs)
    yield* within(Deferred.await(state.drained), drainMs)
    Object.values(state.pipes).forEach((pipe: Socket) => pipe.destroy())
  })

/** Waits for an effect at most so many milliseconds, also where the fiber itself cannot be interrupted. */
const within = <A>(self: Effect.Effect<A>, limitMs: number): Effect.Effect<boolean> =>
  Effect.interruptible(self).pipe(
    Effect.timeoutTo({ duration: limitMs, onSuccess: () => true, onTimeout: () => false })
  )
