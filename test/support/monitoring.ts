import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { parse } from 'yaml'

export interface Dashboard {
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly query: { readonly query?: string } }[] }
  readonly annotations: { readonly list: readonly { readonly expr: string }[] }
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number }
  /** Absent in the title of a row. */
  readonly targets?: readonly { readonly expr: string }[]
}

export interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

export const RULES = join(import.meta.dirname, '../../config/prometheus/rules.yaml')
const DASHBOARD = join(import.meta.dirname, '../../config/grafana/dashboards/larder.json')
const WORDS = new Set(['and', 'or', 'unless', 'offset', 'bool'])

/** Larder's Grafana dashboard. */
export async function readDashboard(): Promise<Dashboard> {
  return JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard
}

/** Larder's rules, those that record and those that alert. */
export async function readRules(): Promise<readonly Rule[]> {
  const { groups } = parse(await readFile(RULES, 'utf8')) as {
    groups: readonly { rules: readonly Rule[] }[]
  }
  return groups.flatMap((group) => group.rules)
}

/** Every PromQL expression of it, with Grafana's variables as they are written. */
export function expressionsOf({ panels, annotations }: Dashboard): string[] {
  const queries = [...panels.flatMap(({ targets = [] }) => targets), ...annotations.list]
  return queries.map(({ expr }) => expr)
}

/** The metrics that a PromQL expression reads, in their order. */
export function namesIn(expression: string): string[] {
  const bare = expression
    .replace(/"(?:[^"\\]|\\.)*"/g, '')
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '')
  const words = bare.match(/(?<![\w:.$])[a-zA-Z_:][\w:]*(?![\w:]|\s*\()/g) ?? []
  return words.filter((word) => !WORDS.has(word))
}

/** The series that a PromQL expression reads: each metric with what stands in its braces. */
export function selectorsIn(expression: string): string[] {
  return [...new Set(namesIn(expression))].flatMap((name) => {
    const selectors = new RegExp(`(?<![\\w:])${name}(?![\\w:])(?:\\{(?:"[^"]*"|[^}"])*\\})?`, 'g')
    return expression.match(selectors) ?? []
  })
}
