// Drives the fake GitHub with Octokit and prints what it saw as JSON.
import { Octokit } from "@octokit/rest";

const [baseUrl, auth] = process.argv.slice(2);
const octokit = new Octokit({ auth, baseUrl, log: { debug() {}, info() {}, warn() {}, error() {} } });
const shop = { owner: "acme", repo: "shop" };
const failure = async (promise) => promise.then(() => null, (error) => [error.name, error.status, error.message]);

for (let number = 0; number < 5; number++) {
  await octokit.rest.issues.create({ ...shop, title: `issue ${number}`, labels: ["bug"] });
}
const titles = await octokit.paginate(octokit.rest.issues.listForRepo, { ...shop, per_page: 2 }, (page) =>
  page.data.map((one) => one.title),
);
const { data: made } = await octokit.rest.issues.create({ ...shop, title: "last" });
await octokit.rest.issues.addLabels({ ...shop, issue_number: made.number, labels: ["later"] });
await octokit.rest.issues.setLabels({ ...shop, issue_number: made.number, labels: ["bug"] });
const { data: closed } = await octokit.rest.issues.update({ ...shop, issue_number: made.number, state: "closed" });
const { data: main } = await octokit.rest.git.getRef({ ...shop, ref: "heads/main" });
await octokit.rest.git.createRef({ ...shop, ref: "refs/heads/fix", sha: main.object.sha });
const content = Buffer.from("x\n").toString("base64");
await octokit.rest.repos.createOrUpdateFileContents({ ...shop, path: "a/b.txt", branch: "fix", message: "add", content });
const { data: pull } = await octokit.rest.pulls.create({ ...shop, title: "fix", head: "fix", base: "main" });
const on = { ...shop, pull_number: pull.number };
const react = { ...shop, issue_number: made.number };
const { data: heart } = await octokit.rest.reactions.createForIssue({ ...react, content: "heart" });
const { data: said } = await octokit.rest.issues.createComment({ ...react, body: "hm" });
await octokit.rest.reactions.createForIssueComment({ ...shop, comment_id: said.id, content: "eyes" });
const { data: reactions } = await octokit.rest.reactions.listForIssueComment({ ...shop, comment_id: said.id });
await octokit.rest.reactions.deleteForIssue({ ...react, reaction_id: heart.id });
const { data: left } = await octokit.rest.reactions.listForIssue(react);
const line = { ...on, commit_id: pull.head.sha, path: "a/b.txt", line: 1 };
const { data: note } = await octokit.rest.pulls.createReviewComment({ ...line, body: "x?", side: "RIGHT" });
await octokit.rest.pulls.createReplyForReviewComment({ ...on, comment_id: note.id, body: "x!" });
await octokit.rest.pulls.updateReviewComment({ ...shop, comment_id: note.id, body: "why x?" });
await octokit.rest.reactions.createForPullRequestReviewComment({ ...shop, comment_id: note.id, content: "+1" });
const { data: notes } = await octokit.rest.pulls.listReviewComments(on);
const outside = await failure(octokit.rest.pulls.createReviewComment({ ...line, line: 7, body: "x" }));
await octokit.rest.pulls.deleteReviewComment({ ...shop, comment_id: note.id });
const gone = await failure(octokit.rest.pulls.getReviewComment({ ...shop, comment_id: note.id }));
const { data: merged } = await octokit.rest.pulls.merge({ ...shop, pull_number: pull.number });
const { data: file } = await octokit.rest.repos.getContent({ ...shop, path: "a/b.txt" });
const first = await octokit.rest.repos.get(shop);
const unchanged = await failure(octokit.rest.repos.get({ ...shop, headers: { "if-none-match": first.headers.etag } }));

console.log(
  JSON.stringify({
    titles: titles.sort(),
    closed: [closed.state, closed.state_reason, closed.labels.map((one) => one.name)],
    reactions: [reactions.map((one) => one.content), left.length],
    notes: notes.map((one) => [one.body, one.line, one.in_reply_to_id === note.id, one.reactions["+1"]]),
    outside,
    gone: gone[1],
    merged: merged.merged,
    file: Buffer.from(file.content, "base64").toString(),
    unchanged: unchanged[1],
    missing: await failure(octokit.rest.issues.get({ ...shop, issue_number: 999 })),
    invalid: await failure(octokit.rest.issues.create({ ...shop, title: "" })),
    stranger: await failure(new Octokit({ auth: "ghp_x", baseUrl, log: octokit.log }).rest.users.getAuthenticated()),
  }),
);
