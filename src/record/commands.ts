import { MarkParser, type Piece } from './marks.ts'
import type { Frame, RecordedCommand, RecordingExit } from './model.ts'

/** Collects the command history from the frames of a recording. */
export class CommandList {
  readonly #marks: MarkParser
  readonly #done: RecordedCommand[] = []
  #cwd: string | null = null
  #open: { command: string; cwd: string | null; start: number } | null = null
  #exit: { at: number; code: number | null } | null = null

  constructor(nonce: string | null) {
    this.#marks = new MarkParser(nonce)
  }
  frame(frame: Frame): void {
    if (frame.type === 'o') for (const piece of this.#marks.push(frame.payload)) this.#piece(piece, frame.at / 1e9)
    if (frame.type === 'x') {
      const exit = JSON.parse(new TextDecoder().decode(frame.payload)) as RecordingExit
      this.#exit = { at: frame.at / 1e9, code: exit.reason === 'exit' ? exit.code : null }
    }
  }
  /** All commands. One that was still open ended with the shell: only `exit` itself gets the shell's exit code. */
  end(lastAt: number): RecordedCommand[] {
    if (this.#open) {
      const left = /^\s*(exit|logout)\b/.test(this.#open.command)
      this.#done.push({ ...this.#open, end: this.#exit?.at ?? lastAt / 1e9, exitCode: left ? (this.#exit?.code ?? null) : null })
      this.#open = null
    }
    return this.#done
  }
  #piece(piece: Piece, at: number): void {
    if (piece.kind === 'bytes') return
    const { mark } = piece
    if (mark.mark === 'E') this.#open = { command: mark.command, cwd: this.#cwd, start: at }
    if (mark.mark === 'P' && mark.key === 'Cwd') this.#cwd = mark.value
    // An empty line at the prompt gives an end without a beginning: not a command.
    if (mark.mark === 'D' && this.#open) {
      this.#done.push({ ...this.#open, end: at, exitCode: mark.exitCode })
      this.#open = null
    }
  }
}
