import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import UPlot from 'uplot'

import { clock } from '../format.js'
import { html } from '../html.js'

/** Where an axis of bytes may have its lines: 1, 2, 4 … 512 of each unit. */
const BINARY_STEPS = Array.from({ length: 60 }, (_, power) => 2 ** power)

/**
 * One row of a chart. Those of bars are stacked, the first at the bottom.
 *
 * @typedef {object} Series
 * @property {string} label
 * @property {string} color the name of a custom property of CSS
 * @property {readonly (number | null)[]} values
 */

/**
 * What happened over time. `times` are epoch milliseconds, `null` is a time that nothing is known of.
 *
 * @param {{ times: readonly number[], series: readonly Series[], format: (value: number) => string, kind: 'bars' | 'lines', label: string, isBytes?: boolean, height?: number, floor?: number, total?: 'sum' | 'last' }} props
 */
export function Chart({
  times,
  series,
  format,
  kind,
  label,
  isBytes = false,
  height = 190,
  floor = 0,
  total = 'sum',
}) {
  const box = useRef(/** @type {HTMLElement | null} */ (null))
  const plot = useRef(/** @type {UPlot | undefined} */ (undefined))
  const [at, setAt] = useState(/** @type {number | undefined} */ (undefined))
  // Pointing at it draws nothing anew.
  const data = useMemo(() => dataOf(times, series, kind), [times, series, kind])
  const latest = useRef(data)
  latest.current = data
  const names = series.map((one) => one.label).join()
  // Made anew only for other rows; values are handed over below.
  useEffect(() => {
    const target = box.current
    if (target === null) return
    const draw = () => {
      plot.current?.destroy()
      const options = optionsOf({
        series,
        kind,
        isBytes,
        format,
        height,
        floor,
        target,
        onCursor: setAt,
      })
      plot.current = new UPlot(options, latest.current, target)
    }
    const observer = new ResizeObserver(() => {
      if (target.clientWidth > 0) plot.current?.setSize({ width: target.clientWidth, height })
    })
    draw()
    observer.observe(target)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    document.addEventListener('larder-theme', draw)
    dark.addEventListener('change', draw)
    return () => {
      observer.disconnect()
      document.removeEventListener('larder-theme', draw)
      dark.removeEventListener('change', draw)
      plot.current?.destroy()
      plot.current = undefined
    }
  }, [names, kind, height])
  useEffect(() => plot.current?.setData(data), [data])
  return html`<figure class="chart" aria-label=${label}>
    <figcaption>
      <${Legend} ...${{ times, series, format, total, at }} />
    </figcaption>
    <div ref=${box} role="img" aria-label=${`${label}, drawn over time`}></div>
  </figure>`
}

/**
 * What the colours mean, and what was at the time that is pointed at; else the sum, or the last value.
 *
 * @param {{ times: readonly number[], series: readonly Series[], format: (value: number) => string, total: 'sum' | 'last', at: number | undefined }} props
 */
function Legend({ times, series, format, total, at }) {
  const time = at === undefined ? undefined : times[at]
  return html`<ul class="legend reading">
    ${series.map(({ label, color, values }) => {
      const value = at === undefined ? summary(values, total) : values[at]
      return html`<li key=${label}>
        <i style=${{ background: `var(${color})` }}></i>${label}${' '}
        <b>${value === undefined || value === null ? '–' : format(value)}</b>
      </li>`
    })}
    ${time === undefined ? null : html`<li>until ${clock(time).slice(0, 5)}</li>`}
  </ul>`
}

/**
 * @param {readonly (number | null)[]} values
 * @param {'sum' | 'last'} total
 */
function summary(values, total) {
  if (total === 'sum')
    return values.reduce((/** @type {number} */ sum, value) => sum + (value ?? 0), 0)
  return values.findLast((value) => value !== null)
}

/**
 * @param {readonly number[]} times
 * @param {readonly Series[]} series
 * @param {'bars' | 'lines'} kind
 * @returns {UPlot.AlignedData}
 */
function dataOf(times, series, kind) {
  const seconds = times.map((time) => time / 1000)
  if (kind === 'lines') return [seconds, ...series.map(({ values }) => [...values])]
  // The whole stack is drawn first, and what is under its top over it.
  const sums = series.map((_, index) =>
    times.map((_time, at) => {
      const parts = series.slice(0, index + 1).map(({ values }) => values[at] ?? null)
      return parts.every((part) => part === null)
        ? null
        : parts.reduce((/** @type {number} */ sum, part) => sum + (part ?? 0), 0)
    }),
  )
  return [seconds, ...sums.reverse()]
}

/**
 * @param {{ series: readonly Series[], kind: 'bars' | 'lines', isBytes: boolean, format: (value: number) => string, height: number, floor: number, target: HTMLElement, onCursor: (at: number | undefined) => void }} wanted
 * @returns {UPlot.Options}
 */
function optionsOf({ series, kind, isBytes, format, height, floor, target, onCursor }) {
  const style = getComputedStyle(target)
  // What a custom property says depends on the theme: a canvas has to be told what came of it.
  const color = (/** @type {string} */ name) => {
    target.style.color = `var(${name})`
    return style.color
  }
  const drawn = kind === 'bars' ? [...series].reverse() : series
  const axis = {
    stroke: color('--soft'),
    font: `11px ${style.getPropertyValue('--sans')}`,
    ticks: { show: false },
  }
  return {
    width: target.clientWidth,
    height,
    padding: [12, 16, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: kind === 'lines', size: 7 } },
    scales: {
      y: { range: (_plot, _min, max) => [0, Math.max(max * 1.08, floor, Number.MIN_VALUE)] },
    },
    axes: [
      {
        ...axis,
        size: 22,
        grid: { show: false },
        values: (_plot, splits) => splits.map(hourOf),
        space: 70,
      },
      {
        ...axis,
        grid: { stroke: color('--line'), width: 1 },
        values: (_plot, splits) => splits.map((value) => (value === 0 ? '0' : format(value))),
        size: (_plot, values) =>
          12 + 6.6 * Math.max(0, ...(values ?? []).map((text) => text.length)),
        space: 38,
        ...(isBytes ? { incrs: BINARY_STEPS } : {}),
      },
    ],
    series: [
      {},
      ...drawn.map((one, at) => ({
        label: one.label,
        stroke: color(one.color),
        width: kind === 'bars' ? 0 : 1.6,
        points: kind === 'bars' ? { show: false } : { show: true, size: 4, filter: alone },
        ...(kind === 'bars'
          ? { fill: color(one.color), paths: UPlot.paths.bars?.({ size: [0.82, 14], align: -1 }) }
          : at === 0
            ? { fill: `color-mix(in srgb, ${color(one.color)} 13%, transparent)` }
            : {}),
      })),
    ],
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? undefined)] },
  }
}

/** @param {number} seconds */
function hourOf(seconds) {
  return clock(seconds * 1000).slice(0, 5)
}

/**
 * A line needs two points: one with nothing on either side would not be seen.
 *
 * @param {UPlot} plot
 * @param {number} row
 */
function alone(plot, row) {
  const values = plot.data[row] ?? []
  return Array.from(values.keys()).filter(
    (at) => isKnown(values[at]) && !isKnown(values[at - 1]) && !isKnown(values[at + 1]),
  )
}

/** @param {number | null | undefined} value */
function isKnown(value) {
  return value !== null && value !== undefined
}
