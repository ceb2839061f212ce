/**
 * `npm run soak [-- SECONDS [SEED]]`: Larder with a cap that is too small, a registry that misbehaves
 * at random, and clients that pull, range, abort and stall. Exits with 1 when a promise was broken.
 */
import { Soak } from './run.ts'

const DEFAULT_SECONDS = 600

const [seconds = String(DEFAULT_SECONDS), seed = String(Date.now() % 1_000_000)] =
  process.argv.slice(2)
const say = (line: string) => void process.stdout.write(`${line}\n`)
say(`soak for ${seconds} s, seed ${seed}`)
const violations = await new Soak({ seconds: Number(seconds), seed: Number(seed), say }).run()
for (const violation of violations) say(`BROKEN (seed ${seed}): ${violation}`)
say(
  violations.length === 0 ? 'every promise was kept' : `${violations.length} promises were broken`,
)
process.exitCode = violations.length === 0 ? 0 : 1
