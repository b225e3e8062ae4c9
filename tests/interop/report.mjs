// One line per step; the process ends with 1 at the first step that fails, or when all of it takes too long.
const SECONDS = 90

setTimeout(() => {
  console.log(`FAILED after ${SECONDS} s`)
  process.exit(1)
}, SECONDS * 1000)

export async function step (name, work) {
  try {
    const detail = await work()
    console.log(`ok  ${name}${detail === undefined ? '' : ': ' + detail}`)
    return detail
  } catch (error) {
    console.log(`FAILED  ${name}: ${error?.stack ?? JSON.stringify(error)}`)
    process.exit(1)
  }
}

export function equal (got, wanted, what) {
  if (String(got) !== String(wanted)) throw new Error(`${what}: ${got} instead of ${wanted}`)
}

export function holds (condition, what) {
  if (!condition) throw new Error(what)
}
