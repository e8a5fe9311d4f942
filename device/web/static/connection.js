// Whether the doorbell is heard: one state for the whole page, which claims nothing about the door while it is not.
let connected = null; // null: not known yet
let heardAt = null;
const listeners = new Set();

export const isConnected = () => connected === true;

/** When the doorbell was last heard: a Date, null if it was not yet. */
export const lastHeard = () => heardAt;

/** Call `call` at each change; returns a function that stops it. */
export function onConnection(call) {
  listeners.add(call);
  return () => listeners.delete(call);
}

/** The doorbell was heard, and its state is known. */
export function setConnected() {
  heardAt = new Date();
  change(true);
}

export function setLost() { change(false); }

function change(now) {
  if (connected === now) return;
  connected = now;
  for (const call of listeners) call(now);
}
