/** Distance over the earth's surface, by the haversine formula: good to half a percent, which is better than a telephone's position. */

export interface Position {
  /** Degrees, north positive. */
  latitude: number;
  /** Degrees, east positive. */
  longitude: number;
}

const earthRadiusMeters = 6_371_009;
const radians = (degrees: number): number => (degrees * Math.PI) / 180;

export function distanceMeters(a: Position, b: Position): number {
  const [latitudeA, latitudeB] = [radians(a.latitude), radians(b.latitude)];
  const half =
    Math.sin((latitudeB - latitudeA) / 2) ** 2 +
    Math.cos(latitudeA) * Math.cos(latitudeB) * Math.sin(radians(b.longitude - a.longitude) / 2) ** 2;
  return 2 * earthRadiusMeters * Math.asin(Math.min(1, Math.sqrt(half)));
}
