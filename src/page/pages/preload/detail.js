import { bytes, duration } from '../../format.js'
import { html } from '../../html.js'
import { useAction } from '../../load.js'
import { Progress } from '../../parts/bar.js'
import { Card, Facts } from '../../parts/card.js'
import { countsOf, isUnderWay, JobState, titleOf } from '../../parts/job.js'
import { Page } from '../../parts/page.js'
import { Trouble, Waiting } from '../../parts/status.js'
import { Time } from '../../parts/text.js'
import { hrefOf } from '../../route.js'
import { useServices } from '../../services.js'
import { Rows } from './rows.js'
import { useJob } from './watch.js'

/**
 * @typedef {import('../../../admin/shapes.ts').JobDetailAnswer} Job
 * @typedef {import('./watch.js').Progressed} Progressed
 */

/** One preload, while it goes on and afterwards. @param {{ id: string }} props */
export function JobDetail({ id }) {
  const { job, progress, error, isLost } = useJob(id)
  const crumb = html`<a href=${hrefOf(['preload'])}>Preload</a>`
  if (job === undefined) {
    return html`<${Page} title="Preload" crumb=${crumb}>
      ${error === undefined ? html`<${Waiting} />` : html`<${Trouble} error=${error} />`}
    <//>`
  }
  const lead = html`<${JobState} state=${job.state} />`
  return html`<${Page} title=${titleOf(job)} crumb=${crumb} lead=${lead} actions=${html`<${Actions} job=${job} />`}>
    ${isLost ? html`<div class="notice warn" role="status"><strong>The connection broke off.</strong><span>The job goes on; the page tries again by itself.</span></div>` : null}
    ${job.error === undefined ? null : html`<div class="notice bad" role="alert"><strong>${job.error.message}</strong></div>`}
    ${job.warnings.map((warning) => html`<div class="notice warn" key=${warning}>${warning}</div>`)}
    <${Bar} job=${job} progress=${progress} />
    <${Rows} job=${job} progress=${progress} />
  <//>`
}

/** @param {{ job: Job }} props */
function Actions({ job }) {
  const { api, notify } = useServices()
  const path = `/jobs/${encodeURIComponent(job.id)}`
  const cancel = useAction(async () => {
    await api.post(`${path}/cancel`)
    notify('Cancelled. What has come is kept.')
  })
  const retry = useAction(async () => {
    const { id } = await api.post(`${path}/retry`)
    location.hash = hrefOf(['preload', id])
  })
  const error = cancel.error ?? retry.error
  const mayRetry = ['incomplete', 'failed', 'cancelled', 'interrupted'].includes(job.state)
  return html`
    ${error === undefined ? null : html`<${Trouble} error=${error} />`}
    ${
      isUnderWay(job.state)
        ? html`<button type="button" class="button danger" disabled=${cancel.isBusy} onClick=${() => cancel.run()}>Cancel</button>`
        : null
    }
    ${
      mayRetry
        ? html`<button type="button" class="button primary" disabled=${retry.isBusy} onClick=${() => retry.run()}>
          Try again what is missing
        </button>`
        : null
    }
  `
}

/** @param {{ job: Job, progress: Progressed | undefined }} props */
function Bar({ job, progress }) {
  const here = progress?.bytes ?? job.bytes.here
  const total = Math.max(progress?.totalBytes ?? 0, job.bytes.total, here)
  const fetched = progress?.fetchedBytes ?? job.bytes.fetched
  const rate = isUnderWay(job.state) ? (progress?.bytesPerSecond ?? job.bytesPerSecond ?? 0) : 0
  const { startedAt, endedAt } = job
  const took =
    startedAt === undefined || endedAt === undefined ? undefined : (endedAt - startedAt) / 1000
  const isWhole = job.state === 'done'
  const left = rate > 0 && total > here ? `, about ${duration((total - here) / rate)} left` : ''
  const share = isWhole ? 1 : total === 0 ? 0 : Math.min(here / total, 1)
  return html`<${Card}
    title=${`${Math.floor(share * 100)} %`}
    note=${countsOf(job.images)}
  >
    <div class="stack">
      <${Progress} value=${share} max=${1} label="Preloaded" />
      <${Facts}
        rows=${[
          [
            job.dryRun ? 'Would fetch' : 'Fetched',
            `${bytes(fetched)}${rate > 0 ? `, ${bytes(rate)}/s${left}` : ''}`,
          ],
          ['Here', `${bytes(here)} of ${bytes(total)}`],
          ['Platforms', job.platforms?.join(', ')],
          ['Pinned', job.pin ? 'yes' : undefined],
          ['Began', html`<${Time} at=${job.startedAt ?? job.createdAt} />`],
          ['Took', took === undefined ? undefined : duration(took)],
          [
            'Again',
            job.retryOf === undefined
              ? undefined
              : html`<a href=${hrefOf(['preload', job.retryOf])}>what this one left</a>`,
          ],
        ]}
      />
    </div>
  <//>`
}
