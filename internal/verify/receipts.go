package verify

// Receipts, their salts and the key that signs them are searched as bytes.

func (s *search) receipt(f file) error    { return s.asBytes("receipt", f) }
func (s *search) salt(f file) error       { return s.asBytes("salt of a receipt", f) }
func (s *search) signingKey(f file) error { return s.asBytes("signing key", f) }

func (s *search) asBytes(place string, f file) error {
	s.raw = append(s.raw, region{place, f.path, 0})
	return nil
}
