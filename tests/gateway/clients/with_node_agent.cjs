// An agent of its own, as SDKs with connection pools make one; two requests, so that the second reuses the tunnel.
const http = require('http');
const https = require('https');

const [mode, url, size] = process.argv.slice(2);
const library = url.startsWith('https:') ? https : http;
const agent = new library.Agent({ keepAlive: true, maxSockets: 1, timeout: 20000 });
function send(done) {
  const call = library.request(url, { agent, method: mode === 'upload' ? 'POST' : 'GET' }, (response) => {
    response.setEncoding('utf8');
    let text = '';
    response.on('data', (chunk) => {
      if (mode === 'stream') { if (chunk.trim()) console.log(chunk.trim()); } else text += chunk;
    });
    response.on('end', () => done(text, call.reusedSocket));
  });
  call.end(mode === 'upload' ? Buffer.alloc(Number(size), 'x') : undefined);
}
send((first) => {
  if (mode === 'stream') { agent.destroy(); return; }
  if (mode === 'upload') { console.log(first); agent.destroy(); return; }
  setImmediate(() => send((second, reused) => {
    if (!reused) throw new Error('the second request opened another connection');
    console.log(second);
    agent.destroy();
  }));
});
