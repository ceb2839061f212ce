import { bytes } from '../../format.js'
import { html } from '../../html.js'
import { useAction, useLoad } from '../../load.js'
import { Progress } from '../../parts/bar.js'
import { Card } from '../../parts/card.js'
import { countsOf, JobState, titleOf } from '../../parts/job.js'
import { Page } from '../../parts/page.js'
import { Empty, Loaded, Trouble } from '../../parts/status.js'
import { Table } from '../../parts/table.js'
import { Time } from '../../parts/text.js'
import { hrefOf } from '../../route.js'
import { useServices } from '../../services.js'
import { NewJob } from './new.js'

/**
 * @typedef {import('../../../admin/shapes.ts').JobsAnswer} Jobs
 * @typedef {Jobs['jobs'][number]} Job
 * @typedef {Jobs['configured'][number]} Configured
 */

const EVERY_MS = 5_000

/** @type {readonly import('../../parts/table.js').Column<Job>[]} */
const COLUMNS = [
  {
    label: 'Job',
    kind: 'wide',
    cell: (
      job,
    ) => html`<a class="name" href=${hrefOf(['preload', job.id])}><b>${titleOf(job)}</b></a>
      <span class="sub">${countsOf(job.images)}${job.error === undefined ? '' : `: ${job.error.message}`}</span>
      ${job.state === 'running' ? html`<span class="sub row-bar"><${Progress} value=${job.bytes.here} max=${job.bytes.total} label=${titleOf(job)} /></span>` : null}`,
  },
  { label: 'State', kind: 'bare', cell: ({ state }) => html`<${JobState} state=${state} />` },
  { label: 'Fetched', kind: 'number', cell: (job) => bytes(job.bytes.fetched) },
  { label: 'Started', kind: 'number', cell: ({ createdAt }) => html`<${Time} at=${createdAt} />` },
]

/** What is fetched ahead of time, and what was. */
export function JobList() {
  const jobs = useLoad('/jobs', EVERY_MS)
  return html`<${Page} title="Preload" lead="Fetch images before a node asks for them: everything they reach, verified.">
    <${NewJob} />
    <${Loaded} of=${jobs}>
      ${(/** @type {Jobs} */ data) => html`
        <${ConfiguredJobs} configured=${data.configured} />
        <${Card} title="Jobs" note="under way first" flush>
          ${
            data.jobs.length === 0
              ? html`<${Empty} title="No preload has run yet">
                <p>
                  Paste a list above. A file, a chart or a folder can be preloaded with${' '}
                  <code>larder preload</code>; a list that is to be kept up to date belongs under${' '}
                  <code>preload:</code> in the configuration.
                </p>
              <//>`
              : html`<${Table} label="Jobs" columns=${COLUMNS} rows=${data.jobs} keyOf=${(/** @type {Job} */ { id }) => id} />`
          }
        <//>
      `}
    <//>
  <//>`
}

/** @param {{ configured: readonly Configured[] }} props */
function ConfiguredJobs({ configured }) {
  const { api } = useServices()
  const run = useAction(async (/** @type {string} */ job) => {
    const { id } = await api.post('/jobs', { job })
    location.hash = hrefOf(['preload', id])
  })
  if (configured.length === 0) return null
  /** @type {readonly import('../../parts/table.js').Column<Configured>[]} */
  const columns = [
    {
      label: 'Name',
      kind: 'wide',
      cell: ({ name, sources }) =>
        html`<b>${name}</b><span class="sub">${sources.join(', ')}</span>`,
    },
    {
      label: 'Last',
      kind: 'bare',
      cell: ({ last }) =>
        last === undefined
          ? html`<span class="soft">not run yet</span>`
          : html`<a class="name" href=${hrefOf(['preload', last.id])}><${JobState} state=${last.state} /></a>`,
    },
    {
      label: 'Next',
      kind: 'number',
      cell: ({ nextRunAt }) => html`<${Time} at=${nextRunAt} none="by hand" />`,
    },
    {
      label: '',
      kind: 'number bare',
      cell: ({ name, running }) =>
        running === undefined
          ? html`<button type="button" class="button quiet" disabled=${run.isBusy} onClick=${() => run.run(name)}>Run now</button>`
          : html`<a class="button quiet" href=${hrefOf(['preload', running])}>Watch</a>`,
    },
  ]
  return html`<${Card} title="Of the configuration" flush>
    ${run.error === undefined ? null : html`<${Trouble} error=${run.error} />`}
    <${Table} label="Jobs of the configuration" columns=${columns} rows=${configured} keyOf=${(/** @type {Configured} */ { name }) => name} />
  <//>`
}
