/**
 * The TypeScript type of a JSON Schema written `as const`. Knows the keywords that our own schemas use: `$ref` into
 * `$defs`, `const`, `enum`, `type` (one or several), `items`, `properties`, `required`, `additionalProperties`.
 */

type DefsOf<S> = S extends { readonly $defs: infer D } ? D : Record<never, never>;

export type FromSchema<S, D = DefsOf<S>> = S extends { readonly $ref: `#/$defs/${infer Name}` }
  ? Name extends keyof D
    ? FromSchema<D[Name], D>
    : unknown
  : S extends { readonly const: infer C }
    ? C
    : S extends { readonly enum: readonly (infer E)[] }
      ? E
      : S extends { readonly type: readonly (infer T)[] }
        ? FromType<T, S, D>
        : S extends { readonly type: infer T }
          ? FromType<T, S, D>
          : unknown;

type FromType<T, S, D> = T extends "string"
  ? string
  : T extends "number" | "integer"
    ? number
    : T extends "boolean"
      ? boolean
      : T extends "null"
        ? null
        : T extends "array"
          ? S extends { readonly items: infer I }
            ? FromSchema<I, D>[]
            : unknown[]
          : T extends "object"
            ? FromObject<S, D>
            : unknown;

type RequiredOf<S> = S extends { readonly required: readonly (infer R)[] } ? R : never;

type FromObject<S, D> = S extends { readonly properties: infer P }
  ? Flat<
      { -readonly [K in keyof P as K extends RequiredOf<S> ? K : never]: FromSchema<P[K], D> } & {
        -readonly [K in keyof P as K extends RequiredOf<S> ? never : K]?: FromSchema<P[K], D>;
      }
    >
  : S extends { readonly additionalProperties: infer A }
    ? { [key: string]: A extends boolean ? unknown : FromSchema<A, D> }
    : { [key: string]: unknown };

/** Shows an intersection as one object in editors. */
type Flat<T> = { [K in keyof T]: T[K] };
