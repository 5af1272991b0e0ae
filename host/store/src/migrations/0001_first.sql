-- The first schema. Moments are integer microseconds since 1970-01-01T00:00:00Z: they compare, sort and add up exactly,
-- which text does only while every writer formats it alike; PostgreSQL's own resolution is the same.
-- Plans, labels and facts are JSON text: they are read whole, and never decided on in SQL.
-- Rows that tell what happened are never deleted, and the story is never rewritten; triggers say so to every program.

CREATE TABLE meta (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    installation TEXT    NOT NULL,
    public_key   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE sandbox (
    row        INTEGER PRIMARY KEY AUTOINCREMENT, -- the order in which they were opened, whatever the clock did
    id         TEXT    NOT NULL UNIQUE,
    project    TEXT    NOT NULL,
    actor      TEXT    NOT NULL CHECK (actor IN ('adm', 'agt', 'atm')),
    name       TEXT,
    labels     TEXT    NOT NULL,
    plan       TEXT    NOT NULL,
    profile    TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    component  TEXT    NOT NULL,
    grants     TEXT    NOT NULL,
    desired    TEXT    NOT NULL CHECK (desired IN ('present', 'absent')),
    state      TEXT    NOT NULL CHECK (state IN
        ('requested', 'provisioning', 'waiting', 'ready', 'destroying', 'destroyed', 'failed')),
    version    INTEGER NOT NULL CHECK (version > 0),
    reason     TEXT    NOT NULL,
    facts      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    ready_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX sandbox_name ON sandbox (project, name) WHERE name IS NOT NULL AND state <> 'destroyed';
CREATE INDEX sandbox_named ON sandbox (name) WHERE name IS NOT NULL;
CREATE INDEX sandbox_live ON sandbox (row) WHERE state <> 'destroyed';

CREATE TABLE operation (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    sandbox     TEXT    NOT NULL REFERENCES sandbox (id),
    kind        TEXT    NOT NULL CHECK (kind IN ('create', 'destroy')),
    actor       TEXT    NOT NULL CHECK (actor IN ('adm', 'agt', 'atm')),
    state       TEXT    NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    reason      TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    leased_at   INTEGER NOT NULL,
    lease_until INTEGER NOT NULL,
    fence       INTEGER NOT NULL CHECK (fence > 0), -- grows over all operations of the sandbox
    attempt     INTEGER NOT NULL CHECK (attempt > 0),
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER,
    CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT;
CREATE UNIQUE INDEX operation_open ON operation (sandbox) WHERE state = 'running';
CREATE INDEX operation_sandbox ON operation (sandbox, id);

CREATE TABLE resource (
    row        INTEGER PRIMARY KEY AUTOINCREMENT,
    ref        TEXT    NOT NULL UNIQUE,
    sandbox    TEXT    NOT NULL REFERENCES sandbox (id),
    slot       TEXT    NOT NULL,
    host       TEXT    NOT NULL,
    identity   TEXT    NOT NULL CHECK (identity IN ('name')),
    state      TEXT    NOT NULL CHECK (state IN ('intent', 'live', 'deleting', 'gone', 'quarantined')),
    fence      INTEGER NOT NULL, -- of the claim that last wrote it
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX resource_sandbox ON resource (sandbox, row);

CREATE TABLE note (
    sandbox TEXT NOT NULL REFERENCES sandbox (id),
    key     TEXT NOT NULL,
    value   TEXT NOT NULL,
    PRIMARY KEY (sandbox, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    sandbox  TEXT    NOT NULL REFERENCES sandbox (id),
    version  INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL CHECK (kind IN ('state', 'operation', 'resource', 'progress')),
    state    TEXT    NOT NULL,
    reason   TEXT    NOT NULL,
    actor    TEXT    NOT NULL CHECK (actor IN ('adm', 'agt', 'atm'))
) STRICT;
CREATE INDEX event_sandbox ON event (sandbox, sequence);

CREATE TABLE ledger (
    sandbox  TEXT    NOT NULL REFERENCES sandbox (id),
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    at       INTEGER NOT NULL,
    previous TEXT    NOT NULL,
    body     TEXT    NOT NULL,
    hash     TEXT    NOT NULL,
    PRIMARY KEY (sandbox, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger_head (
    sandbox   TEXT    NOT NULL PRIMARY KEY REFERENCES sandbox (id),
    sequence  INTEGER NOT NULL,
    hash      TEXT    NOT NULL,
    signature TEXT    NOT NULL,
    closed    INTEGER NOT NULL CHECK (closed IN (0, 1))
) STRICT, WITHOUT ROWID;

CREATE TRIGGER meta_stays BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'meta is never deleted'); END;
CREATE TRIGGER meta_is_fixed BEFORE UPDATE ON meta BEGIN SELECT RAISE(ABORT, 'meta is never changed'); END;
CREATE TRIGGER sandbox_stays BEFORE DELETE ON sandbox BEGIN SELECT RAISE(ABORT, 'a sandbox is never deleted'); END;
CREATE TRIGGER operation_stays BEFORE DELETE ON operation BEGIN SELECT RAISE(ABORT, 'an operation is never deleted'); END;
CREATE TRIGGER resource_stays BEFORE DELETE ON resource BEGIN SELECT RAISE(ABORT, 'a resource is never deleted'); END;
CREATE TRIGGER event_stays BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'an event is never deleted'); END;
CREATE TRIGGER event_is_fixed BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END;
CREATE TRIGGER ledger_stays BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger entry is never deleted'); END;
CREATE TRIGGER ledger_is_fixed BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'a ledger entry is never changed'); END;
CREATE TRIGGER ledger_head_stays BEFORE DELETE ON ledger_head BEGIN SELECT RAISE(ABORT, 'a ledger head is never deleted'); END;
