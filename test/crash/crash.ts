/**
 * `npm run crash [-- ROUNDS [SEED]]`: kills Larder at every step of its store, and at any moment under
 * load, and looks after each restart whether it has kept what it promised. Exits with 1 when not.
 */
import { crash } from './run.ts'

const DEFAULT_ROUNDS = 5000

const [rounds = String(DEFAULT_ROUNDS), seed = String(Date.now() % 1_000_000)] =
  process.argv.slice(2)
const say = (line: string) => void process.stdout.write(`${line}\n`)
say(`${rounds} rounds, seed ${seed}`)
const { violations } = await crash({ rounds: Number(rounds), seed: Number(seed), say })
say(
  violations.length === 0
    ? 'every promise was kept'
    : `${violations.length} promises were broken: npm run crash -- ${rounds} ${seed}`,
)
process.exitCode = violations.length === 0 ? 0 : 1
