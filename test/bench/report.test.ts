import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { withSection } from './page.ts'
import { describeClient, formatFigures, formatVerdicts, judge, type Result } from './report.ts'
import type { Sample } from './sample.ts'
import type { LoadScenario, StartScenario } from './scenarios/scenario.ts'

const LOAD: LoadScenario = {
  name: 'warm',
  title: 'warm blob',
  measures: 'blobs',
  roles: ['larder', 'distribution'],
  cold: false,
  comparisons: [
    { figure: 'cpuPerGb', versus: 'distribution', atMost: 0.6 },
    { figure: 'gbPerSecond', versus: 'nginx' },
    { figure: 'loopP99Ms', atMost: 50 },
  ],
  push: () => Promise.resolve([]),
  prime: () => Promise.resolve(),
  load: () => ({ paths: [], connections: 1 }),
}

const START: StartScenario = {
  name: 'start',
  title: 'start with blobs',
  measures: 'starts',
  roles: ['larder'],
  comparisons: [{ figure: 'idleRssMiB', atMost: 120 }],
  prepare: () => Promise.reject(new Error('nothing is started here')),
}

function sample(cpuPerGb: number, more: Partial<Sample> = {}): Sample {
  return { cpuSeconds: 1, loopP99Ms: Number.NaN, cpuPerGb, ...more }
}

const RESULTS: readonly Result[] = [
  {
    scenario: LOAD,
    series: [
      { role: 'larder', samples: [0.2, 0.4, 0.3].map((cost) => sample(cost, { loopP99Ms: 60 })) },
      { role: 'distribution', samples: [0.6, 0.6].map((cost) => sample(cost)) },
    ],
  },
  {
    scenario: START,
    series: [
      {
        role: 'larder',
        samples: [{ cpuSeconds: 0.5, loopP99Ms: 10, readySeconds: 0.25, idleRssMiB: 113.56 }],
      },
    ],
  },
]

describe('a report', () => {
  test('holds medians against those of the same run, and says what was met', () => {
    const verdicts = judge(RESULTS).map(({ figure, own, versus, value, target, met }) => ({
      figure,
      of: [own, versus],
      value: Number(value.toFixed(3)),
      target,
      met,
    }))
    const of = ['larder', undefined]
    // Nobody measured nginx here.
    assert.deepEqual(verdicts, [
      {
        figure: 'cpuPerGb',
        of: ['larder', 'distribution'],
        value: 0.5,
        target: '≤ 0.6',
        met: true,
      },
      { figure: 'loopP99Ms', of, value: 60, target: '≤ 50', met: false },
      { figure: 'idleRssMiB', of, value: 113.56, target: '≤ 120', met: true },
    ])
  })

  test('judges whom it is told to', () => {
    assert.deepEqual(
      judge(RESULTS, 'distribution').map(({ figure, own }) => [figure, own]),
      [
        ['cpuPerGb', 'distribution'],
        ['loopP99Ms', 'distribution'],
      ],
    )
  })

  test('has a table for each kind of figures, with medians, the least and the most', () => {
    const [loads = '', starts = '', ...more] = formatFigures(RESULTS).split('\n\n')
    assert.deepEqual(more, [])
    const cells = (table: string, row: number) =>
      table
        .split('\n')
        [row]?.split('|')
        .map((cell) => cell.trim())
    assert.ok(cells(loads, 0)?.includes('CPU s/GB'))
    assert.ok(cells(loads, 2)?.includes('0.3 (0.2–0.4)'))
    // An event loop that nobody has is no figure.
    assert.deepEqual(
      cells(loads, 3)?.filter((cell) => cell !== ''),
      ['warm blob', 'distribution', '1', '0.6'],
    )
    assert.deepEqual(cells(starts, 2)?.slice(1, -1), [
      'start with blobs',
      'larder',
      '0.25',
      '114',
      '10',
      '0.5',
    ])
  })

  test('names figures of every kind', () => {
    const text = formatVerdicts(judge(RESULTS))
    assert.match(text, /\| warm blob +\| CPU s\/GB +\| larder ÷ distribution \| 0\.5 /)
    assert.match(text, /\| start with blobs \| idle RSS MiB \| larder .*\| met/)
  })

  test('says what the load client took, by what it moved', () => {
    const blobs = [1, 3].map((gigabytes) => sample(0, { gigabytes, clientCpuSeconds: 0.1 }))
    const small = sample(0, { requests: 20_000, clientCpuSeconds: 0.2 })
    const secure = sample(0, { gigabytes: 2, clientCpuSeconds: 1 })
    const of = (scenario: LoadScenario, samples: readonly Sample[]): Result => ({
      scenario,
      series: [{ role: 'larder', samples }],
    })
    const results = [
      of(LOAD, blobs),
      of({ ...LOAD, measures: 'requests' }, [small]),
      of({ ...LOAD, isSecure: true }, [secure]),
    ]
    assert.deepEqual(describeClient(results), [
      'the load client itself takes, CPU: 0.05 s/GB, 0.5 s/GB over TLS, 10 µs/request',
    ])
    assert.deepEqual(describeClient([]), [])
  })
})

describe('the page of figures', () => {
  const page = '# Figures\n\nold\n\n## Where the time goes\n\nBy people.\n\n### Deeper\n\nAlso.\n'
  const workers = { heading: '## Workers', command: 'npm run bench:workers -- --write' }

  test('has the first section anew, and keeps what people wrote', () => {
    const section = { heading: '# Figures', command: 'npm run bench -- --write' }
    assert.equal(
      withSection(page, section, '- new\n'),
      page.replace('old', 'Written by `npm run bench -- --write`.\n\n- new'),
    )
  })

  test('has a section that is new behind the first, and then in its place', () => {
    const once = withSection(page, workers, 'first')
    const added = '## Workers\n\nWritten by `npm run bench:workers -- --write`.\n\nfirst\n\n'
    assert.equal(once, page.replace('## Where', `${added}## Where`))
    assert.equal(withSection(once, workers, 'second'), once.replace('first', 'second'))
  })
})
