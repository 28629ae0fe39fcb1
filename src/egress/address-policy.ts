/** Which addresses plugins may be connected to: global unicast ones only. An allow-list, so what is unknown is refused. */
import ipaddr from "ipaddr.js";

/**
 * True for a publicly routable IPv4 or IPv6 address in canonical text. False for private, loopback, link-local, CGNAT,
 * multicast, documentation, benchmark and reserved ranges, for IPv6 outside 2000::/3, and for every form that carries an
 * IPv4 address inside (mapped, compatible, 6to4, Teredo, NAT64 with a non-public address), as well as for what does not parse.
 */
export function isPublicAddress(text: string): boolean {
  // Zone ids (`fe80::1%eth0`) name an interface of this machine.
  if (text.includes("%")) return false;
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return isPublicV4(ipaddr.IPv4.parse(text));
  if (!text.includes(":") || !ipaddr.IPv6.isValid(text)) return false;
  const address = ipaddr.IPv6.parse(text);
  // DNS64 networks answer with the well-known prefix for public IPv4 hosts; that is the one embedding they cannot do without.
  if (address.match(ipaddr.IPv6.parse("64:ff9b::"), 96))
    return isPublicV4(new ipaddr.IPv4(address.toByteArray().slice(12)));
  return address.match(ipaddr.IPv6.parse("2000::"), 3) && address.range() === "unicast";
}

function isPublicV4(address: ipaddr.IPv4): boolean {
  return address.range() === "unicast";
}
