/** The other end of R: sends back what it gets, and nothing else. Has a runner's priority, so that on a busy machine both wait alike. */
import { createServer } from "node:net";
import { setPriority } from "node:os";

setPriority(5);
const server = createServer((socket) => {
  socket.on("data", (chunk) => socket.write(chunk));
  socket.on("error", () => {});
});
server.listen(process.argv[2], () => process.send!("listening"));
process.on("disconnect", () => process.exit());
