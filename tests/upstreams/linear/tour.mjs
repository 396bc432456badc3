// Drives everything the pack serves with Linear's own client, and prints what it saw as JSON.
import { LinearClient } from '@linear/sdk'

const linear = new LinearClient({ apiKey: process.env.LINEAR_KEY, apiUrl: process.env.LINEAR_URL })
const seen = {}
const viewer = await linear.viewer
const organization = await linear.organization
seen.viewer = [viewer.name, viewer.isMe, organization.urlKey]
const team = await linear.team('ENG')
seen.teams = (await linear.teams()).nodes.map((one) => one.key)
const users = (await linear.users()).nodes
const bob = users.find((one) => one.name === 'Bob')
seen.user = (await linear.user(bob.id)).email
const states = (await linear.workflowStates({ filter: { team: { key: { eq: 'ENG' } } } })).nodes
const done = states.find((one) => one.name === 'Done')
seen.state = (await linear.workflowState(done.id)).type

const label = await (await linear.createIssueLabel({ name: 'flaky', teamId: team.id })).issueLabel
seen.label = (await linear.issueLabel(label.id)).name
seen.labels = (await linear.issueLabels()).nodes.map((one) => one.name).sort()
const made = await (await linear.createProject({ name: 'Launch', teamIds: [team.id] })).project
await linear.updateProject(made.id, { leadId: bob.id, description: 'soon' })
const project = await linear.project(made.id)
seen.project = [project.description, (await project.lead).name, (await project.status).type, project.progress]
seen.projects = (await linear.projects({ filter: { name: { startsWith: 'L' } } })).nodes.map((one) => one.name)
seen.statuses = (await linear.projectStatuses()).nodes.length
const cycles = (await linear.cycles()).nodes
const cycle = await linear.cycle(cycles[0].id)
seen.cycle = cycle.number

const created = await linear.createIssue({ teamId: team.id, title: 'Login fails', description: 'on Fridays', priority: 2 })
const issue = await created.issue
seen.created = [created.success, issue.priorityLabel, (await issue.state).name, (await issue.creator).name]
seen.number = issue.identifier === `ENG-${issue.number}` && issue.number >= 100000
const other = await (await linear.createIssue({ teamId: team.id, title: 'Logout fails', parentId: issue.id })).issue
await linear.updateIssue(issue.identifier, {
  assigneeId: bob.id, stateId: done.id, projectId: project.id, cycleId: cycle.id, dueDate: '2026-02-01', estimate: 3,
})
await linear.issueAddLabel(issue.id, label.id)
const changed = await linear.issue(issue.identifier)
seen.changed = [
  (await changed.assignee).name, (await changed.state).type, changed.dueDate, changed.estimate,
  changed.completedAt !== undefined, (await changed.labels()).nodes.map((one) => one.name), changed.labelIds.length,
]
seen.children = (await changed.children()).nodes.map((one) => one.title)
seen.progress = (await linear.project(project.id)).progress
seen.filtered = (await linear.issues({
  filter: {
    or: [{ title: { containsIgnoreCase: 'LOGIN' } }, { number: { in: [1] } }],
    labels: { name: { eq: 'flaky' } }, assignee: { email: { contains: 'bob' } }, createdAt: { gt: '-P1D' },
  },
})).nodes.map((one) => one.title)
seen.unassigned = (await linear.issues({ filter: { assignee: { null: true }, priority: { lte: 1 } } })).nodes.length
await linear.issueRemoveLabel(issue.id, label.id)
seen.unlabelled = (await linear.issue(issue.id)).labelIds

const comment = await (await linear.createComment({ issueId: issue.id, body: 'seen it too' })).comment
await linear.createComment({ issueId: issue.id, parentId: comment.id, body: 'fixed' })
await linear.updateComment(comment.id, { body: 'seen it twice' })
const read = await linear.comment({ id: comment.id })
seen.comment = [read.body, (await read.user).name, read.editedAt !== undefined]
seen.comments = (await linear.comments({ filter: { issue: { id: { eq: issue.id } } } })).nodes.map((one) => one.body).sort()
seen.found = (await linear.searchIssues('twice', { includeComments: true })).nodes.map((one) => one.title)
seen.notFound = (await linear.searchIssues('twice')).totalCount
seen.older = (await linear.issueSearch({ query: 'login fails' })).nodes.map((one) => one.title)
await linear.deleteComment(comment.id)
seen.afterDelete = (await changed.comments()).nodes.length

const link = { issueId: issue.id, url: 'https://ci.test/runs/7', title: 'run 7' }
const attachment = await (await linear.createAttachment(link)).attachment
const again = await (await linear.createAttachment({ ...link, title: 'run 7 failed' })).attachment
seen.attachment = [again.id === attachment.id, (await linear.attachment(attachment.id)).title]
seen.attachments = (await linear.attachments()).nodes.length
seen.forUrl = (await linear.attachmentsForURL(link.url)).nodes.length
await linear.deleteAttachment(attachment.id)
seen.detached = (await changed.attachments()).nodes.length
const relation = await (await linear.createIssueRelation({ issueId: issue.id, relatedIssueId: other.id, type: 'blocks' })).issueRelation
seen.relations = [(await changed.relations()).nodes.map((one) => one.type), (await other.inverseRelations()).nodes.length]
seen.relation = [(await linear.issueRelation(relation.id)).type, (await linear.issueRelations()).nodes.length]
await linear.deleteIssueRelation(relation.id)
seen.unrelated = (await changed.relations()).nodes.length

const all = async (variables) => (await linear.issues(variables)).nodes.map((one) => one.title)
await linear.archiveIssue(other.id)
seen.archived = [(await all()).includes('Logout fails'), (await all({ includeArchived: true })).includes('Logout fails')]
await linear.unarchiveIssue(other.id)
seen.back = (await all()).includes('Logout fails')
await linear.deleteIssue(other.id)
seen.trashed = [(await linear.issue(other.id)).trashed, (await all()).includes('Logout fails')]

const first = await linear.issues({ first: 2 })
const pages = [first.nodes.map((one) => one.id), first.pageInfo.hasNextPage]
await first.fetchNext()
seen.pages = [pages[0].length, pages[1], new Set(first.nodes.map((one) => one.id)).size]
const last = await linear.issues({ last: 1 })
seen.last = [last.nodes.length, last.pageInfo.hasPreviousPage, last.pageInfo.hasNextPage]
seen.sorted = (await linear.issues({ sort: [{ title: { order: 'Ascending' } }] })).nodes.map((one) => one.title)
console.log(JSON.stringify(seen))
