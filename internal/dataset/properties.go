package dataset

import "errors"

// FromProperties makes a record of a properties object.
func (s *Schema) FromProperties(given map[string]Value, properties string) ([]Value, error) {
	return nil, errors.New("FromProperties: not built yet")
}
