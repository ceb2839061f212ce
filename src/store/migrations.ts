/**
 * The schema, one step an entry. Append only: a released step is never changed, as databases in the
 * field have run it. `user_version` is the number of steps that a database has had.
 *
 * Times are epoch milliseconds, sizes bytes. A size of -1 is unknown.
 */
export const MIGRATIONS: readonly string[] = [
  `
  create table upstreams (
    id integer primary key,
    name text not null unique
  ) strict;

  create table repositories (
    id integer primary key,
    upstream_id integer not null references upstreams (id),
    name text not null,
    -- When the registry last let an anonymous caller pull from it.
    public_at integer,
    unique (upstream_id, name)
  ) strict;

  -- What is known of a manifest's bytes, whoever has it.
  create table manifests (
    digest text primary key,
    media_type text not null,
    size integer not null,
    subject text,
    artifact_type text,
    annotations text not null
  ) strict, without rowid;

  create index manifests_by_subject on manifests (subject) where subject is not null;

  create table manifest_children (
    parent text not null references manifests (digest) on delete cascade,
    child text not null,
    kind text not null check (kind in ('manifest', 'blob')),
    size integer not null,
    primary key (parent, child, kind)
  ) strict, without rowid;

  -- What a repository is known to have: the ground on which cached content is served under it.
  create table members (
    repository_id integer not null references repositories (id),
    digest text not null,
    kind text not null check (kind in ('manifest', 'blob')),
    size integer not null,
    primary key (repository_id, digest, kind)
  ) strict, without rowid;

  create table tags (
    repository_id integer not null references repositories (id),
    tag text not null,
    digest text not null,
    checked_at integer not null,
    primary key (repository_id, tag)
  ) strict, without rowid;

  -- What a tag has pointed at; a row for each time that it moved.
  create table tag_history (
    id integer primary key,
    repository_id integer not null references repositories (id),
    tag text not null,
    digest text not null,
    seen_at integer not null
  ) strict;

  create index tag_history_by_tag on tag_history (repository_id, tag, seen_at);

  -- Bodies may be large: a table with a rowid keeps them out of the index.
  create table lists (
    repository_id integer not null references repositories (id),
    kind text not null check (kind in ('tags', 'referrers')),
    key text not null,
    body text not null,
    checked_at integer not null,
    primary key (repository_id, kind, key)
  ) strict;

  -- What is in the blob store, manifests included. verified_at: when its bytes were last hashed.
  create table blobs (
    digest text primary key,
    size integer not null,
    created_at integer not null,
    last_used_at integer not null,
    verified_at integer
  ) strict, without rowid;

  -- Kept by triggers: counting a hundred thousand rows for each scrape would stall every pull.
  create table totals (
    id integer primary key check (id = 1),
    blobs integer not null,
    blob_bytes integer not null,
    manifests integer not null,
    tags integer not null
  ) strict;

  insert into totals values (1, 0, 0, 0, 0);

  create trigger blobs_inserted after insert on blobs begin
    update totals set blobs = blobs + 1, blob_bytes = blob_bytes + new.size where id = 1;
  end;
  create trigger blobs_deleted after delete on blobs begin
    update totals set blobs = blobs - 1, blob_bytes = blob_bytes - old.size where id = 1;
  end;
  create trigger blobs_resized after update of size on blobs when old.size <> new.size begin
    update totals set blob_bytes = blob_bytes - old.size + new.size where id = 1;
  end;
  create trigger manifests_inserted after insert on manifests begin
    update totals set manifests = manifests + 1 where id = 1;
  end;
  create trigger manifests_deleted after delete on manifests begin
    update totals set manifests = manifests - 1 where id = 1;
  end;
  create trigger tags_inserted after insert on tags begin
    update totals set tags = tags + 1 where id = 1;
  end;
  create trigger tags_deleted after delete on tags begin
    update totals set tags = tags - 1 where id = 1;
  end;
  `,
  `
  -- Whether the registry has given or confirmed it there; else a manifest there merely lists it.
  alter table members add column confirmed integer not null default 0;

  create index confirmed_members_by_digest on members (digest, kind) where confirmed = 1;
  `,
  `
  -- When the registry answered, for the last time, that the tag is not there or not for us.
  alter table tags add column refused_at integer;

  -- The time of Larder's own clock when it was last written down: it never goes back.
  create table clock (
    id integer primary key check (id = 1),
    at integer not null
  ) strict;

  create index blobs_by_use on blobs (last_used_at, digest);
  create index blobs_by_check on blobs (verified_at, digest);
  create index manifest_children_by_child on manifest_children (child);
  create index members_by_digest on members (digest);
  create index tags_by_digest on tags (digest);

  -- What eviction must leave alone. The files under pins/ are the truth, this is their index.
  create table pins (
    id integer primary key,
    upstream text not null,
    -- A tag, a digest, or for a pattern the whole glob over repository:tag.
    repository text not null,
    reference text not null,
    kind text not null check (kind in ('tag', 'digest', 'pattern')),
    -- Who asked: manual, or the name of a preload job.
    owner text not null,
    -- What the reference means; null for a pattern.
    digest text,
    -- Whether the pin moves with its tag.
    follows integer not null check (follows in (0, 1)),
    created_at integer not null,
    expires_at integer,
    unique (upstream, repository, reference, owner)
  ) strict;

  create index pins_by_digest on pins (digest) where digest is not null;
  `,
  `
  -- What came of the pulls of a minute, for a day: charts for those who have no Prometheus.
  create table samples (
    -- Since the epoch.
    minute integer primary key,
    hit integer not null,
    miss integer not null,
    revalidated integer not null,
    stale integer not null,
    coalesced integer not null,
    negative integer not null,
    bypass integer not null,
    denied integer not null,
    error integer not null,
    served_bytes integer not null,
    fetched_bytes integer not null,
    -- Of the disk, at the end of it.
    used_bytes integer not null
  ) strict;
  `,
  `
  -- Preloads, under way and ended, the last of them. What they were asked and came to is JSON.
  create table preload_runs (
    id text primary key,
    created_at integer not null,
    body text not null
  ) strict;

  create index preload_runs_by_time on preload_runs (created_at, id);
  `,
  `
  -- How often nodes have pulled a manifest there, and when last.
  alter table members add column pulls integer not null default 0;
  alter table members add column pulled_at integer;
  `,
  `
  -- What the wall clock said then, how far it was believed to be ahead of the line, and how far the
  -- line might still leap, all in milliseconds: a restart is no reason to leap again.
  alter table clock add column wall integer not null default 0;
  alter table clock add column ahead integer not null default 0;
  alter table clock add column leave integer not null default 86400000;
  update clock set wall = at;
  `,
  `
  create index lists_by_check on lists (checked_at);
  `,
  `
  -- Of those that were fetched: by preloads, which nobody has pulled yet.
  alter table samples add column preloaded_bytes integer not null default 0;
  `,
]
