#!/usr/bin/env node
/** argv → a command → an exit code. The only place that ends the process. */

const MINIMUM_NODE = 24
/** As if SIGPIPE had ended it, which Node ignores. */
const EXIT_PIPE = 141

const major = Number(process.versions.node.split('.', 1)[0])
if (major < MINIMUM_NODE) {
  process.stderr.write(
    `larder needs Node.js ${MINIMUM_NODE} or newer; this is ${process.version} at ${process.execPath}.\n` +
      'In a checkout, `npm start` and `npm run larder -- …` bring their own.\n',
  )
  process.exit(2)
}

// As of `larder images … | head`: whoever read its output has what they wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(EXIT_PIPE)
})

// What follows may need the newer Node to be parsed at all.
const { run } = await import('./cli/run.ts')
process.exitCode = await run(process.argv)
