// Drives Google's clients for Node against fakes; prints what they answered as one line of JSON.
// Arguments: base URL of Gmail, base URL of Calendar, token.
import { auth as gmailAuth, gmail as gmailClient } from '@googleapis/gmail';
import { auth as calendarAuth, calendar as calendarClient } from '@googleapis/calendar';

const [gmailUrl, calendarUrl, token] = process.argv.slice(2);

function signedIn(auth) {
  const client = new auth.OAuth2();
  client.setCredentials({ access_token: token });
  return client;
}

const gmail = gmailClient({ version: 'v1', auth: signedIn(gmailAuth), rootUrl: `${gmailUrl}/` });
const calendar = calendarClient({ version: 'v3', auth: signedIn(calendarAuth), rootUrl: `${calendarUrl}/` });

async function refusal(call) {
  try {
    await call;
    return null;
  } catch (error) {
    return { status: error.status ?? error.response?.status, message: error.message };
  }
}

const text = 'To: bob@example.com\r\nSubject: Hi\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello';
const raw = Buffer.from(text).toString('base64url');
const sent = await gmail.users.messages.send({ userId: 'me', requestBody: { raw } });
const upload = { userId: 'me', requestBody: { threadId: sent.data.threadId }, media: { mimeType: 'message/rfc822', body: text } };
// For uploads the client heeds a root URL with the call only.
const uploaded = await gmail.users.messages.send(upload, { rootUrl: `${gmailUrl}/` });
const read = await gmail.users.messages.get({ userId: 'me', id: sent.data.id, format: 'full' });
const found = await gmail.users.messages.list({ userId: 'me', q: 'subject:hi', maxResults: 1 });
const rest = await gmail.users.messages.list({ userId: 'me', q: 'subject:hi', pageToken: found.data.nextPageToken });
const gone = await refusal(gmail.users.messages.get({ userId: 'me', id: 'ffff' }));

const made = await calendar.events.insert({
  calendarId: 'primary',
  requestBody: {
    summary: 'Weekly',
    start: { dateTime: '2026-01-05T09:00:00', timeZone: 'Europe/Berlin' },
    end: { dateTime: '2026-01-05T10:00:00', timeZone: 'Europe/Berlin' },
    recurrence: ['RRULE:FREQ=WEEKLY;COUNT=3'],
  },
});
const instances = await calendar.events.instances({ calendarId: 'primary', eventId: made.data.id });
const listed = await calendar.events.list({
  calendarId: 'primary',
  timeMin: '2026-01-05T00:00:00Z',
  timeMax: '2026-01-06T00:00:00Z',
  singleEvents: true,
  orderBy: 'startTime',
});
const stale = await refusal(calendar.events.list({ calendarId: 'primary', syncToken: 'old' }));
const removed = await calendar.events.delete({ calendarId: 'primary', eventId: made.data.id });

console.log(
  JSON.stringify({
    labels: sent.data.labelIds,
    thread: uploaded.data.threadId === sent.data.threadId,
    body: Buffer.from(read.data.payload.body.data, 'base64url').toString(),
    pages: [found.data.messages.length, rest.data.messages.length, found.data.resultSizeEstimate],
    gone,
    instances: instances.data.items.map((event) => event.start.dateTime),
    listed: listed.data.items.map((event) => event.id === `${made.data.id}_20260105T080000Z`),
    stale: stale.status,
    removed: removed.status,
  }),
);
