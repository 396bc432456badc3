'use strict';
// Loaded with `node --require`: sends the HTTP and HTTPS clients of this process through HTTPS_PROXY and HTTP_PROXY.
//
// Node reads those variables itself since 22.21 and 24.5 (with NODE_USE_ENV_PROXY), for fetch and for its default
// agents; those are left alone here. What remains is done by hand: every agent without a proxy of its own, and in an
// older Node also fetch. Agents that open their connections themselves (https-proxy-agent) are left alone too.

const http = require('node:http');
const https = require('node:https');
const net = require('node:net');
const { Duplex } = require('node:stream');
const tls = require('node:tls');

const DISPATCHER = Symbol.for('undici.globalDispatcher.1');
const CONNECT_TIMEOUT_MS = 30000;
const HEAD_LIMIT = 64 * 1024;

function environmentValue(name) {
  return process.env[name.toLowerCase()] || process.env[name] || '';
}

function bypasses(host, port) {
  const name = host.toLowerCase();
  return environmentValue('NO_PROXY').toLowerCase().split(/[\s,]+/).filter(Boolean).some((entry) => {
    if (entry === '*') return true;
    const [, pattern, onlyPort] = /^(\[.*\]|[^:]*|.*:.*:.*?)(?::(\d+))?$/.exec(entry) || [null, entry];
    if (onlyPort && Number(onlyPort) !== port) return false;
    const suffix = pattern.replace(/^\[|\]$/g, '').replace(/^\*?\./, '');
    return name === suffix || (net.isIP(name) === 0 && name.endsWith(`.${suffix}`));
  });
}

/** The proxy for a host as a URL, or null when it is to be reached directly. */
function proxyFor(protocol, host, port) {
  const value = environmentValue(protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY');
  if (!value || bypasses(host, port)) return null;
  let proxy;
  try {
    proxy = new URL(value.includes('://') ? value : `http://${value}`);
  } catch {
    return null;
  }
  return proxy.protocol === 'http:' ? proxy : null;
}

function connectRequest(proxy, host, port) {
  const authority = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`];
  if (proxy.username || proxy.password) {
    const credentials = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
    lines.push(`Proxy-Authorization: Basic ${Buffer.from(credentials).toString('base64')}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

/** Opens a tunnel and calls done(error) or done(null, socket) once the proxy has agreed. */
function openTunnel(proxy, host, port, done) {
  const proxyHost = proxy.hostname.replace(/^\[|\]$/g, '');
  const socket = net.connect({ host: proxyHost, port: Number(proxy.port) || 80, noDelay: true });
  let head = Buffer.alloc(0);
  const settle = (error) => {
    clearTimeout(timer);
    socket.removeListener('readable', onReadable);
    socket.removeListener('error', onError);
    socket.removeListener('end', onEnd);
    if (!error) return done(null, socket);
    socket.on('error', () => {});
    socket.destroy();
    return done(error);
  };
  const onError = (error) => {
    error.message = `the proxy ${proxy.host} could not be reached for ${host}:${port}: ${error.message}`;
    settle(error);
  };
  const onEnd = () => settle(new Error(`the proxy ${proxy.host} closed the connection for ${host}:${port}`));
  const onReadable = () => {
    for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) {
      if (head.length > HEAD_LIMIT) settle(new Error(`the proxy ${proxy.host} sent no answer that could be read`));
      return;
    }
    const [, status, reason] = /^HTTP\/1\.\d (\d{3}) ?(.*)/.exec(head.toString('latin1')) || [];
    if (status !== '200') {
      settle(new Error(`the proxy ${proxy.host} refused ${host}:${port}: ${status || 'no status'} ${reason || ''}`));
      return;
    }
    if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
    settle(null);
  };
  const timer = setTimeout(
    () => settle(new Error(`the proxy ${proxy.host} did not answer for ${host}:${port}`)),
    CONNECT_TIMEOUT_MS,
  );
  timer.unref();
  socket.on('readable', onReadable);
  socket.on('error', onError);
  socket.on('end', onEnd);
  socket.write(connectRequest(proxy, host, port));
}

/** A tunnel that can be written to before it is open, for callers that must have a socket at once. */
class PendingTunnel extends Duplex {
  constructor(proxy, host, port) {
    super();
    this.opened = null;
    this.waiting = null;
    openTunnel(proxy, host, port, (error, socket) => {
      if (error) return this.destroy(error);
      if (this.destroyed) return socket.destroy();
      this.opened = socket;
      socket.on('data', (chunk) => {
        if (!this.push(chunk)) socket.pause();
      });
      socket.on('end', () => this.push(null));
      socket.on('error', (problem) => this.destroy(problem));
      socket.on('close', () => this.destroy());
      if (this.waiting) this.waiting();
      return undefined;
    });
  }

  whenOpen(work) {
    if (this.opened) work();
    else this.waiting = work;
  }

  _read() {
    if (this.opened) this.opened.resume();
  }

  _write(chunk, encoding, callback) {
    this.whenOpen(() => this.opened.write(chunk, encoding, callback));
  }

  _final(callback) {
    this.whenOpen(() => this.opened.end(callback));
  }

  _destroy(error, callback) {
    if (this.opened) this.opened.destroy();
    callback(error);
  }
}

// Node keeps the proxy an agent was built with under a symbol of its own; such an agent needs no help.
function hasOwnProxy(agent) {
  return Object.getOwnPropertySymbols(agent || {}).some((symbol) => symbol.description === 'kProxyConfig');
}

function patchAgent(owner, protocol, defaultPort, overTunnel) {
  const native = owner.prototype.createConnection;
  owner.prototype.createConnection = function createConnection(...args) {
    const options = args[0];
    const callback = args[args.length - 1];
    const usable = options !== null && typeof options === 'object' && typeof callback === 'function';
    if (!usable || options.socketPath || options.socket || hasOwnProxy(this)) return native.apply(this, args);
    const host = options.host || options.hostname || 'localhost';
    const port = Number(options.port) || defaultPort;
    const proxy = proxyFor(protocol, host, port);
    if (!proxy) return native.apply(this, args);
    if (!(this instanceof owner)) {
      // Borrowed by a class of its own (agentkeepalive), which uses the returned socket at once.
      return overTunnel(native, this, options, new PendingTunnel(proxy, host, port));
    }
    openTunnel(proxy, host, port, (error, socket) => {
      if (error) return callback(error);
      let connection;
      try {
        connection = overTunnel(native, this, options, socket);
      } catch (problem) {
        socket.destroy();
        return callback(problem);
      }
      return callback(null, connection);
    });
    return undefined;
  };
}

function patchAgents() {
  patchAgent(https.Agent, 'https:', 443, (native, agent, options, socket) => {
    return native.call(agent, { ...options, socket });
  });
  patchAgent(http.Agent, 'http:', 80, (native, agent, options, socket) => {
    if (options.timeout && socket.setTimeout) socket.setTimeout(options.timeout);
    return socket;
  });
  // `import { request } from 'node:https'` sees the agents, which are shared; nothing else is replaced.
}

/** A connector for undici (its `connect` option) that goes through the tunnel. */
function connectThroughTunnel(options, callback) {
  const protocol = options.protocol;
  const host = options.hostname.replace(/^\[|\]$/g, '');
  const port = Number(options.port) || (protocol === 'https:' ? 443 : 80);
  const proxy = proxyFor(protocol, host, port);
  openTunnel(proxy, host, port, (error, socket) => {
    if (error) return callback(error);
    if (protocol !== 'https:') return callback(null, socket);
    const servername = options.servername || (net.isIP(host) ? '' : host);
    const secured = tls.connect({ socket, host, servername, ALPNProtocols: ['http/1.1'] });
    const onError = (problem) => callback(problem);
    secured.once('error', onError);
    secured.once('secureConnect', () => {
      secured.removeListener('error', onError);
      callback(null, secured);
    });
    return undefined;
  });
}

// undici's bundled Agent cannot be required, but the global dispatcher that Node installs is one. An npm undici of the
// same line finds the dispatcher here and uses it too.
function patchFetch() {
  if (typeof globalThis.fetch !== 'function') return;
  void globalThis.Headers; // loads undici
  const native = globalThis[DISPATCHER];
  if (!native || native.constructor.name !== 'Agent') return;
  const tunnelled = new native.constructor({ connect: connectThroughTunnel });
  class EnvironmentProxyDispatcher extends native.constructor {
    dispatch(options, handler) {
      const { protocol, hostname, port } = new URL(options.origin);
      const host = hostname.replace(/^\[|\]$/g, '');
      const proxy = proxyFor(protocol, host, Number(port) || (protocol === 'https:' ? 443 : 80));
      return proxy ? tunnelled.dispatch(options, handler) : super.dispatch(options, handler);
    }

    async close(...args) {
      await tunnelled.close();
      return super.close(...args);
    }

    async destroy(...args) {
      await tunnelled.destroy();
      return super.destroy(...args);
    }
  }
  globalThis[DISPATCHER] = new EnvironmentProxyDispatcher();
}

if (environmentValue('HTTPS_PROXY') || environmentValue('HTTP_PROXY')) {
  patchAgents();
  patchFetch();
}
