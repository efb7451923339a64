-- One row per resource; the job columns say what remains to be done with it. Times are nanoseconds since 1970.
CREATE TABLE resource (
	seq         INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: page tokens and "older than" rest on it
	arn         TEXT    NOT NULL UNIQUE,
	kind        TEXT    NOT NULL CHECK (kind IN (
		'dataset-group', 'schema', 'dataset', 'dataset-import-job', 'dataset-export-job', 'data-deletion-job', 'event-tracker', 'filter',
		'solution', 'solution-version', 'campaign', 'recommender', 'metric-attribution', 'batch-inference-job', 'batch-segment-job')),
	scope       TEXT    NOT NULL,
	grp         TEXT    NOT NULL,
	parent      TEXT    NOT NULL,
	name        TEXT    NOT NULL,
	status      TEXT    NOT NULL CHECK (CASE kind
		WHEN 'schema' THEN status = ''
		WHEN 'data-deletion-job' THEN status IN ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED')
		ELSE status IN ('CREATE PENDING', 'CREATE IN_PROGRESS', 'ACTIVE', 'CREATE FAILED', 'DELETE PENDING', 'DELETE IN_PROGRESS')
			OR kind = 'dataset' AND status IN ('UPDATE PENDING', 'UPDATE IN_PROGRESS')
			OR kind = 'solution-version' AND status IN ('CREATE STOPPING', 'CREATE STOPPED')
			OR kind = 'recommender' AND status IN ('STOP PENDING', 'STOP IN_PROGRESS', 'INACTIVE', 'START PENDING', 'START IN_PROGRESS')
		END),
	failure     TEXT    NOT NULL,
	created     INTEGER NOT NULL,
	updated     INTEGER NOT NULL,
	doc         TEXT    NOT NULL CHECK (json_valid(doc)),
	private     TEXT    NOT NULL CHECK (json_valid(private)),
	job_kind    TEXT    NOT NULL,
	lane        TEXT    NOT NULL,
	after_kind  TEXT    NOT NULL,
	owner       TEXT    NOT NULL,
	lease_until INTEGER NOT NULL,
	attempt     INTEGER NOT NULL,
	failures    INTEGER NOT NULL,
	cancel      INTEGER NOT NULL CHECK (cancel IN (0, 1)),
	step        TEXT    NOT NULL,
	checkpoint  TEXT    NOT NULL CHECK (json_valid(checkpoint)),
	progress    TEXT    NOT NULL CHECK (json_valid(progress)),
	CHECK (job_kind <> '' OR owner = '' AND cancel = 0) -- nobody works on what has nothing to do
) STRICT;

CREATE INDEX resource_parent ON resource (kind, parent, seq);
CREATE INDEX resource_scope ON resource (kind, scope, seq);
CREATE INDEX resource_group ON resource (grp, kind, seq);
CREATE INDEX resource_job ON resource (job_kind, seq) WHERE job_kind <> '';
CREATE INDEX resource_lane ON resource (lane, seq) WHERE job_kind <> '' AND lane <> '';

CREATE TABLE tag (
	arn   TEXT NOT NULL REFERENCES resource (arn) ON DELETE CASCADE,
	key   TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (arn, key)
) STRICT, WITHOUT ROWID;

-- Secrets of this installation. The page key authenticates the tokens of List operations.
CREATE TABLE secret (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO secret (name, value) VALUES ('page', randomblob(32));
