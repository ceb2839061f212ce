import { stringify } from 'yaml'

/** Manifests as `helm template` renders them, of every kind of workload, that run `images`. */
export function renderChart(images: readonly string[]): string {
  const documents = images.map((image, index) => documentOf(`part-${index}`, image, index))
  return documents
    .map((document) => `---\n# Source: site/templates/x.yaml\n${stringify(document)}`)
    .join('')
}

function documentOf(name: string, image: string, index: number): object {
  const container = { name, image, args: ['--verbose'] }
  const pod = { containers: [container] }
  const template = { metadata: { labels: { app: name } }, spec: pod }
  const metadata = { name, namespace: 'site' }
  switch (index % 5) {
    case 0:
      return { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: { template } }
    case 1:
      return { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec: { template } }
    case 2:
      return {
        apiVersion: 'batch/v1',
        kind: 'CronJob',
        metadata,
        spec: { schedule: '0 3 * * *', jobTemplate: { spec: { template } } },
      }
    case 3:
      return { apiVersion: 'v1', kind: 'Pod', metadata, spec: { initContainers: [container] } }
    default:
      return { apiVersion: 'example.com/v1', kind: 'Broker', metadata, spec: { image } }
  }
}
