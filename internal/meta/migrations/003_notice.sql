-- Changes of status that somebody wants to be told of, in their order, until he has been. Nothing here is more than what Describe showed.
CREATE TABLE notice (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	id      TEXT    NOT NULL,
	arn     TEXT    NOT NULL,
	kind    TEXT    NOT NULL,
	status  TEXT    NOT NULL,
	failure TEXT    NOT NULL,
	at      INTEGER NOT NULL
) STRICT;
