/** A small body must not keep a whole read of the socket alive, nor show what else was in it. */
export function copyBody(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.prototype.slice.call(bytes);
}
