import type { Rules, Source } from './walls.mjs'
export const HOUSE: Rules
export function trackedFiles(root?: string): Source[]
