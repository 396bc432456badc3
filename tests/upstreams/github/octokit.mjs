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
const { data: merged } = await octokit.rest.pulls.merge({ ...shop, pull_number: pull.number });
const { data: file } = await octokit.rest.repos.getContent({ ...shop, path: "a/b.txt" });
const first = await octokit.rest.repos.get(shop);
const unchanged = await failure(octokit.rest.repos.get({ ...shop, headers: { "if-none-match": first.headers.etag } }));

console.log(
  JSON.stringify({
    titles: titles.sort(),
    closed: [closed.state, closed.state_reason, closed.labels.map((one) => one.name)],
    merged: merged.merged,
    file: Buffer.from(file.content, "base64").toString(),
    unchanged: unchanged[1],
    missing: await failure(octokit.rest.issues.get({ ...shop, issue_number: 999 })),
    invalid: await failure(octokit.rest.issues.create({ ...shop, title: "" })),
    stranger: await failure(new Octokit({ auth: "ghp_x", baseUrl, log: octokit.log }).rest.users.getAuthenticated()),
  }),
);
