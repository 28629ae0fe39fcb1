/** Which plugin carries a message: the one that is named, else the only active one with a channel of the type, else the organisation's default among them. */
import { asPluginId, type OrganizationId } from "../base/brands.ts";
import { BackplaneError } from "../errors/error.ts";
import type { Installation, Installations } from "../installations/installations.ts";
import { isPluginId } from "../manifest/plugin-id.ts";
import type { Store } from "../store/store.ts";

export interface Channel {
  installation: Installation;
  /** A type of the channel, such as `sms`. */
  type: string;
}

export interface ChannelChoice {
  organization: OrganizationId;
  channel?: string | undefined;
  plugin?: string | undefined;
}

export interface ChannelDirectory {
  /** Errors: `not_found` (no such plugin), `plugin_not_active`, `plugin_quarantined`, `channel_unavailable`, `channel_ambiguous`, `invalid_input`. */
  choose(choice: ChannelChoice): Promise<Channel>;
  /** Every installed plugin with a channel, whatever its state; by id. */
  list(organization: OrganizationId): Promise<Installation[]>;
  /** Plugins by channel type. */
  defaults(organization: OrganizationId): Promise<ReadonlyMap<string, string>>;
  /** Errors: `not_found`, `channel_unavailable` when the plugin has no such channel. */
  setDefault(organization: OrganizationId, channel: string, plugin: string, actor: string): Promise<void>;
}

/** Types that say which method of a channel is meant rather than what a message is. */
const notForMessages: ReadonlySet<string> = new Set(["voice", "video", "fax"]);

export function createChannelDirectory({
  store,
  installations,
}: {
  store: Store;
  installations: Pick<Installations, "get" | "list">;
}): ChannelDirectory {
  const list: ChannelDirectory["list"] = async (organization) => {
    const all: Installation[] = [];
    for (let page: Installation[] = [], last: Installation | undefined; ; ) {
      page = await installations.list(organization, {
        limit: 200,
        ...(last ? { before: { installedAt: last.installedAt, id: last.id } } : {}),
      });
      all.push(...page.filter((installation) => installation.manifest.contributes.channel !== undefined));
      last = page.at(-1);
      if (page.length < 200) break;
    }
    return all.sort((a, b) => (a.plugin < b.plugin ? -1 : 1));
  };

  const defaults: ChannelDirectory["defaults"] = async (organization) => {
    const rows = await store.db
      .selectFrom("channel_defaults")
      .select(["channel", "plugin_id"])
      .where("organization_id", "=", organization)
      .execute();
    return new Map(rows.map((row) => [row.channel, row.plugin_id]));
  };

  const named = async (organization: OrganizationId, plugin: string): Promise<Installation> => {
    if (!isPluginId(plugin)) throw new BackplaneError("not_found", { thing: "plugin" });
    return installations.get(organization, asPluginId(plugin));
  };

  return {
    list,
    defaults,
    async choose({ organization, channel, plugin }) {
      if (plugin !== undefined) {
        const installation = await named(organization, plugin);
        assertActive(installation);
        const types = typesOf(installation);
        const type = channel ?? types.find((candidate) => !notForMessages.has(candidate)) ?? types[0];
        if (type === undefined || !types.includes(type))
          throw new BackplaneError("channel_unavailable", {
            channel: channel ?? "message",
            where: `plugin '${plugin}'`,
          });
        return { installation, type };
      }
      if (channel === undefined)
        throw new BackplaneError(
          "invalid_input",
          {},
          { errors: [{ path: "channel", message: "name a `channel` or a `plugin`" }] },
        );
      const candidates = (await list(organization)).filter(
        (installation) => installation.status === "active" && typesOf(installation).includes(channel),
      );
      const [first, second] = candidates;
      if (!first) throw new BackplaneError("channel_unavailable", { channel, where: "this organisation" });
      if (!second) return { installation: first, type: channel };
      const preferred = (await defaults(organization)).get(channel);
      const installation = candidates.find((candidate) => candidate.plugin === preferred);
      if (installation) return { installation, type: channel };
      throw new BackplaneError("channel_ambiguous", {
        channel,
        candidates: candidates.map((candidate) => candidate.plugin).join(", "),
      });
    },
    async setDefault(organization, channel, plugin, actor) {
      const installation = await named(organization, plugin);
      if (!typesOf(installation).includes(channel))
        throw new BackplaneError("channel_unavailable", { channel, where: `plugin '${plugin}'` });
      await store.db
        .insertInto("channel_defaults")
        .values({ organization_id: organization, channel, plugin_id: plugin, actor })
        .onConflict((conflict) =>
          conflict
            .columns(["organization_id", "channel"])
            .doUpdateSet({ plugin_id: plugin, actor, updated_at: new Date() }),
        )
        .execute();
    },
  };
}

/** A manifest that names no types has one channel of the type `message`. */
export function typesOf({ manifest }: Installation): readonly string[] {
  const { channel } = manifest.contributes;
  if (!channel) return [];
  return channel.types && channel.types.length > 0 ? channel.types : ["message"];
}

export function assertActive({ plugin, status, statusReason }: Installation): void {
  if (status === "active") return;
  if (status === "quarantined")
    throw new BackplaneError("plugin_quarantined", { plugin, reason: statusReason ?? "no reason kept" });
  throw new BackplaneError("plugin_not_active", { plugin, status });
}
