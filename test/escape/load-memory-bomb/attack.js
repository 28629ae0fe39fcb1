// A bundle that fills the heap while it is loaded.
const hoard = []; for (;;) hoard.push(new Array(10_000).fill(hoard.length));
