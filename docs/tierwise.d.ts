// Types of the profile API, made from its OpenAPI document. Other fields may come: pass over what you do not know.

export type Acquisition = {
  first: string | null;
  last: string | null;
};

export type Activity = {
  as_of: string;
  /** A business day. */
  from: string;
  /** A business day, included. */
  to: string;
  /** Of the business days. */
  timezone: string;
  days: ActivityDay[];
};

export type ActivityDay = {
  day: string;
  interactions: number;
  channels: { [name: string]: number };
};

export type Audit = {
  /** Pass it back as `cursor`; null: this is the last page. */
  next_cursor: string | null;
  items: AuditEntry[];
};

export type AuditEntry = {
  at: string;
  /** The id of a key, or oidc:SUBJECT. */
  reader: string;
  name: string;
  /** null: everyone, in an export. */
  customer_id: string | null;
  what: string;
};

export type BrowserToken = {
  token: string;
  customer_id: string;
  scopes: string[];
  expires_at: string;
};

export type Cause = {
  kind: "interaction" | "time" | "import" | "release" | "cuts" | "segment" | "override" | "merge" | "split" | "block" | "unblock" | "erase";
  interaction?: string | null;
  source?: string | null;
};

export type Change = {
  id: string;
  customer_id: string;
  /** Gapless per customer, over all aspects. */
  sequence: number;
  aspect: string;
  /** null the first time. */
  from?: string | null;
  /** null where a tag goes. */
  to?: string | null;
  /** When it takes effect. */
  at: string;
  score?: number | null;
  /** Of a merge and its like there is none. */
  rulebook?: string | null;
  cuts?: number | null;
  /** The largest parts of a score, or the rule; each in words, `en` and `zh`. */
  reasons?: { [name: string]: unknown }[] | null;
  recorded_at: string;
  /** Of a merge and its like it is `by`. */
  cause?: Cause | null;
  by?: Cause | null;
  merged?: string[] | null;
};

export type Changes = {
  /** Pass it back as `cursor`; null: this is the last page. */
  next_cursor: string | null;
  items: Change[];
};

export type ChannelRow = {
  /** null: not known. */
  channel: string | null;
  label: { [name: string]: string };
  customers: number;
  /** Customers who ever bought. */
  buyers: number;
  /** Buyers among customers. */
  conversion: number;
  orders: number;
  amount: string;
  orders_in_period: number;
  /** Of the orders in the period. */
  sales: string;
  /** Of those in the period before. */
  sales_before: string;
  /** null where there were none before. */
  sales_growth: number | null;
  /** First seen in the period. */
  new: number;
  /** First seen in the period before. */
  new_before: number;
  /** Of new customers; null where there were none before. */
  growth: number | null;
  /** The share of each tier. */
  tiers: { [name: string]: number };
};

export type ChannelTable = {
  as_of: string;
  from: string;
  to: string;
  /** The period that this one is compared with. */
  before: { [name: string]: string };
  currency: string;
  channels: ChannelRow[];
};

export type Correction = {
  /** Name to value; null unsets. */
  attributes: { [name: string]: unknown };
  reason?: string | null;
  id?: string | null;
};

export type Count = {
  count: number;
  as_of: string;
  by?: string | null;
  /** With `by`, the most frequent first. */
  values?: ValueCount[] | null;
};

export type CountedSegment = {
  name: string;
  labels: { [name: string]: string };
  filter: string;
  /** filling until everyone has been looked at, then ready. */
  state: string;
  /** Why the rulebook in force has no words for the filter; its members stay meanwhile. */
  problem: string | null;
  created_at: string;
  changed_at: string;
  /** Whom the filter fits; null where there is a `problem`. */
  customers: number | null;
  as_of: string;
};

export type Customer = {
  customer_id: string;
  /** The id asked for, where it was merged into this one. */
  requested_id?: string | null;
  /** Present where the id asked for was merged. */
  merged_into?: string | null;
  identifiers: Identifier[];
  attributes: { [name: string]: unknown };
  intent: Intent;
  lifecycle: Lifecycle;
  tier: Tier;
  tags: Tag[];
  /** The most frequent first, at most five. */
  interests: string[];
  acquisition: Acquisition;
  /** Where they do most lately. */
  preferred_channel: string | null;
  owner: string | null;
  /** As the rulebook has it. */
  strategy: { [name: string]: unknown };
  overrides: Override[];
  orders: OrdersMade;
  first_seen: string;
  last_seen: string;
  interactions: number;
  classified_at: string;
  rulebook: string;
  /** Of tiers as shares of the customers; null: fixed scores. */
  cuts: number | null;
  /** Rises with every visible write; not there with `as_of`. */
  version?: number | null;
  /** With `as_of`. */
  as_of?: string | null;
  labels: Labels;
};

export type Customers = {
  /** Pass it back as `cursor`; null: this is the last page. */
  next_cursor: string | null;
  items: (Customer | PickedCustomer)[];
};

export type Delivery = {
  id: string;
  /** `webhook-id`. */
  event_id: string;
  kind: "change" | "replay" | "test";
  state: "pending" | "delivered" | "failed";
  /** The oldest first. */
  attempts: ({
    at: string;
    ms: number;
    status: number | null;
    error: string | null;
    /** The first 1,000 bytes. */
    answer: string | null;
  })[];
  /** When it is tried next, at the earliest. */
  due: string | null;
  created_at: string;
  finished_at: string | null;
};

export type Entry = {
  /** The entry's, as the timeline has it. */
  id: string;
  /** Whose timeline it stands on. */
  customer_id: string;
};

export type Funnel = {
  as_of: string;
  steps: Step[];
};

export type History = {
  customer_id: string;
  /** The id asked for, where it was merged into this one. */
  requested_id?: string | null;
  /** Present where the id asked for was merged. */
  merged_into?: string | null;
  /** Oldest first; none from before the customer was first seen. */
  points: Point[];
};

export type Hour = {
  orders: number;
  /** Of the orders, in the base currency. */
  amount: string;
  /** Of an order; null where there is none. */
  average: string | null;
  refunds: number;
  refunded: string;
  hour: number;
  interactions: number;
};

export type Hours = {
  as_of: string;
  /** A business day. */
  from: string;
  /** A business day, included. */
  to: string;
  /** Of the business days. */
  timezone: string;
  currency: string;
  hours: Hour[];
};

export type Identifier = {
  kind: string;
  /** Normalised as at ingest. */
  value: string;
};

/** How what a source sends is taken, beside what it is trusted with. `formats`: names of those that it may use, None for every one that takes a write key. `origins`: of pages that may send with its key, as browsers name them (`https://shop.example`); none means: no page of another origin. `without_consent`: what becomes of an interaction that says so: kept on the timeline unscored, or refused. `schemas` and what happens to an interaction that violates its own: refused, or taken and counted. `mapping`: how the generic webhook reads a document (YAML, as `tierwise import` takes). `topics`: the ARNs of the SNS topics that it may be subscribed to. `redirects`: origins to which a form may send a visitor on. */
export type Intake = {
  formats?: string[] | null;
  origins?: string[];
  rate_limit?: RateLimit | null;
  without_consent?: "keep" | "refuse";
  schemas?: TypeSchema[];
  violations?: "count" | "refuse";
  mapping?: string | null;
  topics?: string[];
  redirects?: string[];
};

export type Intent = {
  /** One decimal. */
  score: number;
  level: string;
};

/** Of what the view says, as a page writes it; in the language of Accept-Language (en, zh). */
export type Labels = {
  language: "en" | "zh";
  intent: string;
  lifecycle: string;
  tier: string;
  dimensions: { [name: string]: string };
  tags: { [name: string]: string };
};

export type Lifecycle = {
  stage: string;
  /** The day of the last change of stage; null with `as_of`. */
  since: string | null;
};

export type LookedUp = {
  /** In the order asked. */
  items: LookedUpItem[];
  /** Whom nobody knows, in the order asked. */
  unknown: UnknownItem[];
};

export type LookedUpItem = {
  /** Of what was asked, from 0. */
  index: number;
  customer: Customer | PickedCustomer;
};

export type Move = {
  /** null: was not there before. */
  from: string | null;
  to: string | null;
  customers: number;
};

export type Moves = {
  as_of: string;
  aspect: string;
  from: string;
  to: string;
  moves: Move[];
};

export type NewBlock = {
  kind: string;
  /** Normalised as at ingest. */
  value: string;
  reason?: string | null;
  id?: string | null;
};

export type NewErasure = {
  reason?: string | null;
  id?: string | null;
};

export type NewMerge = {
  /** Two ids that are one person's; the older one stays. */
  customers: [string, string];
  reason?: string | null;
  id?: string | null;
};

export type NewNote = {
  text: string;
  /** More of it, as the rulebook's rules on notes look at: need, form, outcome. */
  properties?: { [name: string]: boolean | number | string | null };
  id?: string | null;
};

export type NewOverride = {
  /** tier, intent, lifecycle or tag:FAMILY.NAME. */
  aspect: string;
  /** One that the rulebook in force knows at this aspect. */
  value: string;
  /** For people; it stands on the timeline. */
  reason: string;
  expires?: string | null;
  id?: string | null;
};

export type NewSplit = {
  merged?: string | null;
  /** Or those that are another person's; the rest stays. */
  identifiers?: Identifier[];
  reason?: string | null;
  id?: string | null;
};

export type Orders = {
  as_of: string;
  /** A business day. */
  from: string;
  /** A business day, included. */
  to: string;
  /** Of the business days. */
  timezone: string;
  currency: string;
  periods: SalesPeriod[];
  /** Currencies without a rate: their amounts are left out. */
  unconverted: string[];
};

export type OrdersMade = {
  count: number;
  amount: string;
  currency: string;
  /** A business day. */
  first: string | null;
  last: string | null;
};

export type Override = {
  aspect: string;
  value: string;
  /** What it stands over. */
  computed: string | null;
  reason: string | null;
  author: string | null;
  expires: string | null;
};

/** What `fields` asked for, as deep as it stands in the current view. */
export type PickedCustomer = {
  customer_id: string;
  requested_id?: string | null;
  merged_into?: string | null;
};

export type Point = {
  at: string;
  intent: Intent;
  lifecycle: { [name: string]: string };
  tier: Tier;
  rulebook: string;
  cuts: number | null;
};

/** RFC 9457. */
export type ProblemDetails = {
  type: string;
  title: string;
  status: number;
  /** Stable; what programs compare. */
  code: string;
  /** What was wrong this time, and what to do next. */
  detail: string;
};

/** A token bucket in interactions: it refills with `per_second` and holds at most `burst`. */
export type RateLimit = {
  per_second: number;
  burst: number;
};

export type Ruled = {
  id: string;
  ruling: "split" | "block" | "unblock" | "erase";
  /** The name of the key. */
  author: string;
  at: string;
  reason: string | null;
  /** Whom it was said of, as the id was then; null of block and unblock. */
  customer_id: string | null;
  /** Of block and unblock; the value is masked unless the key has pii:read. */
  identifier: { [name: string]: string } | null;
};

export type Ruling = {
  /** The entry's, as /v1/rulings has it. */
  id: string;
  /** Whom it is said of. */
  customer_id: string;
  /** Where only the sums are kept of what happened before, they cannot be taken apart: all of them stay with the identifier with which they began. */
  kept_whole_before?: string;
};

export type Rulings = {
  items: Ruled[];
  /** Pass as `cursor` for the next page; null: this was the last one. */
  next_cursor: string | null;
};

export type SalesPeriod = {
  orders: number;
  /** Of the orders, in the base currency. */
  amount: string;
  /** Of an order; null where there is none. */
  average: string | null;
  refunds: number;
  refunded: string;
  period: string;
  from: string;
  to: string;
};

export type Segment = {
  name: string;
  labels: { [name: string]: string };
  filter: string;
  /** filling until everyone has been looked at, then ready. */
  state: string;
  /** Why the rulebook in force has no words for the filter; its members stay meanwhile. */
  problem: string | null;
  created_at: string;
  changed_at: string;
};

export type Segments = {
  items: Segment[];
  /** There is always one page. */
  next_cursor: null;
};

export type Source = {
  name: string;
  trust: Trust;
  intake: Intake;
  created_at: string;
  retired_at: string | null;
  /** Write keys that are good, never themselves. */
  keys: ({
    id: string;
    created_at: string;
    /** Refused from then on. */
    ends_at: string | null;
  })[];
  /** Secrets of webhooks that are good, never themselves. */
  secrets: ({
    id: string;
    created_at: string;
    /** Refused from then on. */
    ends_at: string | null;
  })[];
};

export type Step = {
  stage: string;
  label: { [name: string]: string };
  /** Who ever came to this stage or to one after it. */
  customers: number;
  /** Their share of those at the step before. */
  of_before: number | null;
  /** Their share of those at the first step. */
  of_all: number | null;
};

export type Subscription = {
  id: string;
  url: string;
  description: string;
  enabled: boolean;
  /** Which changes are sent; an empty list: any. */
  filters: {
    /** Any of tier, intent, lifecycle, tag, segment, merge, split, erase; `tag` and `segment` are all of them, or tag:FAMILY.NAME and segment:NAME. */
    aspects?: string[];
    /** From any of these values. */
    from?: string[];
    /** To any of these values. */
    to?: string[];
    /** By any of these causes. Empty: all but import, release, cuts, segment, which change many customers at once. */
    causes?: ("interaction" | "time" | "override" | "merge" | "split" | "block" | "unblock" | "erase" | "import" | "release" | "cuts" | "segment")[];
    /** Of customers who are in one of these segments before the change or after it, so also who comes into one or leaves it by the change. */
    segments?: string[];
  };
  request: {
    method?: "POST" | "PUT" | "PATCH";
    /** Kept sealed, and shown as ***. */
    headers?: { [name: string]: string };
    /** JSON. */
    body: unknown;
  } | null;
  /** Where it was disabled here: `gone` (the endpoint answered 410) or `exhausted` (it took nothing to the last attempt). Nothing is lost: enabled again, it goes on where it stopped. */
  disabled: {
    reason?: "gone" | "exhausted";
    at?: string;
  } | null;
  /** The endpoint asked for it, by Retry-After. */
  paused_until: string | null;
  /** Deliveries in the queue, those to be repeated too. */
  pending: number;
  created_at: string;
  /** Those that sign now, never themselves; the newest first. */
  secrets: ({
    id: string;
    /** For v1a. */
    public_key: string;
    created_at: string;
    ends_at: string | null;
  })[];
};

export type Tag = {
  family: string;
  name: string;
  value: string;
  label: { [name: string]: string };
};

export type Tier = {
  grade: "A" | "B" | "C" | "D" | "E";
  score: number;
  dimensions: { [name: string]: number };
};

export type Timeline = {
  /** Pass it back as `cursor`; null: this is the last page. */
  next_cursor: string | null;
  items: TimelineItem[];
  /** What the customer did before is kept as sums, and not listed; null: all of it is listed. */
  retained_since: string | null;
};

export type TimelineItem = {
  /** Unique in its source. */
  id: string;
  source: string;
  time: string;
  received: string;
  channel: string;
  type: string;
  attributes: { [name: string]: unknown };
  /** What it changed of attributes beside setting them. */
  updates?: { [name: string]: unknown } | null;
  properties: { [name: string]: unknown };
  identifiers: Identifier[];
};

/** None in `channels`, `kinds` or `attributes` means: all of them. `links`: its identifiers may tie customers together. `default_region`: ISO 3166 code by which a phone number without country code is read. */
export type Trust = {
  channels?: string[] | null;
  kinds?: string[] | null;
  attributes?: string[] | null;
  links?: boolean;
  default_region?: string | null;
};

/** A JSON Schema (2020-12) for the properties of one channel and type. */
export type TypeSchema = {
  channel: string;
  type: string;
  properties: { [name: string]: unknown };
};

export type UnknownItem = {
  index: number;
  /** As it was asked. */
  asked: string | { [name: string]: string };
};

export type ValueCount = {
  /** null: not known. */
  value: string | null;
  count: number;
};

export type Why = {
  customer_id: string;
  /** The id asked for, where it was merged into this one. */
  requested_id?: string | null;
  /** Present where the id asked for was merged. */
  merged_into?: string | null;
  /** When the customer was classified so. */
  as_of: string;
  /** The business day of `as_of`. */
  day: string;
  rulebook: string;
  /** The number of those that the tier was cut by; null: fixed scores. */
  cuts: number | null;
  /** Parts by signal with occurrences, points each, fading and cap; fits; then the scale. */
  intent?: { [name: string]: unknown } | null;
  /** Parts by dimension with metric, scale and weight; the cuts. */
  tier?: { [name: string]: unknown } | null;
  /** The rule that holds with its values filled in, and why those before it do not. */
  lifecycle?: { [name: string]: unknown } | null;
  /** Every tag of the rulebook, likewise. */
  tags?: { [name: string]: unknown }[] | null;
  /** With `dimension=tag:FAMILY.NAME`. */
  tag?: { [name: string]: unknown } | null;
  /** With `dimension=` one of the tier's. */
  dimension?: { [name: string]: unknown } | null;
};

export type WhyChange = {
  customer_id: string;
  /** The id asked for, where it was merged into this one. */
  requested_id?: string | null;
  /** Present where the id asked for was merged. */
  merged_into?: string | null;
  /** When the customer was classified so. */
  as_of: string;
  /** The business day of `as_of`. */
  day: string;
  rulebook: string;
  /** The number of those that the tier was cut by; null: fixed scores. */
  cuts: number | null;
  /** Parts by signal with occurrences, points each, fading and cap; fits; then the scale. */
  intent?: { [name: string]: unknown } | null;
  /** Parts by dimension with metric, scale and weight; the cuts. */
  tier?: { [name: string]: unknown } | null;
  /** The rule that holds with its values filled in, and why those before it do not. */
  lifecycle?: { [name: string]: unknown } | null;
  /** Every tag of the rulebook, likewise. */
  tags?: { [name: string]: unknown }[] | null;
  /** With `dimension=tag:FAMILY.NAME`. */
  tag?: { [name: string]: unknown } | null;
  /** With `dimension=` one of the tier's. */
  dimension?: { [name: string]: unknown } | null;
  /** The change, as published. */
  change: { [name: string]: unknown };
  /** Whether what is known today still gives what was published then: not where something came late. */
  agrees: boolean;
};

/** `secret` is shown this once. */
export type WriteKey = {
  id: string;
  name: string;
  secret: string;
};

export interface Operations {
  /** Customers, narrowed and sorted. */
  "GET /v1/customers": {
    path: {};
    query: {
      /** By this, with - in front the greatest first; equals by the order in which customers came. */
      sort?: "customer_id" | "intent.score" | "tier.score" | "last_seen" | "-customer_id" | "-intent.score" | "-tier.score" | "-last_seen";
      /** Only these, dotted, with commas between; ids are always there. */
      fields?: string;
      /** Items in one page. */
      limit?: number;
      /** `next_cursor` of the page before, with the same filters. */
      cursor?: string;
      /** Any of these tiers. */
      tier?: string[];
      /** Any of these intent levels. */
      intent?: string[];
      /** Any of these stages. */
      stage?: string[];
      /** NAME:VALUE; several of one name: any of them. */
      tag?: string[];
      /** Any of these interests. */
      interest?: string[];
      /** Came first or last from any of these. */
      source?: string[];
      /** Does most on any of these channels. */
      preferred_channel?: string[];
      /** Any of these, ISO 3166-2. */
      region?: string[];
      /** Any of these. */
      city_tier?: string[];
      /** Any of these. */
      age_group?: string[];
      /** Any of these. */
      gender?: string[];
      /** Any of these. */
      occupation?: string[];
      /** Any of these. */
      industry?: string[];
      /** Any of these. */
      company_size?: string[];
      /** Any of these. */
      customer_type?: string[];
      /** Any of these. */
      owner?: string[];
      /** An intent score of at least this. */
      intent_from?: number;
      /** An intent score of at most this. */
      intent_to?: number;
      /** A tier score of at least this. */
      tier_from?: number;
      /** A tier score of at most this. */
      tier_to?: number;
      /** Last seen at this time or later. */
      seen_from?: string;
      /** Last seen before this time. */
      seen_to?: string;
      /** In any of these segments. */
      segment?: string[];
      /** An expression in the rulebook's language. */
      filter?: string;
      /** A customer's id, one of their identifiers, whole, or words of their names, whole. */
      q?: string;
    };
    body: undefined;
    answer: Customers;
  };
  /** How many customers, also by the values of a facet. */
  "GET /v1/customers/count": {
    path: {};
    query: {
      /** Also by the values of this: tier, region, ..., tag:NAME. */
      by?: string;
      /** Any of these tiers. */
      tier?: string[];
      /** Any of these intent levels. */
      intent?: string[];
      /** Any of these stages. */
      stage?: string[];
      /** NAME:VALUE; several of one name: any of them. */
      tag?: string[];
      /** Any of these interests. */
      interest?: string[];
      /** Came first or last from any of these. */
      source?: string[];
      /** Does most on any of these channels. */
      preferred_channel?: string[];
      /** Any of these, ISO 3166-2. */
      region?: string[];
      /** Any of these. */
      city_tier?: string[];
      /** Any of these. */
      age_group?: string[];
      /** Any of these. */
      gender?: string[];
      /** Any of these. */
      occupation?: string[];
      /** Any of these. */
      industry?: string[];
      /** Any of these. */
      company_size?: string[];
      /** Any of these. */
      customer_type?: string[];
      /** Any of these. */
      owner?: string[];
      /** An intent score of at least this. */
      intent_from?: number;
      /** An intent score of at most this. */
      intent_to?: number;
      /** A tier score of at least this. */
      tier_from?: number;
      /** A tier score of at most this. */
      tier_to?: number;
      /** Last seen at this time or later. */
      seen_from?: string;
      /** Last seen before this time. */
      seen_to?: string;
      /** In any of these segments. */
      segment?: string[];
      /** An expression in the rulebook's language. */
      filter?: string;
      /** A customer's id, one of their identifiers, whole, or words of their names, whole. */
      q?: string;
    };
    body: undefined;
    answer: Count;
  };
  /** The current view. */
  "GET /v1/customers/{customer_id}": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {
      /** Only these, dotted, with commas between; ids are always there. */
      fields?: string;
      /** As of this time, RFC 3339 with a zone: by event time, as known today. */
      as_of?: string;
      /** By the rulebook and cuts that were in force then, or by those in force now. */
      rulebook?: "then" | "current";
    };
    body: undefined;
    answer: Customer | PickedCustomer;
  };
  /** The current view, by identifier. */
  "GET /v1/customers/by/{kind}/{value}": {
    path: {
      kind: string;
      /** Normalised as at ingest. */
      value: string;
    };
    query: {
      /** Only these, dotted, with commas between; ids are always there. */
      fields?: string;
    };
    body: undefined;
    answer: Customer | PickedCustomer;
  };
  /** Many current views at once. */
  "POST /v1/customers/lookup": {
    path: {};
    query: {
      /** Only these, dotted, with commas between; ids are always there. */
      fields?: string;
    };
    body: {
      customers: (string | {
        kind: string;
        value: string;
      })[];
    };
    answer: LookedUp;
  };
  /** Interactions, newest first. */
  "GET /v1/customers/{customer_id}/timeline": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {
      /** Any of these channels. */
      channel?: ("web" | "email" | "sms" | "call" | "meeting" | "chat" | "social" | "ad" | "order" | "quote" | "survey" | "service" | "crm")[];
      /** Any of these types. */
      type?: string[];
      /** From this time on, RFC 3339 with a zone. */
      from?: string;
      /** Before this time, RFC 3339 with a zone. */
      to?: string;
      /** Items in one page. */
      limit?: number;
      /** `next_cursor` of the page before, with the same filters. */
      cursor?: string;
    };
    body: undefined;
    answer: Timeline;
  };
  /** Changes of the classification, newest first. */
  "GET /v1/customers/{customer_id}/changes": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {
      /** Any of these: tier, intent, lifecycle, merge, tag, tag:FAMILY.NAME, segment:NAME. */
      aspect?: string[];
      /** Taking effect from this time on, RFC 3339. */
      from?: string;
      /** Taking effect before this time, RFC 3339. */
      to?: string;
      /** Items in one page. */
      limit?: number;
      /** `next_cursor` of the page before, with the same filters. */
      cursor?: string;
    };
    body: undefined;
    answer: Changes;
  };
  /** The classification over time. */
  "GET /v1/customers/{customer_id}/history": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {
      /** The first point; 90 days before the last. */
      from?: string;
      /** The last point; now. */
      to?: string;
      /** Days or weeks from point to point. */
      step?: string;
      /** By the rulebook and cuts that were in force then, or by those in force now. */
      rulebook?: "then" | "current";
    };
    body: undefined;
    answer: History;
  };
  /** Why a customer is classified as they are. */
  "GET /v1/customers/{customer_id}/why": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {
      /** Only this: tier, intent, lifecycle, tag:FAMILY.NAME, or one of the tier's dimensions. */
      dimension?: string;
      /** As of this time, RFC 3339 with a zone: by event time, as known today. */
      as_of?: string;
      /** By the rulebook and cuts that were in force then, or by those in force now. */
      rulebook?: "then" | "current";
    };
    body: undefined;
    answer: Why;
  };
  /** Why a past change came about. */
  "GET /v1/changes/{change_id}/why": {
    path: {
      /** `id` in a list of changes. */
      change_id: string;
    };
    query: {};
    body: undefined;
    answer: WhyChange;
  };
  /** Every customer, by id. */
  "GET /v1/export": {
    path: {};
    query: {
      /** Lines of JSON, or flat rows in a file. */
      format?: "ndjson" | "csv" | "parquet";
      /** Of lines of JSON: current views, or the columns of the flat files, ten times as fast. */
      shape?: "view" | "flat";
      /** Go on after this customer's id. */
      after?: string;
      /** Flat rows in words: values as the rulebook labels them, in a CSV the headings too. */
      labels?: "en" | "zh";
      /** As of this time, RFC 3339 with a zone: by event time, as known today. */
      as_of?: string;
      /** By the rulebook and cuts that were in force then, or by those in force now. */
      rulebook?: "then" | "current";
      /** Any of these tiers. */
      tier?: string[];
      /** Any of these intent levels. */
      intent?: string[];
      /** Any of these stages. */
      stage?: string[];
      /** NAME:VALUE; several of one name: any of them. */
      tag?: string[];
      /** Any of these interests. */
      interest?: string[];
      /** Came first or last from any of these. */
      source?: string[];
      /** Does most on any of these channels. */
      preferred_channel?: string[];
      /** Any of these, ISO 3166-2. */
      region?: string[];
      /** Any of these. */
      city_tier?: string[];
      /** Any of these. */
      age_group?: string[];
      /** Any of these. */
      gender?: string[];
      /** Any of these. */
      occupation?: string[];
      /** Any of these. */
      industry?: string[];
      /** Any of these. */
      company_size?: string[];
      /** Any of these. */
      customer_type?: string[];
      /** Any of these. */
      owner?: string[];
      /** An intent score of at least this. */
      intent_from?: number;
      /** An intent score of at most this. */
      intent_to?: number;
      /** A tier score of at least this. */
      tier_from?: number;
      /** A tier score of at most this. */
      tier_to?: number;
      /** Last seen at this time or later. */
      seen_from?: string;
      /** Last seen before this time. */
      seen_to?: string;
      /** In any of these segments. */
      segment?: string[];
      /** An expression in the rulebook's language. */
      filter?: string;
      /** A customer's id, one of their identifiers, whole, or words of their names, whole. */
      q?: string;
    };
    body: undefined;
    answer: string;
  };
  /** How many customers have each value. */
  "GET /v1/statistics/distribution": {
    path: {};
    query: {
      /** tier, region, ..., tag:NAME. */
      by: string;
      /** Any of these tiers. */
      tier?: string[];
      /** Any of these intent levels. */
      intent?: string[];
      /** Any of these stages. */
      stage?: string[];
      /** NAME:VALUE; several of one name: any of them. */
      tag?: string[];
      /** Any of these interests. */
      interest?: string[];
      /** Came first or last from any of these. */
      source?: string[];
      /** Does most on any of these channels. */
      preferred_channel?: string[];
      /** Any of these, ISO 3166-2. */
      region?: string[];
      /** Any of these. */
      city_tier?: string[];
      /** Any of these. */
      age_group?: string[];
      /** Any of these. */
      gender?: string[];
      /** Any of these. */
      occupation?: string[];
      /** Any of these. */
      industry?: string[];
      /** Any of these. */
      company_size?: string[];
      /** Any of these. */
      customer_type?: string[];
      /** Any of these. */
      owner?: string[];
      /** An intent score of at least this. */
      intent_from?: number;
      /** An intent score of at most this. */
      intent_to?: number;
      /** A tier score of at least this. */
      tier_from?: number;
      /** A tier score of at most this. */
      tier_to?: number;
      /** Last seen at this time or later. */
      seen_from?: string;
      /** Last seen before this time. */
      seen_to?: string;
      /** In any of these segments. */
      segment?: string[];
      /** An expression in the rulebook's language. */
      filter?: string;
      /** A customer's id, one of their identifiers, whole, or words of their names, whole. */
      q?: string;
    };
    body: undefined;
    answer: Count;
  };
  /** How many customers moved from which value to which. */
  "GET /v1/statistics/moves": {
    path: {};
    query: {
      aspect?: "tier" | "intent" | "lifecycle";
      /** From this time on, RFC 3339; 30 days before `to`. */
      from?: string;
      /** Before this time, RFC 3339; now. */
      to?: string;
    };
    body: undefined;
    answer: Moves;
  };
  /** The channel table: customers, sales and growth by where customers came from. */
  "GET /v1/statistics/channels": {
    path: {};
    query: {
      /** By the first touch or by the last. */
      touch?: "first" | "last";
      format?: "json" | "csv" | "xlsx";
      /** The one that `to` lies in, up to `to`, compared with as much of the one before. */
      period?: "month" | "quarter" | "year";
      /** From this time on, RFC 3339; 30 days before `to`. */
      from?: string;
      /** Before this time, RFC 3339; now. */
      to?: string;
      /** Any of these tiers. */
      tier?: string[];
      /** Any of these intent levels. */
      intent?: string[];
      /** Any of these stages. */
      stage?: string[];
      /** NAME:VALUE; several of one name: any of them. */
      tag?: string[];
      /** Any of these interests. */
      interest?: string[];
      /** Came first or last from any of these. */
      source?: string[];
      /** Does most on any of these channels. */
      preferred_channel?: string[];
      /** Any of these, ISO 3166-2. */
      region?: string[];
      /** Any of these. */
      city_tier?: string[];
      /** Any of these. */
      age_group?: string[];
      /** Any of these. */
      gender?: string[];
      /** Any of these. */
      occupation?: string[];
      /** Any of these. */
      industry?: string[];
      /** Any of these. */
      company_size?: string[];
      /** Any of these. */
      customer_type?: string[];
      /** Any of these. */
      owner?: string[];
      /** An intent score of at least this. */
      intent_from?: number;
      /** An intent score of at most this. */
      intent_to?: number;
      /** A tier score of at least this. */
      tier_from?: number;
      /** A tier score of at most this. */
      tier_to?: number;
      /** Last seen at this time or later. */
      seen_from?: string;
      /** Last seen before this time. */
      seen_to?: string;
      /** In any of these segments. */
      segment?: string[];
      /** An expression in the rulebook's language. */
      filter?: string;
      /** A customer's id, one of their identifiers, whole, or words of their names, whole. */
      q?: string;
    };
    body: undefined;
    answer: ChannelTable;
  };
  /** Interactions by day and channel. */
  "GET /v1/statistics/activity": {
    path: {};
    query: {
      /** A business day; 30 days up to `to`. */
      from?: string;
      /** A business day, included; today. */
      to?: string;
      /** Only of these. */
      channel?: string[];
    };
    body: undefined;
    answer: Activity;
  };
  /** Orders, amounts and refunds by period. */
  "GET /v1/statistics/orders": {
    path: {};
    query: {
      /** The length of a period. */
      period?: "day" | "week" | "month" | "quarter" | "year";
      /** A business day; 30 days up to `to`. */
      from?: string;
      /** A business day, included; today. */
      to?: string;
    };
    body: undefined;
    answer: Orders;
  };
  /** Interactions and orders by the hour of the day. */
  "GET /v1/statistics/hours": {
    path: {};
    query: {
      /** A business day; 30 days up to `to`. */
      from?: string;
      /** A business day, included; today. */
      to?: string;
      /** Only of these. */
      channel?: string[];
    };
    body: undefined;
    answer: Hours;
  };
  /** How many customers came how far, from prospect to loyal. */
  "GET /v1/statistics/funnel": {
    path: {};
    query: {
      /** These stages, in this order. */
      step?: string[];
      /** Any of these tiers. */
      tier?: string[];
      /** Any of these intent levels. */
      intent?: string[];
      /** Any of these stages. */
      stage?: string[];
      /** NAME:VALUE; several of one name: any of them. */
      tag?: string[];
      /** Any of these interests. */
      interest?: string[];
      /** Came first or last from any of these. */
      source?: string[];
      /** Does most on any of these channels. */
      preferred_channel?: string[];
      /** Any of these, ISO 3166-2. */
      region?: string[];
      /** Any of these. */
      city_tier?: string[];
      /** Any of these. */
      age_group?: string[];
      /** Any of these. */
      gender?: string[];
      /** Any of these. */
      occupation?: string[];
      /** Any of these. */
      industry?: string[];
      /** Any of these. */
      company_size?: string[];
      /** Any of these. */
      customer_type?: string[];
      /** Any of these. */
      owner?: string[];
      /** An intent score of at least this. */
      intent_from?: number;
      /** An intent score of at most this. */
      intent_to?: number;
      /** A tier score of at least this. */
      tier_from?: number;
      /** A tier score of at most this. */
      tier_to?: number;
      /** Last seen at this time or later. */
      seen_from?: string;
      /** Last seen before this time. */
      seen_to?: string;
      /** In any of these segments. */
      segment?: string[];
      /** An expression in the rulebook's language. */
      filter?: string;
      /** A customer's id, one of their identifiers, whole, or words of their names, whole. */
      q?: string;
    };
    body: undefined;
    answer: Funnel;
  };
  /** Segments, by name. */
  "GET /v1/segments": {
    path: {};
    query: {};
    body: undefined;
    answer: Segments;
  };
  /** Save a segment. */
  "POST /v1/segments": {
    path: {};
    query: {};
    body: {
      name: string;
      /** An expression in the rulebook's language. */
      filter: string;
      /** By language: en, zh. */
      labels?: { [name: string]: string };
      /** Who comes and goes by it is not published. */
      quiet?: boolean;
    };
    answer: Segment;
  };
  /** A segment, and how many are in it. */
  "GET /v1/segments/{name}": {
    path: {
      /** The segment's name. */
      name: string;
    };
    query: {};
    body: undefined;
    answer: CountedSegment;
  };
  /** Replace a segment. */
  "PUT /v1/segments/{name}": {
    path: {
      /** The segment's name. */
      name: string;
    };
    query: {};
    body: {
      /** An expression in the rulebook's language. */
      filter: string;
      /** By language: en, zh. */
      labels?: { [name: string]: string };
      /** Who comes and goes by it is not published. */
      quiet?: boolean;
    };
    answer: Segment;
  };
  /** Delete a segment. */
  "DELETE /v1/segments/{name}": {
    path: {
      /** The segment's name. */
      name: string;
    };
    query: {};
    body: undefined;
    answer: undefined;
  };
  /** Every change as it happens, as server-sent events. */
  "GET /v1/changes/live": {
    path: {};
    query: {
      /** Any of these: tier, intent, lifecycle, tag, segment, merge, split, erase, tag:FAMILY.NAME, segment:NAME. */
      aspect?: string[];
      /** From any of these values. */
      from?: string[];
      /** To any of these values. */
      to?: string[];
      /** The same; the header goes first. */
      last_event_id?: string;
      /** A short-lived token: browsers' EventSource cannot send headers. */
      access_token?: string;
    };
    body: undefined;
    answer: string;
  };
  /** A customer's changes as they happen, as server-sent events. */
  "GET /v1/customers/{customer_id}/live": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {
      /** Any of these: tier, intent, lifecycle, tag, segment, merge, split, erase, tag:FAMILY.NAME, segment:NAME. */
      aspect?: string[];
      /** From any of these values. */
      from?: string[];
      /** To any of these values. */
      to?: string[];
      /** The same; the header goes first. */
      last_event_id?: string;
      /** A short-lived token: browsers' EventSource cannot send headers. */
      access_token?: string;
    };
    body: undefined;
    answer: string;
  };
  /** A short-lived token for a browser, bound to one customer. */
  "POST /v1/tokens": {
    path: {};
    query: {};
    body: {
      customer_id: string;
      /** The key has to hold them too. */
      scopes?: ("profiles:read" | "timeline:read" | "pii:read")[];
      expires_in_s?: number;
    };
    answer: BrowserToken;
  };
  /** Who read whose personal data, newest first. */
  "GET /v1/audit": {
    path: {};
    query: {
      /** Of this customer alone, as their id was then. */
      customer_id?: string;
      /** By this reader alone. */
      reader?: string;
      /** From this time on, RFC 3339. */
      from?: string;
      /** Before this time, RFC 3339. */
      to?: string;
      /** Items in one page. */
      limit?: number;
      /** `next_cursor` of the page before, with the same filters. */
      cursor?: string;
    };
    body: undefined;
    answer: Audit;
  };
  /** Sources, by name. */
  "GET /v1/sources": {
    path: {};
    query: {};
    body: undefined;
    answer: {
      items: Source[];
      next_cursor: null;
    };
  };
  /** Make a source and its first write key. */
  "POST /v1/sources": {
    path: {};
    query: {};
    body: {
      name: string;
      /** `backend`: a system of your own. `browser`: its key stands in a web page. */
      trust?: "backend" | "browser" | Trust;
      intake?: Intake;
    };
    answer: {
      source: Source;
      key: WriteKey;
    };
  };
  /** A source. */
  "GET /v1/sources/{name}": {
    path: {
      /** The source's name. */
      name: string;
    };
    query: {};
    body: undefined;
    answer: Source;
  };
  /** Change a source. */
  "PATCH /v1/sources/{name}": {
    path: {
      /** The source's name. */
      name: string;
    };
    query: {};
    body: {
      /** `backend`: a system of your own. `browser`: its key stands in a web page. */
      trust?: "backend" | "browser" | null | {
        channels?: string[] | null | null;
        kinds?: string[] | null | null;
        attributes?: string[] | null | null;
        links?: boolean | null;
        default_region?: string | null | null;
      } | null;
      intake?: {
        formats?: string[] | null | null;
        origins?: string[] | null;
        rate_limit?: {
          per_second?: number | null;
          burst?: number | null;
        } | null | null;
        without_consent?: "keep" | "refuse" | null;
        schemas?: TypeSchema[] | null;
        violations?: "count" | "refuse" | null;
        mapping?: string | null | null;
        topics?: string[] | null;
        redirects?: string[] | null;
      } | null;
    };
    answer: Source;
  };
  /** A new write key, or a new secret. */
  "POST /v1/sources/{name}/rotate": {
    path: {
      /** The source's name. */
      name: string;
    };
    query: {};
    body: {
      what: "key" | "secret";
      /** The provider's; absent: one is made. */
      secret?: string | null;
      grace_s?: number;
    };
    answer: {
      key: WriteKey | null;
      /** Where it was made here; shown this once. */
      secret: string | null;
    };
  };
  /** Subscriptions, the oldest first. */
  "GET /v1/subscriptions": {
    path: {};
    query: {};
    body: undefined;
    answer: {
      items: Subscription[];
      next_cursor: null;
    };
  };
  /** Subscribe to changes. */
  "POST /v1/subscriptions": {
    path: {};
    query: {};
    body: {
      url: string;
      description?: string;
      enabled?: boolean;
      /** Which changes are sent; an empty list: any. */
      filters?: {
        /** Any of tier, intent, lifecycle, tag, segment, merge, split, erase; `tag` and `segment` are all of them, or tag:FAMILY.NAME and segment:NAME. */
        aspects?: string[];
        /** From any of these values. */
        from?: string[];
        /** To any of these values. */
        to?: string[];
        /** By any of these causes. Empty: all but import, release, cuts, segment, which change many customers at once. */
        causes?: ("interaction" | "time" | "override" | "merge" | "split" | "block" | "unblock" | "erase" | "import" | "release" | "cuts" | "segment")[];
        /** Of customers who are in one of these segments before the change or after it, so also who comes into one or leaves it by the change. */
        segments?: string[];
      };
      request?: {
        method?: "POST" | "PUT" | "PATCH";
        /** Kept sealed, and shown as ***. */
        headers?: { [name: string]: string };
        /** JSON. */
        body: unknown;
      } | null;
    };
    answer: {
      subscription: Subscription;
      /** For v1; shown this once. */
      secret: string;
    };
  };
  /** A subscription. */
  "GET /v1/subscriptions/{subscription_id}": {
    path: {
      /** The subscription's id. */
      subscription_id: string;
    };
    query: {};
    body: undefined;
    answer: Subscription;
  };
  /** Change a subscription. */
  "PATCH /v1/subscriptions/{subscription_id}": {
    path: {
      /** The subscription's id. */
      subscription_id: string;
    };
    query: {};
    body: {
      url?: string | null;
      description?: string | null;
      enabled?: boolean | null;
      filters?: {
        aspects?: string[] | null;
        from?: string[] | null;
        to?: string[] | null;
        causes?: ("interaction" | "time" | "override" | "merge" | "split" | "block" | "unblock" | "erase" | "import" | "release" | "cuts" | "segment")[] | null;
        segments?: string[] | null;
      } | null;
      request?: {
        method?: "POST" | "PUT" | "PATCH" | null;
        headers?: { [name: string]: string } | null;
        body?: unknown | null;
      } | null | null;
    };
    answer: Subscription;
  };
  /** Delete a subscription. */
  "DELETE /v1/subscriptions/{subscription_id}": {
    path: {
      /** The subscription's id. */
      subscription_id: string;
    };
    query: {};
    body: undefined;
    answer: undefined;
  };
  /** A new secret. */
  "POST /v1/subscriptions/{subscription_id}/rotate": {
    path: {
      /** The subscription's id. */
      subscription_id: string;
    };
    query: {};
    body: {
      grace_s?: number;
    };
    answer: {
      /** For v1; shown this once. */
      secret: string;
    };
  };
  /** Send an event that says nothing. */
  "POST /v1/subscriptions/{subscription_id}/test": {
    path: {
      /** The subscription's id. */
      subscription_id: string;
    };
    query: {};
    body: undefined;
    answer: Delivery;
  };
  /** What was sent, the newest first. */
  "GET /v1/subscriptions/{subscription_id}/deliveries": {
    path: {
      /** The subscription's id. */
      subscription_id: string;
    };
    query: {
      /** Of pending, delivered, failed. */
      state?: "pending" | "delivered" | "failed";
      /** Items in one page. */
      limit?: number;
      /** `next_cursor` of the page before, with the same filters. */
      cursor?: string;
    };
    body: undefined;
    answer: {
      items: Delivery[];
      next_cursor: string | null;
    };
  };
  /** Send a time range again. */
  "POST /v1/subscriptions/{subscription_id}/replay": {
    path: {
      /** The subscription's id. */
      subscription_id: string;
    };
    query: {};
    body: {
      from: string;
      to: string;
    };
    answer: {
      changes: number;
    };
  };
  /** Overrides that hold. */
  "GET /v1/customers/{customer_id}/overrides": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {};
    body: undefined;
    answer: {
      items: ({
        aspect: string;
        value: string;
        /** What it stands over. */
        computed: string | null;
        reason: string | null;
        author: string | null;
        expires: string | null;
      })[];
      next_cursor: null;
    };
  };
  /** Set an aspect by hand. */
  "POST /v1/customers/{customer_id}/overrides": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {};
    body: NewOverride;
    answer: Entry;
  };
  /** Take an override back. */
  "DELETE /v1/customers/{customer_id}/overrides/{aspect}": {
    path: {
      /** The customer's id. */
      customer_id: string;
      aspect: string;
    };
    query: {
      reason?: string;
      id?: string;
    };
    body: undefined;
    answer: Entry;
  };
  /** Note something down. */
  "POST /v1/customers/{customer_id}/notes": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {};
    body: NewNote;
    answer: Entry;
  };
  /** Correct attributes. */
  "POST /v1/customers/{customer_id}/attributes": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {};
    body: Correction;
    answer: Entry;
  };
  /** Say that two customers are one person. */
  "POST /v1/merges": {
    path: {};
    query: {};
    body: NewMerge;
    answer: Entry;
  };
  /** Take apart who is not one person. */
  "POST /v1/customers/{customer_id}/split": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {};
    body: NewSplit;
    answer: Ruling;
  };
  /** Erase a person. */
  "POST /v1/customers/{customer_id}/erase": {
    path: {
      /** The customer's id. */
      customer_id: string;
    };
    query: {};
    body: NewErasure;
    answer: Ruling;
  };
  /** Let an identifier tie nobody. */
  "POST /v1/identifiers/block": {
    path: {};
    query: {};
    body: NewBlock;
    answer: {
      /** The entry's, as /v1/rulings has it. */
      id: string;
      /** Where only the sums are kept of what happened before, they cannot be taken apart: all of them stay with the identifier with which they began. */
      kept_whole_before?: string;
    };
  };
  /** Let an identifier tie again. */
  "POST /v1/identifiers/unblock": {
    path: {};
    query: {};
    body: NewBlock;
    answer: {
      /** The entry's, as /v1/rulings has it. */
      id: string;
      /** Where only the sums are kept of what happened before, they cannot be taken apart: all of them stay with the identifier with which they began. */
      kept_whole_before?: string;
    };
  };
  /** Who ruled what of who is who, newest first. */
  "GET /v1/rulings": {
    path: {};
    query: {
      /** Said of this customer, as the id was then. */
      customer_id?: string;
      /** Of this kind alone. */
      ruling?: "split" | "block" | "unblock" | "erase";
      /** Items in one page. */
      limit?: number;
      /** `next_cursor` of the page before, with the same filters. */
      cursor?: string;
    };
    body: undefined;
    answer: Rulings;
  };
}
