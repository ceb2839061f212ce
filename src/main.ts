#!/usr/bin/env node
/** argv → a command → an exit code. The only place that ends the process. */

const MINIMUM_NODE = 24

const major = Number(process.versions.node.split('.', 1)[0])
if (major < MINIMUM_NODE) {
  process.stderr.write(
    `larder needs Node.js ${MINIMUM_NODE} or newer; this is ${process.version} at ${process.execPath}.\n` +
      'In a checkout, `npm start` and `npm run larder -- …` bring their own.\n',
  )
  process.exit(2)
}

// What follows may need the newer Node to be parsed at all.
const { run } = await import('./cli/run.ts')
process.exitCode = await run(process.argv)
