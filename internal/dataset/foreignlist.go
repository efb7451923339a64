package dataset

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// A Listing is what the catalog says about one table.
type Listing struct {
	Group, ID string
	Location  string    // of the current metadata, whoever wrote it; "" if another engine has dropped the table
	Pending   bool      // another engine has committed, and nobody has looked at it yet
	Outcome   string    // what became of the last commit of another engine, "" if there was none
	OutcomeAt time.Time // and when
}

// List reads the catalog, which may belong to a store that is open elsewhere.
func List(ctx context.Context, catalog *sql.DB) (all []Listing, err error) {
	var n int
	if err := catalog.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'palate_tables'`).Scan(&n); err != nil || n == 0 {
		return nil, err
	}
	rows, err := catalog.QueryContext(ctx, `SELECT o.table_namespace, o.table_name, coalesce(t.metadata_location, ''), o.metadata_location, coalesce(o.outcome, ''),
		coalesce(o.outcome_at, 0) FROM palate_tables o LEFT JOIN iceberg_tables t
		ON t.catalog_name = 'palate' AND t.table_namespace = o.table_namespace AND t.table_name = o.table_name ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var l Listing
		var own string
		var at int64
		if err := rows.Scan(&l.Group, &l.ID, &l.Location, &own, &l.Outcome, &at); err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		l.Pending = l.Location != own
		if l.Outcome != "" {
			l.OutcomeAt = time.Unix(at, 0)
		}
		all = append(all, l)
	}
	return all, rows.Err()
}
