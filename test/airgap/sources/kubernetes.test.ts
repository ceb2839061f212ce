import assert from 'node:assert/strict'
import { test } from 'node:test'

import {
  DIGEST_A,
  DIGEST_B,
  fixture,
  maybe,
  notes,
  read,
  readFixture,
  sure,
  textFrom,
} from './reading.ts'

test('of a rendered chart every image is found, each once, and nothing else', () => {
  const found = readFixture('chart-rendered.yaml')
  assert.deepEqual(sure(found), [
    'docker.io/library/busybox:1.36',
    `ghcr.io/acme/migrate@${DIGEST_A}`,
    'ghcr.io/acme/web:v1.2.3',
    'quay.io/prometheus/exporter:v0.1',
    'docker.io/library/alpine:3.20',
    'ghcr.io/acme/model:2024',
    'docker.io/bitnami/postgresql:16.4.0',
    'registry.example:5000/acme/backup:latest',
    'localhost:5000/agent:dev',
    `ghcr.io/acme/nightly:v1@${DIGEST_B}`,
    'quay.io/acme/first:1',
    'quay.io/acme/second:1',
    'ghcr.io/cloudnative-pg/postgresql:16.4',
    'quay.io/prometheus/prometheus:v2.55.1',
    'quay.io/thanos/thanos:v0.36.1',
    'docker.io/library/redis:7.20',
    `quay.io/acme/queue@${DIGEST_A}`,
    'nvcr.io/nvidia/driver:550.54',
    'ghcr.io/acme/site:v7',
    'ghcr.io/acme/blue:v1',
    'ghcr.io/acme/web:v1.2.3',
  ])
  assert.deepEqual(maybe(found), [
    'quay.io/acme/annotation:v9',
    'ghcr.io/acme/injected:v3',
    'docker.io/acme/runner:v4',
    'quay.io/acme/agent:v5',
    'docker.io/library/logo:latest',
    'quay.io/acme/plain:v1',
    'quay.io/acme/embedded:v1',
    'quay.io/acme/noted:v1',
  ])
  assert.deepEqual(notes(found), ['note 180:1 Pod/smoke a test of its chart: left out'])
})

test('every image stands where it is said to stand', () => {
  const text = fixture('chart-rendered.yaml')
  const { images } = readFixture('chart-rendered.yaml')
  for (const { raw, where } of images) assert.ok(textFrom(text, where).startsWith(raw), raw)
  const paths = images.map(({ where }) => where.path)
  for (const path of [
    'Deployment/web spec.template.spec.initContainers[0].image',
    'Deployment/web spec.template.spec.volumes[0].image.reference',
    'CronJob/nightly spec.jobTemplate.spec.template.spec.containers[0].image',
    'Job/second spec.template.spec.containers[0].image',
    'Shop/shop spec.cache.image.repository',
    'ConfigMap/injector data["pod.yaml"]: spec.containers[0].image',
  ]) {
    assert.ok(paths.includes(path), path)
  }
})

test('JSON says the same as YAML', () => {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', annotations: { x: '{"image":"quay.io/acme/never:v1"}' } },
    spec: { containers: [{ name: 'a', image: 'nginx:1.27' }] },
    status: { containerStatuses: [{ image: 'quay.io/acme/never:v1' }] },
  }
  const text = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [pod, pod] }, undefined, 2)
  const found = read(text)
  assert.deepEqual(sure(found), ['docker.io/library/nginx:1.27', 'docker.io/library/nginx:1.27'])
  assert.deepEqual(maybe(found), [])
  for (const { where } of found.images) {
    assert.ok(textFrom(text, where).startsWith('nginx:1.27"'))
  }
})

test('what is no image in a place for images is an error, in a custom resource it is nothing', () => {
  const found = read(`apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  containers:
    - image: Acme/App
    - image: "ghcr.io/acme/{{ .Values.name }}:v1"
    - image: ""
    - name: injected
---
apiVersion: acme.example/v1
kind: Disk
metadata: {name: d}
spec:
  image: https://images.example/disk.img
  bootImage: ubuntu-24.04
  flag: {image: true, imagePullPolicy: Always, image_size: 3}
  template: {image: "{{inputs.parameters.image}}"}
`)
  assert.deepEqual([sure(found), maybe(found)], [[], []])
  const rendered =
    'an unrendered template ({{ … }}): render it first: helm template NAME CHART | larder images -'
  assert.deepEqual(notes(found), [
    'error 6:14 Pod/p spec.containers[0].image not an image: repositories are lower case',
    `error 7:15 Pod/p spec.containers[1].image ${rendered}`,
    'error 8:14 Pod/p spec.containers[2].image the image is empty',
    'note 9:7 Pod/p spec.containers[3] a container without an image',
    'warning 18:21 Disk/d spec.template.image a variable that is not filled in: left out',
  ])
})

test('addresses, ports, URLs, paths and flags are not taken for images', () => {
  const args = [
    '--listen=0.0.0.0:8080',
    '--upstream=db.example:5432/shop',
    '--peer=cache:6379',
    '--url=https://ghcr.io/acme/app:v1',
    '--file=/etc/app/config:v1',
    '--image-pull-policy=Always',
    '--enable-image-gc=true',
    '--label=app.kubernetes.io/name=web',
    '--selector=a/b:80',
    '--time=12:30',
    'key:value',
    '$(HOST)/a:b',
  ]
  const pod = { apiVersion: 'v1', kind: 'Pod', spec: { containers: [{ image: 'a:1', args }] } }
  assert.deepEqual(maybe(read(JSON.stringify(pod))), [])
})

test('images are seen in arguments, commands, scripts and variables, as maybe', () => {
  const found = read(`apiVersion: v1
kind: Pod
spec:
  containers:
    - image: a:1
      command: [sh, -c, "run --image acme/one:v1 && run ghcr.io/acme/two@${DIGEST_A}"]
      args:
        - |
          kubectl run x --image=quay.io/acme/three:v1
        - --images=acme/four:1,acme/five:2
      env:
        - {name: SIDECAR_IMAGE, value: acme/six}
        - {name: WORD_IMAGE, value: six}
        - {name: OTHER, value: 'registry.example:5000/acme/seven:8'}
`)
  assert.deepEqual(maybe(found), [
    'docker.io/acme/one:v1',
    `ghcr.io/acme/two@${DIGEST_A}`,
    'quay.io/acme/three:v1',
    'docker.io/acme/four:1',
    'docker.io/acme/five:2',
    'docker.io/acme/six:latest',
    'registry.example:5000/acme/seven:8',
  ])
})

test('what is called args in a custom resource may be a map', () => {
  const found = read(
    'apiVersion: x/v1\nkind: X\nspec: {args: {image: "a/b:1"}, command: [{image: "c/d:1"}]}\n',
  )
  assert.deepEqual(sure(found), ['docker.io/a/b:1', 'docker.io/c/d:1'])
})

test('an image in pieces needs a version to be sure', () => {
  const found = read(`apiVersion: acme.example/v1
kind: Shop
spec:
  one: {registry: quay.io, repository: a/one, tag: v1}
  two: {registry: quay.io, repository: a/two}
  three: {repository: a/three}
  four: {repository: quay.io/a/four, tag: "v1@${DIGEST_A}"}
  five: {repository: quay.io/a, image: five, version: "${DIGEST_A}"}
  six: {repository: "git@github.com:a/six", tag: v1}
  seven: {repository: a/seven, tag: 1.10}
  eight: {registry: registry.k8s.io, image: a/eight, tag: v1, digest: "${DIGEST_A}"}
  nine: {hub: quay.io/a, image: nine, tag: 1.24.0}
  ten: {registry: quay.io, image: a/ten:v1}
`)
  assert.deepEqual(sure(found), [
    'quay.io/a/one:v1',
    `quay.io/a/four:v1@${DIGEST_A}`,
    `quay.io/a/five@${DIGEST_A}`,
    'docker.io/a/seven:1.10',
    `registry.k8s.io/a/eight:v1@${DIGEST_A}`,
    'quay.io/a/nine:1.24.0',
    'quay.io/a/ten:v1',
  ])
  assert.deepEqual(maybe(found), ['quay.io/a/two:latest'])
})

test('of a ConfigMap everything is a maybe, and nothing an error; of a Secret nothing is said', () => {
  const data = `
data:
  image: quay.io/acme/one:v1
  otherImage: "{{ .Values.image }}"
  pods.yaml: |
    kind: Pod
    spec:
      containers:
        - image: Acme/App
        - name: none
        - image: quay.io/acme/two:v1
`
  const config = read(`apiVersion: v1\nkind: ConfigMap${data}`)
  assert.deepEqual([sure(config), notes(config)], [[], []])
  assert.deepEqual(maybe(config), ['quay.io/acme/one:v1', 'quay.io/acme/two:v1'])
  const secret = read(`apiVersion: v1\nkind: Secret${data.replace('data', 'stringData')}`)
  assert.deepEqual(secret.images, [])
  assert.deepEqual(notes(secret), ['warning names no images'])
})

test('what says its registry and version is seen in any text; an annotation where it may be meant', () => {
  const found = read(`apiVersion: v1
kind: ConfigMap
metadata:
  annotations:
    sidecar.istio.io/proxyImage: quay.io/acme/proxy:v1
    containerImage: quay.io/acme/note:v1
    acme.example/logo-image: logo
data:
  run.sh: |
    # https://quay.io/acme/link:v1, mirror.example:5000 and acme/short:v1 are none
    docker run --rm ghcr.io/acme/tool:1.2 --listen 10.0.0.1:80/tcp
    crictl pull mirror.example:5000/acme/deep@${DIGEST_A}
    echo 1.5/2:3 application/json:utf-8
  values.yaml: |
    sidecar: docker.io/acme/side:v2
    level: info
`)
  assert.deepEqual(maybe(found), [
    'quay.io/acme/proxy:v1',
    'ghcr.io/acme/tool:1.2',
    `mirror.example:5000/acme/deep@${DIGEST_A}`,
    'docker.io/acme/side:v2',
  ])
})

test('a long text that names nothing costs little', () => {
  const count = 300_000
  const lines = ['-', 'a-', 'image', 'a.', ':', '/', ' ', 'a:'].map((part) => part.repeat(count))
  const texts = [...lines, ...lines.map((line) => `image: a${line}b\n${line}`)]
  for (const text of texts) {
    const pod = { containers: [{ image: 'a:1', args: [text], env: [{ name: 'X', value: text }] }] }
    const objects = [
      { apiVersion: 'v1', kind: 'ConfigMap', data: { text } },
      { apiVersion: 'v1', kind: 'Pod', spec: pod },
      { apiVersion: 'x/v1', kind: 'X', spec: { image: text } },
    ]
    for (const object of objects) assert.deepEqual(maybe(read(JSON.stringify(object))), [])
  }
})

test('only what is nothing but a test of its chart is left out', () => {
  const pod = (hook: string) => `apiVersion: v1
kind: Pod
metadata: {name: t, annotations: {"helm.sh/hook": "${hook}"}}
spec: {containers: [{image: "a:1"}]}
`
  for (const hook of ['test', 'test-success', 'test-failure, test']) {
    assert.deepEqual(sure(read(pod(hook))), [], hook)
  }
  for (const hook of ['post-install', 'test,post-upgrade', '']) {
    assert.equal(sure(read(pod(hook))).length, 1, hook)
  }
})
