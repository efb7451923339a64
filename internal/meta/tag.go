package meta

import (
	"fmt"
)

// Tags returns the tags of a resource; an ARN that is not there has none.
func (tx *Tx) Tags(arn string) (map[string]string, error) {
	rows, err := tx.sql.QueryContext(tx.ctx, `SELECT key, value FROM tag WHERE arn = ?`, arn)
	if err != nil {
		return nil, fmt.Errorf("read tags of %s: %w", arn, err)
	}
	defer rows.Close()
	tags := map[string]string{}
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			return nil, fmt.Errorf("read tags of %s: %w", arn, err)
		}
		tags[key] = value
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read tags of %s: %w", arn, err)
	}
	return tags, nil
}

// SetTags adds tags to a resource; a key that it has already gets the new value.
func (tx *Tx) SetTags(arn string, tags map[string]string) error {
	for key, value := range tags {
		_, err := tx.sql.ExecContext(tx.ctx, `INSERT INTO tag (arn, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value`, arn, key, value)
		if err != nil {
			return fmt.Errorf("tag %s: %w", arn, err)
		}
		tx.wrote = true
	}
	return nil
}

// RemoveTags removes tags by key; keys that the resource does not have are ignored.
func (tx *Tx) RemoveTags(arn string, keys []string) error {
	for _, key := range keys {
		if _, err := tx.sql.ExecContext(tx.ctx, `DELETE FROM tag WHERE arn = ? AND key = ?`, arn, key); err != nil {
			return fmt.Errorf("untag %s: %w", arn, err)
		}
		tx.wrote = true
	}
	return nil
}

// PageKey is the secret that authenticates page tokens. It is as old as the database, so that tokens survive a restart.
func (tx *Tx) PageKey() (key []byte, err error) {
	if err := tx.sql.QueryRowContext(tx.ctx, `SELECT value FROM secret WHERE name = 'page'`).Scan(&key); err != nil {
		return nil, fmt.Errorf("read page key: %w", err)
	}
	return key, nil
}
