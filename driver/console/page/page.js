"use strict";

const terminal = new Terminal({ cursorBlink: true, scrollback: 10000, convertEol: false });
const fit = new FitAddon.FitAddon();
terminal.loadAddon(fit);
terminal.open(document.getElementById("terminal"));
fit.fit();
addEventListener("resize", () => fit.fit());
terminal.focus();

const encoder = new TextEncoder();
let socket;

function say(text) { document.getElementById("state").textContent = text; }

function connect() {
  socket = new WebSocket(new URL("stream", location.href.replace(/^http/, "ws")));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    terminal.reset(); // what came before is sent again
    say("connected");
  };
  socket.onmessage = (m) => terminal.write(new Uint8Array(m.data));
  socket.onclose = (e) => {
    say(e.reason || "not connected");
    setTimeout(connect, 2000);
  };
}

terminal.onData((text) => {
  if (socket.readyState === WebSocket.OPEN) socket.send(encoder.encode(text));
});
terminal.onBinary((text) => {
  if (socket.readyState === WebSocket.OPEN) socket.send(Uint8Array.from(text, (c) => c.charCodeAt(0)));
});
connect();
