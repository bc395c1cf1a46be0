// Reads scenes on standard input, answers them with iam-simulate, writes how long each answer took
// (nanoseconds) and what it was. Run by tenantry-engines.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const { policies, requests, rounds } = JSON.parse(readFileSync(0, 'utf8'))
const scene = (request) => ({
  request: {
    principal: request.principal,
    action: request.action,
    resource: { resource: request.resource, accountId: request.account },
    contextVariables: request.context
  },
  identityPolicies: policies.map((policy, at) => ({ name: `p${at}`, policy })),
  serviceControlPolicies: [],
  resourceControlPolicies: []
})
const scenes = requests.map(scene)
const answers = []
for (const one of scenes) {
  const { resultType, overallResult, errors } = await runSimulation(one, {})
  if (resultType !== 'single') throw new Error(JSON.stringify(errors ?? resultType))
  answers.push(overallResult === 'Allowed')
}
// As long as the other engines warm up; the compiler of node needs it most.
const start = process.hrtime.bigint()
for (let round = 0; process.hrtime.bigint() - start < 300_000_000n; round++) {
  await runSimulation(scenes[round % scenes.length], {})
}
const nanoseconds = []
for (let round = 0; round < rounds; round++) {
  const start = process.hrtime.bigint()
  await runSimulation(scenes[round % scenes.length], {})
  nanoseconds.push(Number(process.hrtime.bigint() - start))
}
process.stdout.write(JSON.stringify({ answers, nanoseconds }))
