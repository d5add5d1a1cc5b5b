-- Version 1 (PRAGMA user_version). The schema is that of kine: one append-only log, one table of the present.

-- Every write there was. `revision` is the resourceVersion; AUTOINCREMENT: a number is never given twice.
CREATE TABLE history (
  revision  INTEGER PRIMARY KEY AUTOINCREMENT,
  previous  INTEGER NOT NULL,           -- the revision that this one follows, 0 when there is none
  resource  TEXT NOT NULL,              -- "pods", "deployments.apps"
  namespace TEXT NOT NULL,              -- "" when the kind has none
  name      TEXT NOT NULL,
  type      TEXT NOT NULL,              -- ADDED, MODIFIED, DELETED
  made      REAL NOT NULL,              -- seconds since 1970
  value     BLOB NOT NULL               -- JSON; of a DELETED one, the last state
) STRICT;

-- The optimistic lock: two writes cannot follow the same one.
CREATE UNIQUE INDEX history_lock ON history (resource, namespace, name, previous);

-- What exists now; survives the compaction of its history row.
CREATE TABLE current (
  resource  TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  revision  INTEGER NOT NULL,
  uid       TEXT NOT NULL,
  labels    TEXT NOT NULL,              -- JSON
  value     BLOB NOT NULL,
  PRIMARY KEY (resource, namespace, name)
) STRICT;

-- One row: watches can resume from `revision` and later, not from before.
CREATE TABLE compacted (revision INTEGER NOT NULL) STRICT;
INSERT INTO compacted VALUES (0);
