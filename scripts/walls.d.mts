export interface Source { readonly path: string; readonly text: string }
export interface Finding { readonly rule: string; readonly path: string; readonly line: number; readonly text: string }
export type Rules = Readonly<Record<string, (files: readonly Source[]) => Omit<Finding, 'rule'>[]>>
export const WALLS: Rules
export function findings(rules: Rules, files: readonly Source[]): Finding[]
export function isTest(path: string): boolean
