// The screen of a machine on a canvas: a client of the RFB protocol (RFC 6143) on a WebSocket of binary messages.
// The token that opens it is the fragment of the page's address, which browsers keep to themselves.

const NAMED = {
  Backspace: 0xff08, Tab: 0xff09, Enter: 0xff0d, Pause: 0xff13, ScrollLock: 0xff14, Escape: 0xff1b, Home: 0xff50,
  ArrowLeft: 0xff51, ArrowUp: 0xff52, ArrowRight: 0xff53, ArrowDown: 0xff54, PageUp: 0xff55, PageDown: 0xff56,
  End: 0xff57, PrintScreen: 0xff61, Insert: 0xff63, ContextMenu: 0xff67, NumLock: 0xff7f, CapsLock: 0xffe5,
  Meta: 0xffeb, Delete: 0xffff, AltGraph: 0xfe03,
};
const TWO_SIDED = { Shift: 0xffe1, Control: 0xffe3, Alt: 0xffe9 }; // the right one's number is one more
const RAW = 0, COPY = 1, NEW_SIZE = -223;

// The keysym (X11's number) of a key event; 0 for one that has none.
export function keysym(event) {
  const { key, location } = event;
  if (key in TWO_SIDED) return TWO_SIDED[key] + (location === 2 ? 1 : 0);
  if (key in NAMED) return NAMED[key];
  const function_key = /^F([1-9]|1[0-2])$/.exec(key);
  if (function_key) return 0xffbd + Number(function_key[1]);
  const point = key.codePointAt(0);
  if (key.length !== String.fromCodePoint(point).length || point < 0x20) return 0;
  return point < 0x100 ? point : 0x01000000 | point;
}

// Bytes as they come, given out in the numbers that the protocol asks for.
export class Inbox {
  #parts = [];
  #held = 0;
  #wanted = null;
  #closed = false;

  put(part) {
    this.#parts.push(part);
    this.#held += part.length;
    this.#serve();
  }

  close() {
    this.#closed = true;
    this.#serve();
  }

  take(count) {
    return new Promise((resolve, reject) => {
      this.#wanted = { count, resolve, reject };
      this.#serve();
    });
  }

  #serve() {
    const wanted = this.#wanted;
    if (!wanted) return;
    if (this.#held >= wanted.count) {
      this.#wanted = null;
      wanted.resolve(this.#join(wanted.count));
    } else if (this.#closed) {
      this.#wanted = null;
      wanted.reject(new Error("the screen was closed: the machine has ended, or another viewer took over"));
    }
  }

  #join(count) {
    const whole = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const part = this.#parts[0], used = part.subarray(0, count - filled);
      whole.set(used, filled);
      filled += used.length;
      if (used.length === part.length) this.#parts.shift();
      else this.#parts[0] = part.subarray(used.length);
    }
    this.#held -= count;
    return whole;
  }
}

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

// Talks to the server; `canvas` is drawn on, `send` takes bytes.
export class Viewer {
  constructor(canvas, inbox, send) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d", { alpha: false });
    this.inbox = inbox;
    this.send = send;
    this.buttons = 0;
  }

  // From the greeting to the first picture asked for; the server's name of the screen.
  async open() {
    await this.inbox.take(12);
    this.send(new TextEncoder().encode("RFB 003.008\n"));
    const kinds = await this.inbox.take((await this.inbox.take(1))[0]);
    if (!kinds.includes(1)) throw new Error("the screen asks for a password");
    this.send(Uint8Array.of(1));
    if (view(await this.inbox.take(4)).getUint32(0)) throw new Error("the screen refused us");
    this.send(Uint8Array.of(1)); // others may look too
    const head = view(await this.inbox.take(24));
    this.#resize(head.getUint16(0), head.getUint16(2));
    const name = new TextDecoder().decode(await this.inbox.take(head.getUint32(20)));
    // 32 bits a pixel in a canvas's own order: red, green, blue, and one that is not used
    this.send(Uint8Array.of(0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0));
    const forms = view(new Uint8Array(16));
    forms.setUint8(0, 2);
    forms.setUint16(2, 3);
    [COPY, RAW, NEW_SIZE].forEach((form, n) => forms.setInt32(4 + 4 * n, form));
    this.send(new Uint8Array(forms.buffer));
    this.#ask(false);
    return name;
  }

  // Draws what comes, until the connection ends.
  async run() {
    for (;;) {
      const [kind] = await this.inbox.take(1);
      if (kind === 0) await this.#update();
      else if (kind === 1) await this.inbox.take(6 * view((await this.inbox.take(5)).subarray(3)).getUint16(0));
      else if (kind === 3) await this.inbox.take(view((await this.inbox.take(7)).subarray(3)).getUint32(0));
      else if (kind !== 2) throw new Error(`the screen said ${kind}, which is not known`); // 2: the bell
    }
  }

  press(sym, down) {
    const said = view(Uint8Array.of(4, down ? 1 : 0, 0, 0, 0, 0, 0, 0));
    said.setUint32(4, sym);
    this.send(new Uint8Array(said.buffer));
  }

  point(event, buttons = this.buttons) {
    const place = this.canvas.getBoundingClientRect();
    const at = (offset, shown, real) => Math.max(0, Math.min(real - 1, Math.floor((offset / shown) * real)));
    const said = view(Uint8Array.of(5, buttons, 0, 0, 0, 0));
    said.setUint16(2, at(event.clientX - place.left, place.width, this.canvas.width));
    said.setUint16(4, at(event.clientY - place.top, place.height, this.canvas.height));
    this.send(new Uint8Array(said.buffer));
  }

  #ask(changes) {
    const said = view(Uint8Array.of(3, changes ? 1 : 0, 0, 0, 0, 0, 0, 0, 0, 0));
    said.setUint16(6, this.canvas.width);
    said.setUint16(8, this.canvas.height);
    this.send(new Uint8Array(said.buffer));
  }

  #resize(width, height) {
    this.canvas.width = width;
    this.canvas.height = height;
  }

  async #update() {
    const count = view((await this.inbox.take(3)).subarray(1)).getUint16(0);
    let whole = true;
    for (let n = 0; n < count; n++) whole = (await this.#rectangle()) && whole;
    this.#ask(whole);
  }

  // False when the screen has another size now and must be drawn anew.
  async #rectangle() {
    const head = view(await this.inbox.take(12));
    const [x, y, width, height] = [0, 2, 4, 6].map((offset) => head.getUint16(offset));
    const form = head.getInt32(8);
    if (form === NEW_SIZE) {
      this.#resize(width, height);
      return false;
    }
    if (form === COPY) {
      const from = view(await this.inbox.take(4));
      this.pen.drawImage(this.canvas, from.getUint16(0), from.getUint16(2), width, height, x, y, width, height);
      return true;
    }
    if (form !== RAW) throw new Error(`the screen sent a form ${form} that was not asked for`);
    const data = await this.inbox.take(width * height * 4);
    for (let n = 3; n < data.length; n += 4) data[n] = 255;
    if (width && height) this.pen.putImageData(new ImageData(new Uint8ClampedArray(data.buffer), width, height), x, y);
    return true;
  }
}

function hear(canvas, viewer) {
  const BUTTONS = [1, 2, 4];
  for (const [name, down] of [["keydown", true], ["keyup", false]])
    canvas.addEventListener(name, (event) => {
      const sym = keysym(event);
      if (sym) viewer.press(sym, down);
      event.preventDefault();
    });
  for (const [name, down] of [["mousedown", true], ["mouseup", false]])
    canvas.addEventListener(name, (event) => {
      const bit = BUTTONS[event.button] ?? 0;
      viewer.buttons = down ? viewer.buttons | bit : viewer.buttons & ~bit;
      viewer.point(event);
      canvas.focus();
      event.preventDefault();
    });
  canvas.addEventListener("mousemove", (event) => viewer.point(event));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    viewer.point(event, viewer.buttons | (event.deltaY < 0 ? 8 : 16));
    viewer.point(event);
    event.preventDefault();
  });
}

async function show() {
  const [said, canvas] = ["said", "screen"].map((id) => document.getElementById(id));
  const token = location.hash.slice(1);
  const socket = new WebSocket(`ws://${location.host}/screen`, ["vmpod.screen", `token.${token}`]);
  socket.binaryType = "arraybuffer";
  const inbox = new Inbox();
  socket.onmessage = (event) => inbox.put(new Uint8Array(event.data));
  socket.onclose = () => inbox.close();
  const viewer = new Viewer(canvas, inbox, (bytes) => socket.readyState === WebSocket.OPEN && socket.send(bytes));
  try {
    document.getElementById("name").textContent = await viewer.open();
    said.textContent = "";
    hear(canvas, viewer);
    canvas.focus();
    document.getElementById("whole").onclick = () => canvas.requestFullscreen();
    document.getElementById("keys").onclick = () => {
      const keys = [TWO_SIDED.Control, TWO_SIDED.Alt, NAMED.Delete];
      keys.forEach((sym) => viewer.press(sym, true));
      keys.forEach((sym) => viewer.press(sym, false));
      canvas.focus();
    };
    await viewer.run();
  } catch (fault) {
    said.textContent = fault.message;
  }
}

if (globalThis.document) show();
