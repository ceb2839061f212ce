/**
 * How often a property is tried: `LARDER_TEST_RUNS` says, for a night of them. A failure prints its
 * seed and path, which `fc.assert` takes to repeat it.
 */
export function runs(usual: number): { readonly numRuns: number } {
  const wanted = Number(process.env['LARDER_TEST_RUNS'])
  return { numRuns: Number.isSafeInteger(wanted) && wanted > 0 ? wanted : usual }
}
