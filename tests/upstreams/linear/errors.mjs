// Asks for one thing that must fail and prints how Linear's client words it.
import { LinearClient } from '@linear/sdk'

const linear = new LinearClient({ apiKey: process.env.LINEAR_KEY, apiUrl: process.env.LINEAR_URL })
const asked = {
  viewer: () => linear.viewer,
  missing: () => linear.issue('ENG-99'),
  comment: async () => linear.createComment({ issueId: 'ENG-1', body: 'hello' }),
  empty: async () => linear.createIssue({ teamId: (await linear.team('ENG')).id, title: ' ' }),
  taken: async () => {
    const id = '11111111-1111-4111-8111-111111111111'
    const teamId = (await linear.team('ENG')).id
    await linear.createIssue({ id, teamId, title: 'one' })
    await linear.createIssue({ id, teamId, title: 'two' })
  },
  big: () => linear.issues({ first: 251 }),
  unknown: () => linear.client.rawRequest('{ viewer { shoeSize } }'),
}
try {
  await asked[process.env.LINEAR_ASK]()
  console.log(JSON.stringify({ name: null }))
} catch (error) {
  console.log(JSON.stringify({ name: error.constructor.name, message: error.message, type: error.type, status: error.status }))
}
