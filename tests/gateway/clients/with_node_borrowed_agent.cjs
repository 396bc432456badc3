// A connection pool that is no https.Agent but borrows its createConnection and uses the socket at once, as
// agentkeepalive does (and with it the older SDKs of several API vendors).
const http = require('http');
const https = require('https');

class Borrower extends http.Agent {
  constructor(options) {
    super(options);
    this.defaultPort = 443;
    this.protocol = 'https:';
    this.maxCachedSessions = 0;
    this._sessionCache = { map: {}, list: [] };
  }

  createConnection(options) {
    const socket = https.Agent.prototype.createConnection.call(this, options, () => {});
    socket.setNoDelay(true);
    return socket;
  }
}
for (const name of ['getName', '_getSession', '_cacheSession', '_evictSession']) {
  Borrower.prototype[name] = https.Agent.prototype[name];
}

const [mode, url, size] = process.argv.slice(2);
const agent = url.startsWith('https:') ? new Borrower({ keepAlive: true }) : new http.Agent();
const call = (agent.protocol === 'https:' ? https : http).request(
  url,
  { agent, method: mode === 'upload' ? 'POST' : 'GET' },
  (response) => {
    response.setEncoding('utf8');
    let text = '';
    response.on('data', (chunk) => {
      if (mode === 'stream') { if (chunk.trim()) console.log(chunk.trim()); } else text += chunk;
    });
    response.on('end', () => {
      if (mode !== 'stream') console.log(text);
      agent.destroy();
    });
  },
);
call.end(mode === 'upload' ? Buffer.alloc(Number(size), 'x') : undefined);
