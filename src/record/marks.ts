/**
 * Shell marks (OSC 633) inside the recorded bytes: command line, start, end with exit code, working directory.
 * A convenience layer, not proof: the user can switch it off. A mark counts only with the nonce of this recording,
 * so that a hostile file shown by `cat` cannot invent commands.
 */

export type Mark =
  | { readonly mark: 'A' | 'B' | 'C' }
  | { readonly mark: 'D'; readonly exitCode: number | null }
  | { readonly mark: 'E'; readonly command: string }
  | { readonly mark: 'P'; readonly key: string; readonly value: string }

export type Piece = { readonly kind: 'bytes'; readonly bytes: Uint8Array } | { readonly kind: 'mark'; readonly mark: Mark; readonly raw: Uint8Array }

const ESC = 0x1b
const BEL = 0x07
const PREFIX = [ESC, 0x5d, 0x36, 0x33, 0x33, 0x3b]
/** A command line can be long; something longer than this is not one. */
const LONGEST = 1 << 18

/** Cuts a stream into plain bytes and marks, whatever the sizes of the pieces that it comes in. */
export class MarkParser {
  readonly #nonce: string | null
  #held: number[] = []
  constructor(nonce: string | null) {
    this.#nonce = nonce
  }

  push(data: Uint8Array): Piece[] {
    const out: Piece[] = []
    let plain: number | null = null
    const plainTo = (end: number) => {
      if (plain !== null && end > plain) out.push({ kind: 'bytes', bytes: data.subarray(plain, end) })
      plain = null
    }
    for (let i = 0; i < data.length; i++) {
      const byte = data[i] as number
      if (this.#held.length === 0 && byte !== ESC) {
        plain ??= i
        continue
      }
      plainTo(i)
      this.#step(byte, out)
    }
    plainTo(data.length)
    return out
  }
  /** What is still held back at the end of the stream is plain output. */
  end(): Piece[] {
    const out: Piece[] = []
    this.#release(out)
    return out
  }

  #step(byte: number, out: Piece[]): void {
    const at = this.#held.length
    if (at < PREFIX.length) {
      if (byte === PREFIX[at]) {
        this.#held.push(byte)
        return
      }
      this.#release(out)
      if (byte === ESC) this.#held.push(byte)
      else out.push({ kind: 'bytes', bytes: Uint8Array.of(byte) })
      return
    }
    const afterEsc = this.#held[at - 1] === ESC
    if (afterEsc && byte !== 0x5c) {
      // ESC inside, but no string terminator: the sequence is aborted, and this may begin another one.
      this.#held.pop()
      this.#release(out)
      this.#held.push(ESC)
      this.#step(byte, out)
      return
    }
    this.#held.push(byte)
    if (byte === BEL || afterEsc) this.#finish(afterEsc ? 2 : 1, out)
    else if (byte === 0x18 || byte === 0x1a || this.#held.length > LONGEST) this.#release(out)
  }
  #finish(terminator: number, out: Piece[]): void {
    const raw = Uint8Array.from(this.#held)
    this.#held = []
    const mark = readMark(new TextDecoder().decode(raw.subarray(PREFIX.length, raw.length - terminator)), this.#nonce)
    out.push(mark ? { kind: 'mark', mark, raw } : { kind: 'bytes', bytes: raw })
  }
  #release(out: Piece[]): void {
    if (this.#held.length > 0) out.push({ kind: 'bytes', bytes: Uint8Array.from(this.#held) })
    this.#held = []
  }
}

/** The text of a mark; the last field of each of ours is the nonce. Null: not a mark of this recording. */
function readMark(text: string, nonce: string | null): Mark | null {
  const fields = text.split(';')
  if (nonce === null || fields.pop() !== nonce) return null
  const [kind, ...rest] = fields
  if (kind === 'A' || kind === 'B' || kind === 'C') return { mark: kind }
  if (kind === 'D') return { mark: 'D', exitCode: rest[0] === undefined || !/^\d+$/.test(rest[0]) ? null : Number(rest[0]) }
  if (kind === 'E') return { mark: 'E', command: unescapeMark(rest[0] ?? '') }
  if (kind === 'P') {
    const [key = '', ...value] = (rest[0] ?? '').split('=')
    return { mark: 'P', key, value: unescapeMark(value.join('=')) }
  }
  return null
}

function unescapeMark(text: string): string {
  return text.replace(/\\(\\|x([0-9a-fA-F]{2}))/g, (_, all: string, hex?: string) => (hex === undefined ? all : String.fromCharCode(Number.parseInt(hex, 16))))
}

/** The start file of a recorded bash. `nonce` is hexadecimal. It reads the user's own settings first. */
export function bashRc(nonce: string): string {
  if (!/^[0-9a-f]+$/.test(nonce)) throw new TypeError('the nonce is not hexadecimal')
  return `rm -f -- "\${BASH_SOURCE[0]}"; rmdir -- "\${BASH_SOURCE[0]%/*}" 2>/dev/null
[ -r /etc/bash.bashrc ] && . /etc/bash.bashrc
[ -r ~/.bashrc ] && . ~/.bashrc
# The recording is the history of this shell; secrets typed here do not belong into a second file.
unset HISTFILE HISTTIMEFORMAT
set -o history
__rg_esc() { local s=$1; s=\${s//\\\\/\\\\\\\\}; s=\${s//;/\\\\x3b}; s=\${s//$'\\n'/\\\\x0a}; s=\${s//$'\\a'/\\\\x07}; s=\${s//$'\\e'/\\\\x1b}; printf '%s' "$s"; }
__rg_line() { local h; h=$(HISTTIMEFORMAT= builtin history 1); [[ $h =~ ^[[:space:]]*[0-9]+\\*?[[:space:]]{1,2}(.*)$ ]] && h=\${BASH_REMATCH[1]}; printf '\\e]633;E;%s;%s\\a\\e]633;C;%s\\a' "$(__rg_esc "$h")" ${nonce} ${nonce}; }
__rg_prompt() {
  HISTCONTROL= HISTIGNORE=
  [ -n "$__rg_first" ] && printf '\\e]633;D;%s;%s\\a' "$__rg_e" ${nonce}
  __rg_first=1
  printf '\\e]633;P;Cwd=%s;%s\\a' "$(__rg_esc "$PWD")" ${nonce}
  case $PS1 in *633\\;B*) ;; *) PS1="\\[\\e]633;A;${nonce}\\a\\]$PS1\\[\\e]633;B;${nonce}\\a\\]" ;; esac
  return $__rg_e
}
# On lines of their own: what the person has there may end in a semicolon.
PROMPT_COMMAND="__rg_e=\\$?
\${PROMPT_COMMAND:+$PROMPT_COMMAND
}__rg_prompt"
PS0='$(__rg_line)'
`
}
